"""The Ikomia SCALE endpoint protocol, as its public clients speak it (PUT a run, then long-poll its results).

What the clients do with the answers: they sleep `next_poll_in` ms and GET again, at most 100 times; 200 with `results` ends the loop; 520 shows
`message`; any other 4xx or 5xx ends it with an error, without a retry. So a GET is held through outages rather than answered with a 5xx.
"""

from __future__ import annotations

import re
import uuid

import msgspec

from gateway.advice import Advice
from gateway.errors import InvalidInput, MethodNotAllowed, NotFound
from gateway.http import JSON, Answer, Request
from gateway.routes import Route, refusal
from gateway.run import State
from gateway.runs import Runs, View
from gateway.workflows import Workflows

RESULTS = re.compile(r"/api/results/([0-9a-fA-F-]{36})/?")
RUN_FAILED = 520


class Failure(msgspec.Struct):
    """The error that the runtime gives for a failed run."""

    code: str = "run_failed"
    message: str = "The run failed without saying why. Look into the deployment's logs."
    task: str | None = None
    traceback: str | None = None


class Ikomia:
    """Answers the endpoint's requests; `storage_token` is the caller's token when it may use the storage, else empty."""

    def __init__(self, runs: Runs) -> None:
        self._runs = runs
        self._workflows = Workflows(runs)

    async def answer(self, request: Request, route: Route, storage_token: str) -> Answer:
        """Answer a request of a caller who may run this deployment."""
        path = request.path
        if path in {"/api/run", "/api/run/"}:
            allow(request, "PUT")
            return await self._run(request, route, storage_token)
        if found := RESULTS.fullmatch(path):
            allow(request, "GET")
            return await self._results(request, route, found[1].lower())
        if path in {"/workflow", "/workflow/"}:
            allow(request, "GET")
            return await self._workflow(route)
        raise NotFound("path_unknown", "An endpoint answers GET /workflow, PUT /api/run and GET /api/results/{uuid}.")

    async def _run(self, request: Request, route: Route, storage_token: str) -> Answer:
        if (refused := refusal(route)) is not None:
            raise refused
        runs = self._runs
        run_id = read_run_id(request)
        reservation = runs.budget.reserve()
        try:
            body = await request.json_body(runs.settings.max_body, reservation)
            view = await runs.accept(route, body, reservation, storage_token=storage_token, run_id=run_id)
        except BaseException:
            reservation.release()
            raise
        content = progress(view) if request.flag("advice") else b'"%b"' % view.run_id.encode()
        return Answer(200, content, after=lambda written: runs.answer_written(view.run_id, written=written))

    async def _results(self, request: Request, route: Route, run_id: str) -> Answer:
        hold = self._runs.settings.long_poll if request.flag("long") else 0.0
        view = await self._runs.look(run_id, route.deployment, hold=hold)
        with_advice = request.flag("advice")
        if view.state is State.PENDING:
            return Answer(202, progress(view) if with_advice else b'"%b"' % run_id.encode())
        if view.state is State.FAILURE:
            return Answer(RUN_FAILED, describe_failure(view, request.request_id))
        return Answer(200, progress(view) if with_advice else view.content)

    async def _workflow(self, route: Route) -> Answer:
        if (refused := refusal(route)) is not None:
            raise refused
        return Answer(200, await self._workflows.read(route), [JSON])


def allow(request: Request, method: str) -> None:
    """Raise `MethodNotAllowed` unless the request has this method."""
    if request.method != method:
        raise MethodNotAllowed(f"{method}, OPTIONS")


def read_run_id(request: Request) -> str | None:
    """Return the run id that the caller chose, if any. Raises `InvalidInput` unless it is a UUIDv7."""
    sent = request.header(b"x-run-id")
    if sent is None:
        return None
    try:
        chosen = uuid.UUID(sent.decode("ascii").strip())
    except ValueError:
        chosen = None
    if chosen is None or chosen.version != 7:
        raise InvalidInput("invalid_run_id", "X-Run-Id must be a UUID version 7.")
    return str(chosen)


def progress(view: View) -> bytes:
    """Return the object that tells how far a run is, with its results when it succeeded."""
    advice: Advice = view.advice
    low, high = advice.eta
    head = b'{"uuid":"%b","state":"%b","eta":[%b,%b],"next_poll_in":%d,"next_poll_long":%b,"results":' % (
        view.run_id.encode(),
        view.state.value.encode(),
        b"null" if low is None else b"%d" % low,
        b"null" if high is None else b"%d" % high,
        advice.next_poll_in,
        b"true" if advice.next_poll_long else b"false",
    )
    # Joined, not formatted: that takes a tenth of the time for large results.
    return b"".join((head, view.content if view.state is State.SUCCESS and view.content else b"null", b"}"))


def describe_failure(view: View, request_id: str) -> bytes:
    """Return what the clients show of a failed run: `message`; the rest is for people who look closer."""
    try:
        failed = msgspec.json.decode(view.content, type=Failure)
    except msgspec.MsgspecError:
        failed = Failure()
    return msgspec.json.encode({**msgspec.to_builtins(failed), "uuid": view.run_id, "request_id": request_id})
