"""Object storage of projects: the room is kept for objects, presigned URLs and the storage API."""
