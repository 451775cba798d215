"""How a large upload is cut, and which of the parts that arrived make its object."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from controlplane.common.errors import InvalidInput
from storage.bucket import MOST_PARTS, Part
from storage.errors import parts_missing, wrong_part
from storage.models import Upload

MIB = 1024 * 1024
USUAL_PART = 16 * MIB


def part_size_for(size: int) -> int:
    """Return the bytes of each part but the last: 16 MiB, or as many whole MiB as make 10,000 parts enough."""
    needed = -(-size // MOST_PARTS)
    return max(USUAL_PART, -(-needed // MIB) * MIB)


def count_parts(upload: Upload) -> int:
    """Return how many parts an upload has; an empty file has one, of no bytes."""
    return max(1, -(-upload.size // upload.part_size))


def size_of_part(upload: Upload, number: int) -> int:
    """Return the bytes of one part: numbers begin at 1, the last one has the rest."""
    return min(upload.part_size, upload.size - (number - 1) * upload.part_size)


def choose_parts(upload: Upload, arrived: Sequence[Part], told: Sequence[Part] | None) -> list[Part]:
    """Return the parts to join, in order. `told` names them by their etags; without it each must have arrived in one version only.

    Raises `Conflict` for parts that are missing, `InvalidInput` for such as do not fit.
    """
    count = count_parts(upload)
    versions: dict[int, dict[str, Part]] = defaultdict(dict)
    for part in arrived:
        versions[part.number][bare(part.etag)] = part
    if missing := [number for number in range(1, count + 1) if number not in versions]:
        raise parts_missing(missing)
    named = named_etags(told, count)
    chosen = [choose_version(number, versions[number], named.get(number)) for number in range(1, count + 1)]
    for part in chosen:
        if part.size != (expected := size_of_part(upload, part.number)):
            raise wrong_part(part.number, f"has {part.size} bytes, not {expected}")
    return chosen


def named_etags(told: Sequence[Part] | None, count: int) -> dict[int, str]:
    """Return etags by number. Raises `InvalidInput` unless all parts or none are named, each once."""
    named = {part.number: bare(part.etag) for part in told or ()}
    if told is not None and (len(told) != count or set(named) != set(range(1, count + 1))):
        raise InvalidInput(
            "parts", f"Name each part from 1 to {count} once, or leave 'parts' out.", fields={"parts": [f"not the parts 1 to {count}"]}
        )
    return named


def choose_version(number: int, versions: dict[str, Part], etag: str | None) -> Part:
    """Return the version of a part that has this etag, or the only one."""
    if etag is None and len(versions) > 1:
        raise wrong_part(number, "was sent more than once, with different bytes: name the etags of the parts to join")
    found = next(iter(versions.values())) if etag is None else versions.get(etag)
    if found is None:
        raise wrong_part(number, f"did not arrive with the etag {etag}")
    return found


def bare(etag: str) -> str:
    """Return an etag without its quotes."""
    return etag.strip().removeprefix("W/").strip('"')
