"""People: users, sign-up, API tokens and the keys that sign endpoint tokens."""
