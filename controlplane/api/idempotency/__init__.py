"""`Idempotency-Key`: a request that is sent twice does its work once, and its reply comes again for a day (docs/idempotency.md)."""
