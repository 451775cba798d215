"""The HTTP routes, as a plain ASGI application."""

import traceback
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from uuid import UUID

import msgspec

from runtime.errors import RequestRefused
from runtime.log import write_log
from runtime.runs import Run
from runtime.service import Service
from runtime.settings import Settings

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

JSON_TYPE = (b"content-type", b"application/json")
RECEIPT = b" "


class Application:
    """Routes: GET /health, GET /workflow, PUT and GET /runs/{uuid}, GET /runs/{uuid}/input."""

    def __init__(self, service: Service, settings: Settings) -> None:
        self._service = service
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; a client that goes away never stops a run."""
        if scope["type"] != "http":
            return
        try:
            await self._route(scope, receive, send)
        except RequestRefused as refusal:
            await _send_refusal(send, refusal)
        except Exception:
            write_log("ERROR", f"{scope['method']} {scope['path']} failed", traceback=traceback.format_exc())
            await _send_refusal(send, RequestRefused(500, "internal_error", "the runtime failed on this request, its log says why"))

    async def _route(self, scope: Scope, receive: Receive, send: Send) -> None:
        match scope["method"], scope["path"].strip("/").split("/"):
            case "GET", ["health"]:
                status, body = self._service.health()
                await _send_body(send, status, msgspec.json.encode(body))
            case "GET", ["workflow"]:
                await _send_body(send, 200, self._service.workflow_file())
            case "PUT", ["runs", uuid]:
                await self._put_run(_checked_uuid(uuid), scope, receive, send)
            case "GET", ["runs", uuid]:
                await _stream_answer(send, self._service.find_run(_checked_uuid(uuid)))
            case "GET", ["runs", uuid, "input"]:
                await self._send_input(send, _checked_uuid(uuid))
            case _:
                raise RequestRefused(404, "not_found", f"no route {scope['method']} {scope['path']}")

    async def _put_run(self, uuid: str, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        body = await _read_body(headers, receive, self._settings.body_limit)
        if body is None:
            return
        token = headers.get(b"x-storage-token")
        run = self._service.start_run(uuid, body, token.decode("latin-1") if token else None)
        del body
        await _stream_answer(send, run)

    async def _send_input(self, send: Send, uuid: str) -> None:
        run = self._service.find_run(uuid)
        if run.body is None:
            raise RequestRefused(404, "input_gone", f"run {uuid} has ended, its input is no longer held")
        await _send_body(send, 200, run.body)


def _checked_uuid(text: str) -> str:
    """The id in its usual spelling, so that one run has one name."""
    try:
        return str(UUID(text))
    except ValueError as error:
        raise RequestRefused(400, "invalid_run_id", f"{text[:80]!r} is not a UUID") from error


async def _read_body(headers: dict[bytes, bytes], receive: Receive, limit: int) -> bytes | None:
    """The whole body; None when the client went away before it was complete."""
    refusal = RequestRefused(413, "too_large", f"the body may have at most {limit} bytes")
    declared = headers.get(b"content-length", b"0")
    if declared.isdigit() and int(declared) > limit:
        raise refusal
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > limit:
            raise refusal
        chunks.append(chunk)
        if not message.get("more_body", False):
            return chunks[0] if len(chunks) == 1 else b"".join(chunks)


async def _stream_answer(send: Send, run: Run) -> None:
    """The receipt at once (the input is held from now on), the answer when the run has ended."""
    await send({"type": "http.response.start", "status": 200, "headers": [JSON_TYPE]})
    await send({"type": "http.response.body", "body": RECEIPT, "more_body": True})
    await send({"type": "http.response.body", "body": await run.wait()})


async def _send_body(send: Send, status: int, body: bytes, extra: tuple[tuple[bytes, bytes], ...] = ()) -> None:
    headers = [JSON_TYPE, (b"content-length", str(len(body)).encode()), *extra]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _send_refusal(send: Send, refusal: RequestRefused) -> None:
    extra = () if refusal.retry_after is None else ((b"retry-after", str(refusal.retry_after).encode()),)
    await _send_body(send, refusal.status, msgspec.json.encode({"code": refusal.code, "detail": refusal.detail}), extra)
