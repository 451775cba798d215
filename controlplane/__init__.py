"""The control plane: accounts, workspaces, projects and the plumbing they share."""
