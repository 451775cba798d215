"""Views that take uploads: the request ends when its body has, whatever was answered before."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.db import connection
from django.http import HttpRequest, HttpResponseBase, StreamingHttpResponse
from rest_framework.request import Request
from rest_framework.response import Response

from storage.api.authentication import access_of
from storage.api.base import StorageView
from storage.api.receive import LateAnswer, Reception
from storage.models import StoredObject


class UploadingView(StorageView):
    """A view whose methods call `receive`."""

    reception: Reception | None = None

    def receive(self, request: Request, path: str | None, *, overwrite: bool = False) -> StoredObject:
        """Store what the request brings. Raises as `Reception.receive`, and `PermissionDenied` before anything is read."""
        access = access_of(request)
        access.check_may_write()
        self.reception = Reception(request, access)
        return self.reception.receive(path, overwrite=overwrite)

    def body_chunks(self, request: Request) -> Iterator[bytes]:
        """Yield a body that is only compared with one that came before, at a place of its own and with an end to silence, as an upload's."""
        self.reception = Reception(request, access_of(request))
        return iter(self.reception.body)

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Answer; to a client that still owes a part of its body, in a way that ends with it."""
        try:
            answer = super().dispatch(request, *args, **kwargs)
        except BaseException:
            self.let_go()
            raise
        reception = self.reception
        if reception is None:
            return answer
        reception.body.stop()
        if not reception.body.is_reading or not isinstance(answer, Response):
            self.let_go()
            return answer
        free_connection()
        content = answer.render().content
        late = StreamingHttpResponse(LateAnswer(content, reception), status=answer.status_code, headers=dict(answer.items()))
        late["Content-Length"] = str(len(content))
        return late

    def let_go(self) -> None:
        """Wait for the end of the body, and give the place back."""
        if self.reception is not None:
            self.reception.body.wait_for_end()
            self.reception.close()


def free_connection() -> None:
    """Give the thread's connection to the database back before a long wait (tests hold one transaction over all requests)."""
    if not connection.in_atomic_block:
        connection.close()
