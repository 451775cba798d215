"""Protocols: each turns its own requests into runs, and runs into its own answers. docs/gateway.md tells how to add one."""
