"""From a request to a stored object: the form is read while its file goes to the store."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Any, cast
from uuid import UUID

from django.conf import settings
from multipart import parse_options_header
from rest_framework.request import Request

from controlplane.common.errors import InvalidInput, SlipwayError
from storage.access import StorageAccess
from storage.api.serializers import SHA256
from storage.body import DRAINED_SECONDS, BodyReader, Readable
from storage.errors import no_object
from storage.form import UploadForm, plain_fields
from storage.media import checked_content_type
from storage.models import StoredObject
from storage.services import check_target, copy_object, store_stream
from storage.slots import upload_slots
from storage.uploads import Wanted

TRUE, FALSE = {"true", "1", "yes"}, {"false", "0", "no", ""}


class Reception:
    """One upload's place and body, held by a view until its answer is out (`LateAnswer`)."""

    def __init__(self, request: Request, access: StorageAccess) -> None:
        self._held = ExitStack()
        self._held.enter_context(upload_slots.hold(access.project_id))
        self.body = self._held.enter_context(BodyReader(body_of(request), silence=settings.STORAGE_SILENCE))
        self._request, self._access = request, access

    def receive(self, path: str | None, *, overwrite: bool) -> StoredObject:
        """Store what the request brings, or copy what it names. Raises as `storage.services`; the rest of a refused body is read, for a while."""
        request, access = self._request, self._access
        try:
            check_target(access, path, overwrite=overwrite)
            content_type = str(request.META.get("CONTENT_TYPE", ""))
            if parse_options_header(content_type)[0] == "application/x-www-form-urlencoded":
                return copy_named(access, plain_fields(self.body), path, overwrite=overwrite)
            return receive_form(UploadForm(self.body, content_type), access, path, overwrite=overwrite, length=length_of(request))
        except SlipwayError:
            self.body.drain(seconds=min(DRAINED_SECONDS, settings.STORAGE_SILENCE))
            raise

    def close(self) -> None:
        """Give the place back."""
        self._held.close()


class LateAnswer:
    """An answer to a client that has not sent all of its body and says nothing: the text at once, the end when the client has gone."""

    def __init__(self, content: bytes, reception: Reception) -> None:
        self._content = content
        self._reception = reception

    def __iter__(self) -> Iterator[bytes]:
        yield self._content
        self._reception.body.wait_for_end()

    def close(self) -> None:
        """Give the place back."""
        self._reception.close()


def receive_form(form: UploadForm, access: StorageAccess, path: str | None, *, overwrite: bool, length: int) -> StoredObject:
    """Store the file of a form, or copy what its fields name."""
    part = form.find_file()
    if part is None or "copy_from" in form.fields:
        return copy_instead(form, access, path, overwrite=overwrite, has_file=part is not None)
    content = form.content()
    first = next(content, b"")
    if not first:
        form.finish()
        if "copy_from" in form.fields:
            return copy_named(access, form.fields, path, overwrite=overwrite)
    wanted = Wanted(path=path, content_type=checked_content_type(part.content_type), overwrite=overwrite)

    def after() -> Wanted:
        form.finish()
        fields = form.fields
        return replace(wanted, is_directory_archive=flag(fields, "is_directory_archive"), sha256=told_hash(fields))

    return store_stream(
        access, wanted, put_back(first, content), to_come=lambda: max(0, length - form.bytes_read - form.closing_bytes), after=after
    )


def copy_instead(form: UploadForm, access: StorageAccess, path: str | None, *, overwrite: bool, has_file: bool) -> StoredObject:
    """Copy what the form names; a file beside it must be empty."""
    if has_file and next(form.content(), b""):
        raise InvalidInput(
            "two_sources", "The form has a file and 'copy_from'. Send one of them.", fields={"copy_from": ["not with a file"]}
        )
    form.finish()
    return copy_named(access, form.fields, path, overwrite=overwrite)


def copy_named(access: StorageAccess, fields: dict[str, str], path: str | None, *, overwrite: bool) -> StoredObject:
    """Copy the object that `copy_from` names."""
    named = fields.get("copy_from")
    if named is None:
        raise InvalidInput("file", "The form has no file. Send it in the part 'file'.", fields={"file": ["missing"]})
    try:
        source = UUID(named)
    except ValueError as error:
        raise no_object("with such a uid") from error
    return copy_object(access, source, path=path, overwrite=overwrite, sha256=told_hash(fields))


def body_of(request: Request) -> Readable:
    """Return the body, unread. Without a length (chunked), Django sees none: then the server's own stream is taken, which ends by itself."""
    plain = request._request
    if "chunked" in plain.headers.get("Transfer-Encoding", "").lower():
        return cast("Readable", plain.META["wsgi.input"])
    return plain


def length_of(request: Request) -> int:
    """Return the body's length in bytes, 0 when it is not told."""
    text = str(request.META.get("CONTENT_LENGTH") or "")
    return int(text) if text.isdecimal() else 0


def put_back(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    """Yield a chunk that was taken already, then the others."""
    if first:
        yield first
    yield from rest


def flag(values: Any, name: str) -> bool:
    """Return a boolean of a form or a query: `True`, `true` or `1`. Raises `InvalidInput`."""
    text = str(values.get(name, "")).lower()
    if text not in TRUE | FALSE:
        raise InvalidInput("invalid", f"Give '{name}' as true or false.", fields={name: ["true or false"]})
    return text in TRUE


def told_hash(fields: dict[str, str]) -> str:
    """Return the hash that the form announces, "" for none. Raises `InvalidInput`."""
    text = fields.get("sha256", "")
    if text and not re.match(SHA256, text):
        raise InvalidInput("invalid", "Give 'sha256' as 64 hexadecimal digits.", fields={"sha256": ["64 hexadecimal digits"]})
    return text.lower()
