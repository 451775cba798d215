"""Pieces without a domain: errors, base models, ids, the object store and the Valkey client."""
