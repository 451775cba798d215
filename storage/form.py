"""The multipart form of an upload, read as it comes: fields before and after one file, whose bytes are never held as a whole.

Clients send the file without a filename, which Django's own parser takes for text and decodes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import parse_qsl

from multipart import MultipartError, MultipartSegment, PushMultipartParser, parse_options_header

from controlplane.common.errors import InvalidInput
from storage.errors import not_a_form

FILE = "file"
FIELD_BYTES = 16 * 1024
MOST_PARTS = 16


@dataclass(frozen=True, slots=True)
class FilePart:
    """What a form says of its file before the bytes."""

    content_type: str | None


class UploadForm:
    """Call `find_file`, then iterate over `content`, then `finish`; `fields` fills up on the way. Raises `InvalidInput`."""

    def __init__(self, chunks: Iterator[bytes], content_type: str) -> None:
        kind, options = parse_options_header(content_type)
        if kind != "multipart/form-data" or not options.get("boundary"):
            raise not_a_form()
        self.fields: dict[str, str] = {}
        self._chunks = chunks
        self._read = 0
        try:
            self._parser = PushMultipartParser(options["boundary"], max_segment_count=MOST_PARTS, max_header_size=4096)
        except MultipartError as error:
            raise broken(error) from error
        self.closing_bytes = len(options["boundary"]) + len("\r\n----\r\n")
        self._events = self._parse()
        self._file_seen = False

    @property
    def bytes_read(self) -> int:
        """Return how much of the body has been parsed, in bytes."""
        return self._read

    def find_file(self) -> FilePart | None:
        """Read fields up to the file; None when the form has none."""
        for event in self._events:
            if not isinstance(event, MultipartSegment):
                continue
            if event.name == FILE:
                if self._file_seen:
                    raise InvalidInput("two_files", "The form has two files. Send one file in each request.", fields={"file": ["only one"]})
                self._file_seen = True
                return FilePart(event.header("Content-Type"))
            self._read_field(event.name or "")
        return None

    def content(self) -> Iterator[bytes]:
        """Yield the bytes of the file that was found."""
        for event in self._events:
            if event is None:
                return
            if isinstance(event, bytes | bytearray):
                yield bytes(event) if isinstance(event, bytearray) else event

    def finish(self) -> None:
        """Read the fields after the file; the form must end as a form does."""
        self.find_file()

    def _read_field(self, name: str) -> None:
        value = bytearray()
        for event in self._events:
            if event is None:
                break
            if isinstance(event, bytes | bytearray):
                value += event
            if len(value) > FIELD_BYTES:
                raise InvalidInput(
                    "field_too_long", f"The field '{name[:100]}' is too long.", fields={name[:100]: [f"{FIELD_BYTES} bytes at most"]}
                )
        try:
            self.fields[name] = value.decode()
        except UnicodeDecodeError as error:
            raise InvalidInput("invalid", f"The field '{name[:100]}' is not UTF-8.", fields={name[:100]: ["not UTF-8"]}) from error

    def _parse(self) -> Iterator[MultipartSegment | bytes | bytearray | None]:
        try:
            for chunk in self._chunks:
                self._read += len(chunk)
                yield from self._parser.parse(chunk)
            self._parser.close()
        except MultipartError as error:
            raise broken(error) from error


def plain_fields(chunks: Iterator[bytes]) -> dict[str, str]:
    """Return the fields of a form without a file (`application/x-www-form-urlencoded`). Raises `InvalidInput`."""
    body = bytearray()
    for chunk in chunks:
        body += chunk
        if len(body) > FIELD_BYTES:
            raise InvalidInput(
                "field_too_long", f"This form is too long: {FIELD_BYTES} bytes at most. Files are sent as multipart/form-data."
            )
    try:
        return dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=MOST_PARTS, errors="strict"))
    except (UnicodeDecodeError, ValueError) as error:
        raise InvalidInput("malformed", "This is not a form: application/x-www-form-urlencoded in UTF-8.") from error


def broken(error: Exception) -> InvalidInput:
    """Return the refusal of a body that is no whole form."""
    return InvalidInput("malformed", f"The form is broken or ends early ({error}). Nothing was stored; send it again.")
