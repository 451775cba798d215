"""Files become temporary objects of project storage. They are streamed: memory stays the same for any size."""

import contextlib
import http
import secrets
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import msgspec

from runtime.errors import StorageUnavailable
from runtime.storage.connection import StorageConnections, check_status, read_answer
from runtime.wire import SavedFile

CHUNK = 1024 * 1024


class CreatedObject(msgspec.Struct):
    """The field of a new object that is needed to name it."""

    uid: str


def upload_file(connections: StorageConnections, saved: SavedFile, token: str) -> bytes:
    """Store a file as a temporary object; gives the result that names it, as JSON. Raises a TransferFailed.

    An upload that got no answer is sent again: the object that may have come of it is temporary as well.
    """
    url = f"{connections.origin}/v1/objects/"
    body = connections.persist("store a result", partial(_send, connections, url, saved, token))
    try:
        created = msgspec.json.decode(body, type=CreatedObject)
    except msgspec.MsgspecError as error:
        raise StorageUnavailable(f"project storage gave no usable answer to an upload: {error}") from error
    reference = {"url": f"{url}?uid={created.uid}", "data_type": saved.data_type, "metadata": msgspec.Raw(body)}
    return msgspec.json.encode({"storage_object": reference})


def _send(connections: StorageConnections, url: str, saved: SavedFile, token: str) -> bytes:
    boundary = secrets.token_hex(16)
    path = Path(saved.path)
    head, tail = _frame(saved, boundary)
    headers = {
        "Authorization": f"Bearer {token}",
        "Accept": "application/json",
        "Content-Type": f"multipart/form-data; boundary={boundary}",
        "Content-Length": str(len(head) + path.stat().st_size + len(tail)),
    }
    with connections.open(url) as (connection, target):
        # Storage may refuse before it has read everything: its answer says more than the broken pipe.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.request("POST", target, _body(head, path, tail), headers)
        response = connection.getresponse()
        check_status(response, "store a result", http.HTTPStatus.CREATED, http.HTTPStatus.OK)
        return read_answer(response)


def _frame(saved: SavedFile, boundary: str) -> tuple[bytes, bytes]:
    """What stands before and after the file's bytes in the form."""
    head = ""
    if saved.is_archive:
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="is_directory_archive"\r\n\r\ntrue\r\n'
    head += f'--{boundary}\r\nContent-Disposition: form-data; name="file"\r\nContent-Type: {saved.content_type}\r\n\r\n'
    return head.encode(), f"\r\n--{boundary}--\r\n".encode()


def _body(head: bytes, path: Path, tail: bytes) -> Iterator[bytes]:
    yield head
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            yield chunk
    yield tail
