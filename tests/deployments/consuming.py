"""What a meter does with the stream of usage, once and in this process."""

from __future__ import annotations

from deployments.usage import keep
from deployments.usage_stream import ensure_group, new_entries, reclaimed_entries


def consume_usage() -> int:
    """Take what is in the stream, in batches, and what a meter that died left; return how many entries were taken. Raises as `keep`."""
    ensure_group()
    total = 0
    while entries := reclaimed_entries() or new_entries():
        total += keep(entries)
    return total
