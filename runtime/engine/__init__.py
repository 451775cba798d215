"""What runs inside the engine processes. The HTTP process never imports this package: it only starts it."""
