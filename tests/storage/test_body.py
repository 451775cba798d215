"""Reading bodies: errors of the connection come through, and a client that stops sending does not hold a place for ever."""

from __future__ import annotations

import io
import threading

import pytest

from storage.body import BodyReader
from storage.errors import ClientSilent


class Pausing:
    """A body that stops after its first bytes until it is let go on."""

    def __init__(self) -> None:
        self.reads = 0
        self.go_on = threading.Event()

    def read(self, size: int, /) -> bytes:
        """Return five bytes, then wait."""
        self.reads += 1
        if self.reads > 1:
            self.go_on.wait(10)
        return b"first" if self.reads == 1 else b""


class Breaking:
    """A body whose connection breaks."""

    def read(self, size: int, /) -> bytes:
        """Fail."""
        raise ConnectionResetError("gone")


def test_chunks_come_in_order_until_the_end():
    data = bytes(range(256)) * 3000
    with BodyReader(io.BytesIO(data), silence=5) as body:
        assert b"".join(body) == data
        assert list(body) == []


def test_silence_ends_an_upload_with_a_408():
    stream = Pausing()
    with BodyReader(stream, silence=0.05) as body:
        assert next(body) == b"first"
        with pytest.raises(ClientSilent) as refusal:
            next(body)
    assert refusal.value.status == 408
    stream.go_on.set()


def test_a_broken_connection_comes_through():
    with BodyReader(Breaking(), silence=5) as body, pytest.raises(ConnectionResetError):
        next(body)


def test_what_is_refused_is_read_for_a_while_and_no_longer():
    stream = io.BytesIO(bytes(300_000))
    with BodyReader(stream, silence=5) as body:
        next(body)
        body.drain()
    assert stream.read(1) == b""
    endless = Pausing()
    with BodyReader(endless, silence=5) as body:
        body.drain(seconds=0.05)
    endless.go_on.set()


def test_a_reader_that_is_given_up_lets_its_thread_end():
    before = threading.active_count()
    with BodyReader(io.BytesIO(bytes(10_000_000)), silence=5) as body:
        next(body)
        thread = body._thread
    thread.join(5)
    assert not thread.is_alive()
    assert threading.active_count() <= before
