"""`make demo`: the main job from nothing to a result picture, through the unmodified public clients."""
