"""Bundles: a workflow version as one reproducible tar, named by its own digest."""
