"""Stands between a view and its handler when a request has a key: work once, then tell again what came of it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from hmac import compare_digest
from typing import TYPE_CHECKING, Any

from django.db import DatabaseError, InterfaceError, transaction
from django.http import HttpResponse, HttpResponseBase
from rest_framework.request import Request
from rest_framework.response import Response

from controlplane.api.idempotency.asking import META, METHODS, Asked, asked_with
from controlplane.api.idempotency.bodies import CHUNK, Overheard, digest_for, is_streamed, overhear
from controlplane.api.idempotency.claims import LEASE, claim_key, give_up, keep_reply, renew
from controlplane.api.idempotency.errors import key_reused, reply_not_kept, taken_over
from controlplane.api.idempotency.heartbeat import Heartbeat
from controlplane.api.idempotency.sealing import reply_of, seal, unseal
from controlplane.api.idempotency.sight import look_again
from controlplane.api.models import IdempotencyKey

if TYPE_CHECKING:
    from controlplane.api.views import WorkspaceView

logger = logging.getLogger(__name__)

REPLAYED = "Idempotency-Replayed"
# A form of the same parts may be longer by its boundaries; what is longer still is another one, and is not read to its end.
SLACK_BYTES = 64 * 1024
Handler = Callable[..., HttpResponseBase]


def guard_handler(view: WorkspaceView, request: Request) -> None:
    """Put the guard around the handler of a request with a key. Call it when the caller is known and may call."""
    name = str(request.method).lower()
    if request.method in METHODS and META in request.META and (handler := getattr(view, name, None)):
        setattr(view, name, partial(answer_once, view, handler))


def answer_once(view: WorkspaceView, handler: Handler, request: Request, *args: Any, **kwargs: Any) -> HttpResponseBase:
    """Do the work, or tell its reply again. Raises as the handler, and as `claim_key`."""
    asked = asked_with(request._request, view.caller_of(request))
    claim = claim_key(asked)
    if not claim.is_new:
        return replayed(view, request, asked, claim.row, kwargs)
    body = overhear(request._request) if is_streamed(request._request) else None
    work = Work(view, asked, claim.row, body)
    try:
        answer = work.do(partial(handler, request, *args, **kwargs), request, *args, **kwargs)
    except BaseException:
        work.give_up()
        raise
    return answer


@dataclass(frozen=True)
class Work:
    """One request that owns its key."""

    view: WorkspaceView
    asked: Asked
    row: IdempotencyKey
    body: Overheard | None

    def do(self, handler: Handler, request: Request, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Run the handler and keep its reply, in one transaction where the view can. Only what succeeded is kept: a refusal has done nothing."""
        together = self.view.replies_in_transaction
        with Heartbeat(partial(renew, self.row), seconds=LEASE.total_seconds() / 3), transaction.atomic() if together else nullcontext():
            answer = handler()
            if not 200 <= answer.status_code < 300:
                self.give_up()
                return answer
            if isinstance(answer, Response):
                answer = self.view.finalize_response(request, answer, *args, **kwargs).render()
            if together and not self.keep(answer):
                raise taken_over()
        if not together:
            self.try_to_keep(answer)
        return answer

    def try_to_keep(self, answer: HttpResponseBase) -> None:
        """Write the reply of work that is committed already: the caller hears of it in any case."""
        try:
            self.keep(answer)
        except (DatabaseError, InterfaceError) as error:
            logger.warning("a reply was not kept, %s %s may be done again: %s", self.asked.method, self.asked.path, error)

    def keep(self, answer: HttpResponseBase) -> bool:
        """Write the reply; False when the key was taken over."""
        reply, told = reply_of(answer), self.told_body()
        if told is None:
            self.give_up()  # the view was content with a part of the body: nobody could say whether another one is the same
            return True
        sealed = seal(self.asked, reply) if reply else None
        kept = keep_reply(self.row, sealed, body_fingerprint=told, body_bytes=self.body.bytes_read if self.body else 0)
        if not kept:
            logger.warning("an idempotency key was taken over while its request worked: %s %s", self.asked.method, self.asked.path)
        return kept

    def told_body(self) -> str | None:
        """Return the fingerprint of a streamed body, "" for one that nobody looked at, None for one that was not read to its end."""
        if self.body is None or not self.body.bytes_read:
            return ""
        digest = self.body.digest.result()
        return None if digest is None else self.asked.body_fingerprint(digest)

    def give_up(self) -> None:
        """Forget the key; if the database is away, its lease ends by itself."""
        try:
            give_up(self.row)
        except (DatabaseError, InterfaceError) as error:
            logger.warning("an idempotency key was not given up, its lease will end: %s", error)


def replayed(view: WorkspaceView, request: Request, asked: Asked, row: IdempotencyKey, arguments: dict[str, Any]) -> HttpResponseBase:
    """Return the kept reply to a caller who may still see it. Raises `Unprocessable` for another body, and as `look_again`."""
    reply = unseal(asked, row.reply)
    if reply is not None:
        look_again(request.user, view.permissions.get(str(request.method)), arguments, reply)
    if row.body_fingerprint and not compare_digest(row.body_fingerprint, read_again(view, request, asked, row)):
        raise key_reused()
    if reply is None:
        raise reply_not_kept()
    answer = HttpResponse(reply.body, status=reply.status, headers=dict(reply.headers))
    answer[REPLAYED] = "true"
    return answer


def read_again(view: WorkspaceView, request: Request, asked: Asked, row: IdempotencyKey) -> str:
    """Return the fingerprint of a streamed body, read in pieces and not kept. Raises `Unprocessable` for one that is too long to be the same."""
    digest, count = digest_for(request._request), 0
    for chunk in view.body_chunks(request):
        count += len(chunk)
        if count > row.body_bytes + SLACK_BYTES:
            raise key_reused()
        digest.feed(chunk)
    return asked.body_fingerprint(digest.result() or "")


def plain_chunks(request: Request) -> Iterator[bytes]:
    """Yield a body in pieces."""
    while chunk := request._request.read(CHUNK):
        yield chunk
