"""What is checked of a request and of a run id in the gateway itself."""

from __future__ import annotations

import asyncio
import hashlib
from datetime import UTC, datetime
from uuid import UUID

import msgspec

from controlplane.common.ids import uuid7_milliseconds
from gateway.errors import Conflict, InvalidInput, NotFound, SlipwayError, Unprocessable
from gateway.run import Run
from gateway.settings import Settings

HASH_IN_THREAD = 1024 * 1024


async def digest_of(body: bytes) -> str:
    """Return a digest that tells two bodies apart; a large one is hashed in a thread."""

    def hashed() -> str:
        return hashlib.blake2b(body, digest_size=16).hexdigest()

    return await asyncio.to_thread(hashed) if len(body) > HASH_IN_THREAD else hashed()


class _Envelope(msgspec.Struct):
    inputs: list[msgspec.Raw]
    outputs: list[msgspec.Raw]
    parameters: list[msgspec.Raw] = []


def check_envelope(body: bytes) -> None:
    """Check the outer form of a request that no runtime has looked at yet. Raises `InvalidInput`, `Unprocessable`."""
    try:
        msgspec.json.decode(body, type=_Envelope)
    except msgspec.ValidationError as error:
        raise Unprocessable(
            "invalid_request", f"The body must be an object with the lists inputs, outputs and parameters: {error}"
        ) from error
    except msgspec.DecodeError as error:
        raise InvalidInput("invalid_json", f"The body is not JSON: {error}") from error


def check_same(deployment: str, digest: str, asked: Run) -> None:
    """Raise `Conflict` unless a run id that is sent again comes with the same body to the same deployment."""
    if deployment != asked.about.deployment or not digest or digest != asked.digest:
        raise Conflict("run_id_reused", "This run id belongs to another request. Use a new UUIDv7 for each run.")


def too_old_or_early(run_id: str, settings: Settings, now_ms: int) -> SlipwayError | None:
    """Return why an id (UUIDv7) that its caller chose cannot begin a run, or None."""
    age = (now_ms - uuid7_milliseconds(UUID(run_id))) / 1000
    if -settings.run_id_ahead <= age <= settings.run_id_past:
        return None
    remedy = (
        f"Send a new UUIDv7, or no X-Run-Id; the gateway's clock says {datetime.fromtimestamp(now_ms / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC."
    )
    if age < 0:
        limit = f"{settings.run_id_ahead / 60:.0f} minutes"
        return InvalidInput("run_id_early", f"The time in this X-Run-Id lies more than {limit} ahead. {remedy}")
    limit = f"{settings.run_id_past / 60:.0f} minutes"
    detail = f"No run with this X-Run-Id is known, and it begins none: the time in it is more than {limit} ago. {remedy}"
    return InvalidInput("run_id_expired", detail)


def check_deployment(actual: str, asked: str) -> None:
    """Raise `NotFound` for a run of another deployment."""
    if actual != asked:
        raise NotFound("run_unknown", "There is no run with this id at this endpoint.")
