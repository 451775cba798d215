"""The HUB: algorithms of a workspace with their packages, and what was published of them for everyone."""
