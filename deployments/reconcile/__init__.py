"""The reconciler: the only writer of a deployment's status. `loop` claims and repeats, `steps` does one thing for each state."""
