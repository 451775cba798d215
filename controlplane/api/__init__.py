"""The plumbing of the REST API: error envelope, pagination, declared permissions, API description."""
