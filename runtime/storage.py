"""Read a storage object's bytes through the storage socket. Blocking: called in a thread, never on the event loop."""

import http.client
import socket
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from runtime.errors import StorageUnavailable
from runtime.images import looks_like_image
from runtime.run_request import StorageReference, same_origin

METADATA_LIMIT = 1024 * 1024
OBJECT_LIMIT = 100 * 1024 * 1024
TIMEOUT_SECONDS = 30.0


class ObjectMetadata(msgspec.Struct):
    """The fields of a storage object that matter here."""

    download_url: str
    size: int | None = None


class ObjectPage(msgspec.Struct):
    """A page of storage objects."""

    results: list[ObjectMetadata]


class _SocketConnection(http.client.HTTPConnection):
    """HTTP to a host that is reached through a unix socket. It follows no redirect."""

    def __init__(self, path: Path, host: str) -> None:
        super().__init__(host, timeout=TIMEOUT_SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def fetch_image(reference: StorageReference, *, socket_path: Path, origin: str, token: str) -> bytes:
    """The picture behind a storage object (at most 100 MB); raises StorageUnavailable with the reason."""
    metadata = _metadata(_get(reference.url, METADATA_LIMIT, socket_path, token), reference.url)
    if not same_origin(metadata.download_url, origin):
        raise StorageUnavailable(f"storage object {reference.url} lies outside {origin}")
    if metadata.size is not None and metadata.size > OBJECT_LIMIT:
        raise StorageUnavailable(f"storage object {reference.url} is larger than {OBJECT_LIMIT // 1024**2} MB")
    data = _get(metadata.download_url, OBJECT_LIMIT, socket_path, token)
    if not looks_like_image(data):
        raise StorageUnavailable(f"storage object {reference.url} is not an image in a supported format")
    return data


def _metadata(body: bytes, url: str) -> ObjectMetadata:
    try:
        objects = msgspec.json.decode(body, type=ObjectPage | list[ObjectMetadata])
    except msgspec.MsgspecError as error:
        raise StorageUnavailable(f"storage gave no usable description of {url}: {error}") from error
    found = objects.results if isinstance(objects, ObjectPage) else objects
    if len(found) != 1:
        raise StorageUnavailable(f"storage object {url} does not exist" if not found else f"{url} names {len(found)} storage objects")
    return found[0]


def _get(url: str, limit: int, socket_path: Path, token: str) -> bytes:
    parts = urlsplit(url)
    target = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
    connection = _SocketConnection(socket_path, parts.netloc)
    try:
        connection.request("GET", target, headers={"Authorization": f"Bearer {token}", "Accept": "*/*"})
        response = connection.getresponse()
        if response.status != 200:
            raise StorageUnavailable(f"storage answered {response.status} for {url}")
        data = response.read(limit + 1)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise StorageUnavailable(f"storage could not be read for {url}: {error}") from error
    finally:
        connection.close()
    if len(data) > limit:
        raise StorageUnavailable(f"storage object {url} is larger than {limit} bytes")
    return data
