"""The runtime of one deployment: an HTTP process in front of engine worker processes. It imports nothing of the control plane."""
