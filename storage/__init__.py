"""Object storage of projects: objects and folders, presigned URLs, the storage API, and the sweep that keeps database and bucket alike."""
