"""Shapes of direct uploads on the wire."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.conf import settings
from django.urls import reverse
from rest_framework import serializers

from controlplane.api.fields import ChoiceField, CountField, FlagField, HashField, TextField
from storage.api.serializers import ObjectOutput, moment, object_data
from storage.bucket import Part
from storage.direct import LARGEST, SignedPart, SignedRequest
from storage.models import PATH_LENGTH, Upload, UploadKind, UploadState

METHODS = [UploadKind.PUT.value, UploadKind.POST.value, UploadKind.MULTIPART.value]
SIGNED_AT_ONCE = 100
MOST_PARTS = 10_000


class UploadInput(serializers.Serializer[Any]):
    """What is to be uploaded where."""

    path = TextField(
        required=False, allow_null=True, default=None, max_length=PATH_LENGTH, trim_whitespace=False, help_text="None: a temporary object."
    )
    size = CountField(min_value=0, max_value=LARGEST, help_text="Bytes, exactly.")
    content_type = TextField(required=False, allow_blank=True, allow_null=True, default="")
    sha256 = HashField(required=False, allow_null=True, default="", help_text="Of the bytes; `put` and `post` need it.")
    method = ChoiceField(METHODS, help_text="`put` and `post` are one request of up to 5 GiB.")
    overwrite = FlagField(required=False, default=False, help_text="Replace an object at this path.")
    is_directory_archive = FlagField(required=False, default=False, help_text="A zip that stands for a folder.")


class PartNumbersInput(serializers.Serializer[Any]):
    """Which parts are to be sent."""

    numbers = serializers.ListField(child=CountField(min_value=1, max_value=MOST_PARTS), min_length=1, max_length=SIGNED_AT_ONCE)


class NamedPartInput(serializers.Serializer[Any]):
    """A part that the store has."""

    number = CountField(min_value=1, max_value=MOST_PARTS)
    etag = TextField(max_length=200, help_text="The ETag of the store's answer to the part.")


class CompleteInput(serializers.Serializer[Any]):
    """The parts to join."""

    parts = NamedPartInput(many=True, required=False, allow_null=True, help_text="All of them, or left out: those that have arrived.")


class RequestOutput(serializers.Serializer[Any]):
    """A request that the object store takes."""

    method = serializers.CharField()
    url = serializers.URLField()
    headers = serializers.DictField(child=serializers.CharField(), help_text="To be sent as they are, with a Content-Length of `size`.")
    fields = serializers.DictField(child=serializers.CharField(), help_text="Of a form; `file` comes after them.")  # type: ignore[assignment]


class PartOutput(serializers.Serializer[Any]):
    """Where a part is PUT."""

    number = serializers.IntegerField()
    size = serializers.IntegerField(help_text="Bytes, exactly.")
    url = serializers.URLField()
    headers = serializers.DictField(child=serializers.CharField())


class PartsOutput(serializers.Serializer[Any]):
    """Where parts are PUT."""

    parts = PartOutput(many=True)


class ReceivedOutput(serializers.Serializer[Any]):
    """A part that the store has."""

    number = serializers.IntegerField()
    size = serializers.IntegerField()
    etag = serializers.CharField()


class ProblemOutput(serializers.Serializer[Any]):
    """Why an upload has failed."""

    code = serializers.CharField()
    detail = serializers.CharField()


class UploadOutput(serializers.Serializer[Any]):
    """A direct upload."""

    uid = serializers.UUIDField()
    url = serializers.URLField(help_text="Of this upload.")
    method = ChoiceField(METHODS)
    state = ChoiceField([state.value for state in UploadState])
    path = serializers.CharField(allow_null=True)
    size = serializers.IntegerField()
    content_type = serializers.CharField()
    sha256 = serializers.CharField(allow_null=True, help_text="As announced.")
    part_size = serializers.IntegerField(allow_null=True, help_text="Bytes of each part but the last.")
    created_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField(allow_null=True, help_text="When its addresses end; once it has ended: when it is forgotten.")
    object = ObjectOutput(allow_null=True, help_text="When it is done.")
    problem = ProblemOutput(allow_null=True, help_text="When it has failed.")


class UploadDetailOutput(UploadOutput):
    """A direct upload with what the store has of it."""

    received = ReceivedOutput(many=True, help_text="Parts that have arrived, while it is open.")


class BegunOutput(UploadOutput):
    """A direct upload that has begun."""

    request = RequestOutput(allow_null=True, help_text="The request of `put` and `post`.")
    parts = PartOutput(many=True, help_text="The first 100 parts of `multipart`.")


def upload_data(upload: Upload) -> dict[str, Any]:
    """Return an upload as `UploadOutput` describes it."""
    is_verified = upload.state == UploadState.VERIFYING
    return {
        "uid": str(upload.pk),
        "url": settings.PUBLIC_URL + reverse("storage-upload", kwargs={"upload_id": upload.pk}),
        "method": upload.kind,
        "state": upload.state,
        "path": upload.path,
        "size": upload.size,
        "content_type": upload.content_type,
        "sha256": upload.sha256 or None,
        "part_size": upload.part_size or None,
        "created_at": moment(upload.created_at),
        "expires_at": None if is_verified else moment(upload.expires_at),
        "object": object_data(upload.result) if upload.result else None,
        "problem": upload.problem,
    }


def request_data(request: SignedRequest | None) -> dict[str, Any] | None:
    """Return a signed request."""
    if request is None:
        return None
    return {"method": request.method, "url": request.url, "headers": request.headers, "fields": request.fields}


def parts_data(parts: Iterable[SignedPart]) -> list[dict[str, Any]]:
    """Return signed parts."""
    return [{"number": part.number, "size": part.size, "url": part.url, "headers": {}} for part in parts]


def received_data(parts: Iterable[Part]) -> list[dict[str, Any]]:
    """Return parts that have arrived."""
    return [{"number": part.number, "size": part.size, "etag": part.etag} for part in parts]
