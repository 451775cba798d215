"""Workspaces: the namespaces that own projects, roles, and the only permission checks."""
