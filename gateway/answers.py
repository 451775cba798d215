"""What the answers of a runtime mean."""

from __future__ import annotations

import logging

import msgspec

from gateway.run import Outcome, State, failure, now_ms
from gateway.runtime_client import Reply

logger = logging.getLogger("gateway.answers")

# A run that failed by its own inputs, parameters or access says nothing about the version that ran it.
CALLERS_OWN = {
    "input_too_large",
    "invalid_input",
    "invalid_parameter",
    "no_storage_token",
    "read_only_token",
    "storage_refused",
    "unknown_output",
    "unknown_task",
}


class _Ended(msgspec.Struct):
    state: str
    duration_ms: float = 0.0
    results: msgspec.Raw = msgspec.Raw(b"[]")
    error: msgspec.Raw = msgspec.Raw(b"{}")


class _Error(msgspec.Struct):
    code: str = ""


class Refused(msgspec.Struct):
    """The code and the sentence of an answer that is no success."""

    code: str = "refused"
    detail: str = ""


def read_outcome(body: bytes) -> Outcome:
    """Turn the runtime's answer into an outcome."""
    try:
        ended = msgspec.json.decode(body, type=_Ended)
        state = State(ended.state)
    except (msgspec.MsgspecError, ValueError):
        logger.exception("Unreadable answer of a runtime: %r", body[:300])
        return failure("runtime_answer", "The runtime gave an answer that cannot be read. Look into the deployment's logs.")
    if state is State.SUCCESS:
        return Outcome(state, ended.duration_ms, bytes(ended.results), now_ms())
    return Outcome(state, ended.duration_ms, bytes(ended.error), now_ms(), fault=_is_fault(ended.error))


def _is_fault(error: bytes | msgspec.Raw) -> bool:
    try:
        return msgspec.json.decode(error, type=_Error).code not in CALLERS_OWN
    except msgspec.MsgspecError:
        return True


def read_refusal(reply: Reply) -> Refused:
    """Return what an answer that is no success says."""
    try:
        return msgspec.json.decode(reply.body, type=Refused)
    except msgspec.MsgspecError:
        return Refused(detail=reply.body[:500].decode("utf-8", "replace"))
