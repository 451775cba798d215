"""Serializer fields of algorithms."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from django.urls import Resolver404, resolve
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from controlplane.api.fields import TextField
from controlplane.hub.models import PAPER
from controlplane.hub.platforms import VERSION_RULE
from controlplane.hub.selectors import shortened

WEB_ADDRESS = re.compile(r"https?://\S+", re.IGNORECASE)


class WordsField(serializers.ListField):
    """A list of words; empty ones are left out, since plugins without any send one empty word."""

    child = TextField(allow_blank=True, max_length=100)

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"max_length": 100, **options})

    def to_internal_value(self, data: Any) -> list[str]:
        """Return the words, each once."""
        return list(dict.fromkeys(word for word in super().to_internal_value(data) if word))


class UpperWordsField(WordsField):
    """A list of words in upper case."""

    def to_internal_value(self, data: Any) -> list[str]:
        """Return the words in upper case."""
        return [word.upper() for word in super().to_internal_value(data)]


class LinkField(TextField):
    """A web address, or a text that is none: clients send what plugins tell. Other schemes are refused, since pages make links of it.

    So is every character that is not shown: browsers leave tabs, line ends and control characters out of an address before they read its scheme.
    """

    default_error_messages = {"scheme": "Give an address that begins with https:// or http://, without spaces and control characters."}

    def to_internal_value(self, data: Any) -> str:
        """Return the address or the text."""
        text = super().to_internal_value(data)
        names_scheme = ":" in text.partition("/")[0]
        if not text.isprintable() or (names_scheme and not WEB_ADDRESS.fullmatch(text)):
            self.fail("scheme")
        return text


class DescriptionField(serializers.CharField):
    """A description: of a row of a long list only the beginning is there."""

    def get_attribute(self, instance: Any) -> Any:
        """Return the description, cut where it is longer than lists show."""
        beginning: str | None = getattr(instance, "beginning", None)
        return super().get_attribute(instance) if beginning is None else shortened(beginning)


class VersionField(TextField):
    """A version as numbers with dots, or nothing. A client sends a list of one where it means its content."""

    default_error_messages = {"version": "Give one to three numbers with dots between, such as 0.16.1, or nothing."}

    def to_internal_value(self, data: Any) -> str:
        """Return the version."""
        text = super().to_internal_value(data[0] if isinstance(data, list) and len(data) == 1 else data)
        if text and not VERSION_RULE.fullmatch(text):
            self.fail("version")
        return text


class PaperField(serializers.Serializer[Any]):
    """The paper that an algorithm comes from; what is not known is null."""

    authors = TextField(max_length=2_000, allow_blank=True, allow_null=True, default=None)
    title = TextField(max_length=1_000, allow_blank=True, allow_null=True, default=None)
    journal = TextField(max_length=1_000, allow_blank=True, allow_null=True, default=None)
    year = serializers.IntegerField(min_value=-9_999, max_value=9_999, allow_null=True, default=None)
    link = LinkField(max_length=500, allow_blank=True, allow_null=True, default=None)

    def to_internal_value(self, data: Any) -> Any:
        """Return all five keys."""
        found = super().to_internal_value(data)
        return {name: found.get(name) for name in PAPER}


@extend_schema_field(OpenApiTypes.URI)
class ProjectUrlField(serializers.Field[UUID, str, str, Any]):
    """A project, named by its address."""

    default_error_messages = {"invalid": "Give the 'url' of a project, as GET /v1/projects/?name=… answers it."}

    def to_internal_value(self, data: Any) -> UUID:
        """Return the id that the address names."""
        try:
            match = resolve(urlsplit(data).path) if isinstance(data, str) else None
        except (Resolver404, ValueError):
            match = None
        if match is None or match.url_name != "project":
            self.fail("invalid")
        found: UUID = match.kwargs["project_id"]
        return found
