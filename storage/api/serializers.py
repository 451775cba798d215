"""Shapes of the storage on the wire."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from rest_framework import serializers

from storage.delivery import delivery_url
from storage.models import StoredObject

SHA256 = r"^[0-9a-fA-F]{64}$"


class ObjectOutput(serializers.Serializer[Any]):
    """An object."""

    uid = serializers.UUIDField(help_text="Stays the same when the object is overwritten.")
    path = serializers.CharField(allow_null=True, help_text="Null for a temporary object.")
    download_url = serializers.URLField(help_text="Answers the bytes itself, without a redirect; takes the token, and ranges.")
    is_directory_archive = serializers.BooleanField(help_text="A zip that stands for a folder.")
    content_type = serializers.CharField()
    sha256 = serializers.CharField(help_text="Of the bytes, in hexadecimal.")
    size = serializers.IntegerField(help_text="Bytes.")
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField(help_text="When it was overwritten last.")
    expires_at = serializers.DateTimeField(allow_null=True, help_text="When a temporary object is deleted.")


class UploadForm(serializers.Serializer[Any]):
    """The form of an upload: a file, or the uid of an object to copy."""

    file = serializers.FileField(required=False, help_text="One file with its content type; no file name is needed.")
    copy_from = serializers.UUIDField(
        required=False, help_text="Copy this object inside the store instead; `file` is then empty or left out."
    )
    is_directory_archive = serializers.BooleanField(required=False, help_text="The file is a zip that stands for a folder.")
    sha256 = serializers.RegexField(SHA256, required=False, help_text="Refuse the file if its bytes have another hash.")


class LinkInput(serializers.Serializer[Any]):
    """How long a link is to live."""

    expire_at = serializers.DateTimeField(help_text="ISO 8601 with an offset; 7 days from now at most.")


class LinkOutput(serializers.Serializer[Any]):
    """A link that works without a token."""

    presigned_download_url = serializers.URLField()


class CountOutput(serializers.Serializer[Any]):
    """Objects and their bytes."""

    count = serializers.IntegerField()
    used_bytes = serializers.IntegerField()


class InfosOutput(CountOutput):
    """What a project's storage holds. Temporary objects are part of the totals."""

    total_bytes = serializers.IntegerField(help_text="The quota.")
    reserved_bytes = serializers.IntegerField(help_text="Of uploads under way.")
    anonymous_objects = CountOutput(help_text="Temporary objects.")


class DeletedOutput(serializers.Serializer[Any]):
    """How many objects are gone."""

    deleted = serializers.IntegerField()


def object_data(stored: StoredObject) -> dict[str, Any]:
    """Return an object as `ObjectOutput` describes it; written by hand since lists are long."""
    return {
        "uid": str(stored.pk),
        "path": stored.path,
        "download_url": delivery_url(stored.pk),
        "is_directory_archive": stored.is_directory_archive,
        "content_type": stored.content_type,
        "sha256": stored.sha256,
        "size": stored.size,
        "created_at": moment(stored.created_at),
        "updated_at": moment(stored.updated_at),
        "expires_at": moment(stored.expires_at) if stored.expires_at else None,
    }


def moment(value: datetime) -> str:
    """Return a moment in UTC, to the millisecond."""
    return value.isoformat(timespec="milliseconds").replace("+00:00", "Z")
