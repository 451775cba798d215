"""The deployment engine under faults of every kind, by seeds."""
