"""Serializer fields shared by the rooms."""

from __future__ import annotations

from typing import Any, NoReturn
from uuid import UUID

from django.core.validators import RegexValidator
from django.urls import reverse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request


def absolute_url(request: Request, name: str, **kwargs: Any) -> str:
    """Return the address of a route at the origin that the caller used."""
    return request.build_absolute_uri(reverse(name, kwargs=kwargs))


class TextField(serializers.CharField):
    """A string of a JSON body. Numbers and booleans are refused instead of being turned into text."""

    default_error_messages = {"invalid": "Give a string, in quotes."}

    def to_internal_value(self, data: Any) -> str:
        """Return the text, stripped unless told otherwise."""
        if not isinstance(data, str):
            self.fail("invalid")
        return str(super().to_internal_value(data))


class CountField(serializers.IntegerField):
    """A whole number of a JSON body. Words, booleans and fractions are refused."""

    def to_internal_value(self, data: Any) -> int:
        """Return the number."""
        if not isinstance(data, int) or isinstance(data, bool):
            self.fail("invalid")
        return int(super().to_internal_value(data))


class HashField(TextField):
    """A SHA-256 of a JSON body: 64 hexadecimal digits."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.validators.append(RegexValidator(r"^[0-9a-fA-F]{64}\Z", "Give 64 hexadecimal digits."))


class FlagField(serializers.BooleanField):
    """True or false of a JSON body. Words and numbers that could stand for them are refused."""

    def to_internal_value(self, data: Any) -> bool:
        """Return the flag."""
        if not isinstance(data, bool):
            self.fail("invalid", input=data)
        return data


class ChoiceField(serializers.ChoiceField):
    """One of some words; the refusal of any other lists them."""

    default_error_messages = {"invalid_choice": '"{input}" is none of: {choices}.'}

    def fail(self, key: str, **kwargs: Any) -> NoReturn:
        """Raise the field's error `key`."""
        super().fail(key, choices=", ".join(map(str, self.choices)), **kwargs)


class IdField(serializers.UUIDField):
    """A UUID as text. Numbers and booleans, which stand for UUIDs in other places, are refused."""

    def to_internal_value(self, data: Any) -> UUID:
        """Return the id."""
        if not isinstance(data, str):
            self.fail("invalid", value=data)
        found: UUID = super().to_internal_value(data)
        return found


@extend_schema_field(OpenApiTypes.URI)
class UrlField(serializers.Field[Any, Any, str, Any]):
    """The absolute address of a row: `UrlField("project", project_id="id")` reverses the route with the row's attributes."""

    def __init__(self, route: str, **attributes: str) -> None:
        super().__init__(read_only=True, source="*")
        self.route = route
        self.attributes = attributes

    def to_representation(self, value: Any) -> str:
        """Build the address from the request's own host."""
        kwargs = {name: getattr(value, attribute) for name, attribute in self.attributes.items()}
        return absolute_url(self.context["request"], self.route, **kwargs)

    def __deepcopy__(self, memo: dict[int, Any]) -> UrlField:
        """Copy for a serializer instance (DRF copies declared fields)."""
        return UrlField(self.route, **self.attributes)
