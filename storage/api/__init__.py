"""The storage API."""
