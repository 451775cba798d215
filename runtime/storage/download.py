"""Objects of project storage become files. They are streamed: memory stays the same for any size."""

import hashlib
import http
import http.client
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import msgspec

from runtime.errors import StorageRefused, StorageUnavailable
from runtime.storage.connection import Dropped, StorageConnections, check_status, is_encoded, read_answer, same_origin

CHUNK = 1024 * 1024


class StoredObject(msgspec.Struct):
    """The fields of a storage object that matter here; `size` in bytes."""

    download_url: str
    size: Annotated[int, msgspec.Meta(ge=0)]
    sha256: str | None = None
    path: str | None = None
    content_type: str = "application/octet-stream"
    is_directory_archive: bool = False


class ObjectPage(msgspec.Struct):
    """A page of storage objects."""

    results: list[StoredObject]


def describe_object(connections: StorageConnections, url: str, token: str) -> StoredObject:
    """The metadata of the object that an input's URL names; raises a TransferFailed."""
    body = connections.persist(f"describe {url}", partial(_ask, connections, url, token))
    try:
        page = msgspec.json.decode(body, type=ObjectPage | list[StoredObject])
    except msgspec.MsgspecError as error:
        raise StorageUnavailable(f"project storage gave no usable description of {url}: {error}") from error
    found = page.results if isinstance(page, ObjectPage) else page
    if not found:
        raise StorageRefused(f"storage object {url} does not exist in this project; it may have expired: upload it again")
    if len(found) > 1:
        raise StorageRefused(f"{url} names {len(found)} storage objects, an input is one: give the address with its uid")
    if not same_origin(found[0].download_url, connections.origin):
        raise StorageRefused(f"the content of storage object {url} lies outside {connections.origin}")
    if not is_encoded(found[0].download_url):
        raise StorageRefused(f"the address of the content of storage object {url} is not percent-encoded, so it can't be asked for")
    return found[0]


def _ask(connections: StorageConnections, url: str, token: str) -> bytes:
    with connections.open(url) as (connection, target):
        connection.request("GET", target, headers={"Authorization": f"Bearer {token}", "Accept": "application/json"})
        response = connection.getresponse()
        check_status(response, f"describe {url}", http.HTTPStatus.OK)
        return read_answer(response)


def download_object(connections: StorageConnections, stored: StoredObject, token: str, path: Path) -> None:
    """Write an object's content into an existing file of its size, size and sha256 checked; raises a TransferFailed."""
    with path.open("r+b") as file:
        download = _Download(connections, stored, token, file)
        connections.persist(f"give {stored.download_url}", download.go_on)


class _Download:
    """One download. After a drop it goes on where it was, where storage serves ranges."""

    def __init__(self, connections: StorageConnections, stored: StoredObject, token: str, file: Any) -> None:
        self._connections = connections
        self._stored = stored
        self._headers = {"Authorization": f"Bearer {token}", "Accept": "*/*"}
        self._file = file
        self._done = 0
        self._digest = hashlib.sha256()

    def go_on(self) -> None:
        """One attempt; raises Dropped when the content is not complete."""
        before = self._done
        try:
            self._receive()
        except Dropped as dropped:
            raise Dropped(str(dropped), progress=self._done > before, pause=dropped.pause) from dropped
        if self._done != self._stored.size:
            reason = f"the connection ended after {self._done} of {self._stored.size} bytes"
            raise Dropped(reason, progress=self._done > before)
        if self._stored.sha256 is not None and self._digest.hexdigest() != self._stored.sha256.lower():
            self._start_over()
            raise Dropped("the content that arrived does not have the sha256 of the object")

    def _receive(self) -> None:
        asked = {"Range": f"bytes={self._done}-"} if self._done else {}
        url = self._stored.download_url
        with self._connections.open(url) as (connection, target):
            connection.request("GET", target, headers=self._headers | asked)
            response = connection.getresponse()
            check_status(response, f"give {url}", http.HTTPStatus.OK, http.HTTPStatus.PARTIAL_CONTENT)
            if response.status == http.HTTPStatus.OK and self._done:
                self._start_over()
            self._copy(response)

    def _copy(self, response: http.client.HTTPResponse) -> None:
        buffer = memoryview(bytearray(CHUNK))
        while count := response.readinto(buffer):
            chunk = buffer[:count]
            if self._done + count > self._stored.size:
                self._start_over()
                raise Dropped(f"more than the object's {self._stored.size} bytes arrived")
            self._file.write(chunk)
            self._digest.update(chunk)
            self._done += count

    def _start_over(self) -> None:
        self._file.seek(0)
        self._done = 0
        self._digest = hashlib.sha256()
