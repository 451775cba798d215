"""Outgoing webhooks: events of a project, sent to receivers that its managers name. docs/webhooks.md is their side of it."""
