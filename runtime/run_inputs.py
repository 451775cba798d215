"""The inputs in the body of a run: what they are, whether the workflow takes them, and where they lie."""

import base64

import msgspec

from runtime.data_types import JSON_TYPES, WRAPPED_JSON, fits
from runtime.errors import InvalidRun
from runtime.images import check_image, decode_base64
from runtime.settings import Settings
from runtime.storage.connection import is_encoded, same_origin
from runtime.wire import JobInput

_STORED_KINDS = {
    "image": "IMAGE",
    "video": "VIDEO",
    "file_path": "FILE_PATH",
    "folder_path": "FOLDER_PATH",
    "json": WRAPPED_JSON,
    **{kind.lower(): kind for kind in JSON_TYPES},
}


class StorageReference(msgspec.Struct):
    """A `storage_object` input; `url` is the address of the object's metadata. Results of other runs say more: ignored."""

    url: str
    data_type: str = "image"

    @property
    def kind(self) -> str:
        """The engine's name of the data type, JSON where the content will tell."""
        return _STORED_KINDS[self.data_type.lower()]

    def check(self, where: str, settings: Settings, token: str | None) -> None:
        """Raises InvalidRun when the object can't be read, as far as that is known without asking storage."""
        check_access(where, settings, token)
        if not same_origin(self.url, settings.storage_origin or ""):
            raise InvalidRun("wrong_storage", f"{where}: storage objects must come from {settings.storage_origin}")
        if not is_encoded(self.url):
            raise InvalidRun("invalid_input", f"{where}: the url of a storage object must be percent-encoded")


def check_access(where: str, settings: Settings, token: str | None) -> None:
    """Raises InvalidRun when this deployment or this request can't reach project storage."""
    if settings.storage_socket is None or settings.storage_origin is None:
        raise InvalidRun("not_supported", f"{where}: this deployment has no access to project storage")
    if not token:
        raise InvalidRun(
            "no_storage_token",
            f"{where} needs project storage, and the request's token does not give access to it: get one with "
            f"GET {settings.storage_origin}/v1/projects/jwt/?endpoint=<this endpoint>&storage=true",
        )


def check_may_save(where: str, token: str | None) -> None:
    """Raises InvalidRun for a token that says of itself that it only reads, before a long run for nothing; storage checks all others."""
    try:
        payload = (token or "").split(".")[1]
        scopes = msgspec.json.decode(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)), type=_Claims).scope.split()
    except (ValueError, IndexError):
        return
    if "storage:read" in scopes and "storage" not in scopes:
        raise InvalidRun(
            "read_only_token", f"{where} is saved in project storage, and the request's token may only read it: get one with &storage=true"
        )


class _Claims(msgspec.Struct):
    scope: str = ""


def read_input(where: str, item: dict[str, msgspec.Raw], expected: set[str] | None) -> JobInput | StorageReference:
    """One input; `expected` is None where no task is connected: anything may be there, results of others are passed on whole."""
    if len(item) != 1:
        raise InvalidRun("invalid_input", f"{where} must have exactly one key (its type), it has {len(item)}: {', '.join(item) or 'none'}")
    ((kind, raw),) = item.items()
    if kind == "storage_object":
        reference = _storage_reference(where, raw)
        _check_type(where, reference.kind, expected, reference.data_type)
        return reference
    if kind == "image":
        _check_type(where, "IMAGE", expected)
        data = decode_base64(_text(where, raw), f"{where}.image")
        check_image(data, f"{where}.image")
        return JobInput("IMAGE", data)
    if kind in JSON_TYPES:
        _check_type(where, kind, expected)
        content = bytes(raw)
        if not content.startswith(b"{"):
            raise InvalidRun("invalid_input", f"{where}.{kind} must be an object")
        return JobInput(kind, content)
    accepted = ", ".join(["image", "storage_object", *sorted(JSON_TYPES)])
    raise InvalidRun("invalid_input", f"{where} has the unknown type {kind!r}; accepted are: {accepted}")


def _text(where: str, raw: msgspec.Raw) -> str:
    try:
        return msgspec.json.decode(raw, type=str)
    except msgspec.ValidationError as error:
        raise InvalidRun("invalid_image", f"{where}.image must be a base64 string") from error


def _check_type(where: str, kind: str, expected: set[str] | None, shown: str | None = None) -> None:
    if expected and not fits(kind, expected):
        raise InvalidRun("wrong_input_type", f"{where} is {shown or kind}, the workflow expects {' or '.join(sorted(expected))} there")


def _storage_reference(where: str, raw: msgspec.Raw) -> StorageReference:
    try:
        reference = msgspec.json.decode(raw, type=StorageReference)
    except msgspec.ValidationError as error:
        raise InvalidRun("invalid_input", f"{where}.storage_object: {error}") from error
    if reference.data_type.lower() not in _STORED_KINDS:
        accepted = ", ".join(_STORED_KINDS)
        raise InvalidRun("invalid_input", f"{where} has the unknown data_type {reference.data_type[:80]!r}; accepted are: {accepted}")
    return reference
