"""Forms of uploads: bytes arrive whole however the network cuts them, and what is no form is refused with a reason."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.common.errors import InvalidInput
from storage.form import UploadForm, plain_fields
from tests.storage.builders import BOUNDARY, form

TYPE = f"multipart/form-data; boundary={BOUNDARY}"


def cut(body: bytes, sizes: list[int]) -> list[bytes]:
    """Return the body in chunks of these sizes, the last one with the rest."""
    chunks, at = [], 0
    for size in sizes:
        chunks.append(body[at : at + size])
        at += size
    return [chunk for chunk in [*chunks, body[at:]] if chunk]


def read(body: bytes, sizes: list[int] | None = None) -> tuple[bytes | None, dict[str, str]]:
    """Return file and fields of a body."""
    reader = UploadForm(iter(cut(body, sizes or [])), TYPE)
    data = b"".join(reader.content()) if reader.find_file() else None
    reader.finish()
    return data, reader.fields


@given(data=st.binary(max_size=500), sizes=st.lists(st.integers(1, 90), max_size=12))
def test_a_file_is_whole_however_its_form_is_cut(data, sizes):
    assert read(form(data, fields={"sha256": "a" * 64}), sizes) == (data, {"sha256": "a" * 64})


def test_bytes_that_look_like_the_end_of_the_form_are_part_of_the_file():
    data = f"\r\n--{BOUNDARY[:-1]}x\r\n--\r\n".encode() * 50
    assert read(form(data), [7] * 40)[0] == data


def test_the_content_type_keeps_its_parameters():
    reader = UploadForm(iter([form(b"x", content_type="text/plain; charset=utf-8")]), TYPE)
    part = reader.find_file()
    assert part is not None
    assert part.content_type == "text/plain; charset=utf-8"


def test_fields_may_follow_the_file():
    body = form(b"zip", fields=None).removesuffix(b"--\r\n") + form(None, fields={"is_directory_archive": "true"})[len(BOUNDARY) + 2 :]
    assert read(body) == (b"zip", {"is_directory_archive": "true"})


def test_a_form_without_a_file_has_none():
    assert read(form(None, fields={"copy_from": "x"})) == (None, {"copy_from": "x"})


@pytest.mark.parametrize("missing", [3, 10, 30, 60])
def test_a_form_that_ends_early_is_refused(missing):
    with pytest.raises(InvalidInput, match="ends early"):
        read(form(b"0123456789" * 5)[:-missing])


def test_two_files_are_refused():
    twice = form(b"one").removesuffix(b"--\r\n") + form(b"two")[len(BOUNDARY) + 2 :]
    with pytest.raises(InvalidInput, match="two files"):
        read(twice)


def test_a_field_as_long_as_a_file_is_refused():
    with pytest.raises(InvalidInput, match="too long"):
        read(form(b"", fields={"sha256": "a" * 20_000}))


@pytest.mark.parametrize("kind", ["", "application/json", "multipart/form-data", "image/png; boundary=x"])
def test_what_is_no_form_is_refused_with_an_example(kind):
    with pytest.raises(InvalidInput, match="curl") as refusal:
        UploadForm(iter([]), kind)
    assert refusal.value.status == 415


def test_a_plain_form_is_read():
    assert plain_fields(iter([b"copy_from=0198&pa", b"th=a%20b"])) == {"copy_from": "0198", "path": "a b"}


@pytest.mark.parametrize("body", [b"copy_from=%ff", b"a=1&" * 20, b"x" * 20_000])
def test_a_broken_plain_form_is_refused(body):
    with pytest.raises(InvalidInput):
        plain_fields(iter([body]))
