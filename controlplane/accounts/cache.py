"""Django's cache in the Valkey that holds much else."""

from __future__ import annotations

from django.core.cache.backends.redis import RedisCache


class SharedCache(RedisCache):
    """`clear` removes what is the cache's own; Django's would empty the database, with the broker's queue and all runs in flight."""

    def clear(self) -> bool:  # type: ignore[override]
        """Remove all keys with our prefix."""
        client = self._cache.get_client(None, write=True)
        for key in client.scan_iter(f"{self.key_prefix}:*", count=1000):
            client.delete(key)
        return True
