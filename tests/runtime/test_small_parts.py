"""Log lines, frames and the command line."""

from __future__ import annotations

import asyncio
import json
import os
import random
from pathlib import Path

import pytest

from runtime.images import looks_like_image
from runtime.log import LINE_LIMIT, OutputPipe, level_of, write_log
from runtime.settings import parse_arguments
from runtime.wire import FrameBuffer, JobInput, frame
from runtime.workflow import read_workflow
from tests.runtime.process import WORKFLOWS


def test_a_log_line_has_only_what_is_known(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    write_log("INFO", "hello")
    write_log("ERROR", "failed", run="r", duration_ms=1.5, traceback="Traceback")
    short, full = (json.loads(line) for line in capfdbinary.readouterr().out.splitlines())
    assert set(short) == {"ts", "level", "message"}
    assert (full["run"], full["duration_ms"], full["traceback"]) == ("r", 1.5, "Traceback")


@pytest.mark.parametrize(
    ("line", "level"),
    [
        ("all is well", "INFO"),
        ("[ WARN:0@0.1] global loadsave.cpp", "WARNING"),
        ("WARNING:ikomia:slow", "WARNING"),
        ("2026-01-01 ERROR something", "ERROR"),
        ("Fatal Python error: Aborted", "ERROR"),
        ("no errors found", "INFO"),
    ],
)
def test_the_level_of_a_foreign_line_is_read_from_it(line: str, level: str) -> None:
    assert level_of(line) == level


def pipe_out(written: bytes) -> list[str]:
    """What a pipe that got these bytes holds as lines."""

    async def read() -> list[str]:
        descriptor, end = os.pipe()
        pipe = OutputPipe(asyncio.get_running_loop(), descriptor, lambda: None)
        os.write(end, written)
        os.close(end)
        pipe.close()
        return list(pipe.tail)

    return asyncio.run(read())


def test_a_long_line_is_cut_and_a_last_line_needs_no_end(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    lines = pipe_out(b"one\n\ntwo\n" + b"x" * (LINE_LIMIT + 1) + b"\nrest \xff")
    assert lines[:2] == ["one", "two"]
    assert lines[-1] == "rest \ufffd"
    assert len(capfdbinary.readouterr().out.splitlines()) == len(lines)


def test_frames_are_cut_right_however_the_stream_is_split() -> None:
    source = random.Random(1)
    messages = [JobInput("IMAGE", source.randbytes(source.randrange(3000))) for _ in range(50)]
    stream = b"".join(frame(message) for message in messages)
    buffer, found = FrameBuffer(), []
    position = 0
    while position < len(stream):
        step = source.randrange(1, 2000)
        found += buffer.feed(stream[position : position + step])
        position += step
    assert [body + b"" for body in found] == [frame(message)[4:] for message in messages]


def test_pictures_are_known_by_their_first_bytes() -> None:
    assert looks_like_image(b"RIFF\x00\x00\x00\x00WEBPVP8 ")
    assert not looks_like_image(b"RIFF\x00\x00\x00\x00WAVEfmt ")
    assert not looks_like_image(b"%PDF-1.7")


def test_the_inputs_that_tasks_expect_are_known_from_the_graph() -> None:
    expected = read_workflow(WORKFLOWS / "receive/workflow.json").expected_inputs()
    assert len(expected) == 10
    assert expected[:2] == [{"IMAGE"}, {"OBJECT_DETECTION"}]
    assert read_workflow(WORKFLOWS / "sum/workflow.json").expected_inputs() == [{"IMAGE"}, {"IMAGE"}]


def test_the_command_line_is_read_and_wrong_values_end_it(capsys: pytest.CaptureFixture[str]) -> None:
    required = ["--bundle", "b", "--socket", "s"]
    settings = parse_arguments(
        [*required, "--workers", "3", "--storage-origin", "http://x/", "--memory-mb", "512", "--storage-limit-mb", "7"]
    )
    assert settings.bundle == Path.cwd() / "b"
    assert (settings.workers, settings.storage_origin, settings.memory_mb, settings.run_timeout) == (3, "http://x", 512, 900.0)
    assert settings.storage_limit == 7 << 20
    for wrong in (["--workers", "0"], ["--run-timeout", "-1"]):
        with pytest.raises(SystemExit):
            parse_arguments([*required, *wrong])
    assert "must be" in capsys.readouterr().err
