"""The pieces by themselves: digests of bodies in any pieces, and sealed replies."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO
from typing import Any

import pytest
from django.test import RequestFactory

from controlplane.api.idempotency.asking import Asked, asked_with
from controlplane.api.idempotency.bodies import Overheard, digest_for, is_streamed, overhear
from controlplane.api.idempotency.sealing import Reply, seal, unseal
from controlplane.common.errors import InvalidInput
from tests.storage.builders import BOUNDARY, form

DATA = b"\r\n--belt\r\n" * 50
ASKED = Asked("user 1 all everywhere", "POST", "/v1/organizations/", "key", ("", "body", "application/json", "0" * 64))


def form_request(boundary=BOUNDARY, body=b"elsewhere"):
    """A request with a form."""
    return RequestFactory().generic("POST", "/", body, f"multipart/form-data; boundary={boundary}")


def digest_in_pieces(body, size, boundary=BOUNDARY):
    digest = digest_for(form_request(boundary))
    for at in range(0, len(body), size):
        digest.feed(body[at : at + size])
    return digest.result()


@pytest.mark.parametrize("size", [1, 2, 7, 64, 1000, 10**6])
def test_a_form_has_one_digest_in_whatever_pieces_it_comes(size):
    body = form(DATA, fields={"sha256": "f" * 64})
    assert digest_in_pieces(body, size) == digest_in_pieces(body, len(body)) is not None


def test_a_form_has_one_digest_whatever_its_boundary():
    body = form(DATA)
    assert digest_in_pieces(body, 64) == digest_in_pieces(body.replace(BOUNDARY.encode(), b"another-one"), 64, "another-one")


@pytest.mark.parametrize(
    "body",
    [
        form(DATA + b"x"),
        form(DATA, content_type="image/png"),
        form(DATA, fields={"a": "b"}),
        form(DATA).replace(b'name="file"', b'name="other"'),
        form(DATA).replace(b'name="file"', b'name="file"; filename="a.png"'),
    ],
    ids=["content", "type", "field", "name", "file name"],
)
def test_another_form_has_another_digest(body):
    assert digest_in_pieces(body, 64) != digest_in_pieces(form(DATA), 64)


def test_content_does_not_pass_for_a_part():
    two = form(b"b", fields={"a": "a"})
    assert digest_in_pieces(two, 64) != digest_in_pieces(form(two), 64)


def test_a_form_that_has_not_ended_has_no_digest_and_what_follows_its_end_means_nothing():
    assert digest_in_pieces(form(DATA)[:-5], 64) is None
    assert digest_in_pieces(form(DATA) + b"epilogue" * 20, 64) == digest_in_pieces(form(DATA), 64)


def test_what_is_no_form_is_told_while_it_is_read():
    digest = digest_for(form_request())
    with pytest.raises(InvalidInput, match="broken"):
        digest.feed(f"--{BOUNDARY}\r\nnonsense\r\n\r\n".encode())


@pytest.mark.parametrize("read", [lambda stream: list(iter(lambda: stream.read(10), b"")), lambda stream: list(iter(stream.readline, b""))])
def test_a_stream_is_heard_however_it_is_read(read):
    body = form(DATA)
    heard = Overheard(BytesIO(body), digest_for(form_request()))
    assert b"".join(read(heard)) == body
    assert heard.bytes_read == len(body)
    assert heard.digest.result() == digest_in_pieces(body, 64)


def test_a_request_is_heard_where_its_view_reads_it():
    body = form(DATA)
    request = form_request(body=body)
    heard = overhear(request)
    assert b"".join(iter(lambda: request.read(100), b"")) == body
    assert heard.digest.result() == digest_in_pieces(body, 64)


@pytest.mark.parametrize(
    ("kind", "headers", "streamed"),
    [
        ("application/json", {}, False),
        ("application/json", {"Transfer-Encoding": "chunked"}, True),
        ("multipart/form-data; boundary=x", {}, True),
        ("", {}, False),
    ],
    ids=["JSON", "chunked", "form", "nothing"],
)
def test_only_forms_and_chunks_are_streams(kind, headers, streamed):
    assert is_streamed(RequestFactory().generic("POST", "/", b"x", kind, headers=headers)) is streamed


@pytest.mark.parametrize("field", ["caller", "method", "path", "key"])
def test_whoever_asks_elsewhere_or_otherwise_has_another_row_and_opens_no_reply(field):
    words: Any = {field: "other"}
    other = replace(ASKED, **words)
    assert other.digest != ASKED.digest
    sealed = seal(ASKED, Reply(201, {"Location": "/v1/x/"}, b"clear"))
    assert unseal(other, sealed) is None
    assert unseal(ASKED, sealed) == Reply(201, {"Location": "/v1/x/"}, b"clear")
    assert b"clear" not in sealed


def test_the_same_parameters_under_another_key_have_another_fingerprint():
    assert replace(ASKED, key="other").fingerprint != ASKED.fingerprint == replace(ASKED).fingerprint


def test_a_body_can_be_parsed_after_it_was_looked_at():
    request = RequestFactory().generic("POST", "/v1/x/?a=b", b'{"a": 1}', "application/json", headers={"Idempotency-Key": "key"})
    assert asked_with(request, "nobody").parameters[0] == "a=b"
    assert request.read() == b'{"a": 1}'
