"""Nothing that was printed is lost or doubled, whoever dies on the way; what there is no room for is told in its place."""

from __future__ import annotations

import asyncio
import errno
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import LazySettings
from django.db import connection
from django.db.utils import OperationalError

from controlplane.accounts.models import User
from controlplane.common.clock import milliseconds
from controlplane.common.valkey import valkey
from deployments import logs_limit, logs_tail
from deployments.logs import MESSAGE_LIMIT
from deployments.logs_limit import tell_skipped
from deployments.logs_tail import tail_logs
from deployments.models import Deployment, LogLine, Replica
from deployments.providers import registry
from deployments.providers.base import LogChunk, ProviderUnavailable
from deployments.providers.local import logfile
from deployments.providers.local.logfile import LINE_BYTES, LOST, LogWriter, drop, mend, positions, read
from deployments.services import delete_deployment
from deployments.states import ReplicaStatus
from tests.deployments.builders import deploy
from tests.deployments.conftest import Clock
from tests.deployments.test_local_removal import replica_in
from tests.deployments.test_logs import line, messages
from tests.fakes.provider import FakeProvider

Settle = Callable[..., Deployment]


@dataclass
class TellingProvider(FakeProvider):
    """A provider that tells how far its logs reach."""

    reads: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)

    def read_logs(self, name: str, cursor: str, *, limit: int) -> LogChunk:
        self.reads.append(name)
        return super().read_logs(name, cursor, limit=limit)

    def log_positions(self) -> dict[str, str]:
        return {name: str(len(lines)) for name, lines in self.printed.items()}

    def drop_logs(self, name: str) -> None:
        self.dropped.append(name)
        self.printed.pop(name, None)


@pytest.fixture
def telling(cloud: FakeProvider, monkeypatch: pytest.MonkeyPatch) -> TellingProvider:
    made = TellingProvider()
    monkeypatch.setitem(registry.DRIVERS, "local", lambda: made)
    registry.provider.cache_clear()
    return made


@pytest.fixture
def running(owner: User, telling: TellingProvider, settle: Settle) -> Deployment:
    return settle(deploy(owner))


def texts(folder: Path, name: str = "d1") -> list[str]:
    return [json.loads(text)["message"] for text in read(folder, name, "", limit=10_000)["lines"]]


# What the worker fetches


def test_only_logs_that_have_grown_are_read(owner: User, telling: TellingProvider, settle: Settle) -> None:
    first, second = settle(deploy(owner)), settle(deploy(owner))
    names = {replica.deployment_id: replica.name for replica in Replica.objects.all()}
    telling.printed = {name: [line("start")] for name in names.values()}
    tail_logs()
    telling.reads.clear()
    telling.printed[names[second.pk]].append(line("news"))

    assert (tail_logs(), tail_logs()) == (1, 0)

    assert telling.reads == [names[second.pk]]
    assert (messages(first), messages(second)) == (["start"], ["start", "news"])


def test_one_that_floods_keeps_nobody_waiting(
    owner: User, telling: TellingProvider, settle: Settle, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        settle(deploy(owner))
    chatty, *others = Replica.objects.order_by("created_at").values_list("name", flat=True)
    telling.printed = {chatty: [line(str(number)) for number in range(100)], **{name: [line("one")] for name in others}}
    monkeypatch.setattr(logs_tail, "LINES_A_READ", 10)

    tail_logs()

    assert set(telling.reads[:3]) == {chatty, *others}
    assert telling.reads[3:] == [chatty] * 4


def test_the_log_of_a_replica_that_is_gone_is_removed_when_it_was_read_to_its_end(
    running: Deployment, owner: User, telling: TellingProvider, settle: Settle
) -> None:
    delete_deployment(actor=owner, deployment_id=running.pk)
    settle(running)
    telling.printed[telling.created[0]] = [line("the end")]

    tail_logs()
    assert telling.dropped == []
    tail_logs()

    assert (messages(running), telling.dropped) == (["the end"], telling.created)
    assert Replica.objects.get().log_complete


def test_last_words_that_come_while_positions_are_asked_for_are_fetched(
    running: Deployment, telling: TellingProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    (name,) = telling.created
    telling.printed[name] = [line("first")]
    tail_logs()

    def end_meanwhile() -> dict[str, str]:
        found = {name: str(len(telling.printed[name]))}
        telling.printed[name].append(line("last words"))
        Replica.objects.update(status=ReplicaStatus.TERMINATED)
        return found

    with monkeypatch.context() as patch:
        patch.setattr(telling, "log_positions", end_meanwhile)
        tail_logs()
    for _ in range(2):
        tail_logs()

    assert (messages(running), telling.dropped) == (["first", "last words"], [name])


def test_a_log_that_cannot_be_removed_yet_is_no_fault(
    running: Deployment, owner: User, telling: TellingProvider, settle: Settle, monkeypatch: pytest.MonkeyPatch
) -> None:
    delete_deployment(actor=owner, deployment_id=running.pk)
    settle(running)

    def away(name: str) -> None:
        raise ProviderUnavailable("away")

    monkeypatch.setattr(telling, "drop_logs", away)
    tail_logs()

    assert Replica.objects.get().log_complete


def test_a_database_that_restarts_between_fetching_and_committing_loses_and_doubles_nothing(
    running: Deployment, telling: TellingProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    telling.printed[telling.created[0]] = [line("one"), line("two")]

    def cut(*_: object) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    with monkeypatch.context() as patch:
        patch.setattr(logs_tail, "within_limits", cut)
        with pytest.raises(OperationalError):
            tail_logs()
    connection.close()

    assert (tail_logs(), tail_logs()) == (2, 0)
    assert messages(running) == ["one", "two"]


def test_another_worker_that_fetches_at_the_moment_is_left_to_it(running: Deployment, telling: TellingProvider) -> None:
    telling.printed[telling.created[0]] = [line("one")]
    valkey().set(logs_tail.TURN, "another", px=10_000)

    assert tail_logs() == 0
    assert valkey().get(logs_tail.TURN) == b"another"
    valkey().delete(logs_tail.TURN)

    assert tail_logs() == 1


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ('{"ts": 1e400, "level": "INFO", "message": "m"}', None),
        ('{"ts": NaN, "level": "INFO", "message": "m"}', None),
        ('{"ts": 1, "level": ["INFO"], "message": "m"}', "m"),
        ('{"ts": 1, "level": "INFO", "message": "half \\ud83d"}', "half ?"),
        ('{"ts": 1, "level": "INFO", "message": "nul \\u0000 there"}', "nul  there"),
        ('{"ts": 1, "level": "INFO", "message": {"a": 1}}', "{'a': 1}"),
        ('{"ts": 1, "level": "INFO", "message": "m", "duration_ms": 1e400}', "m"),
        ("[" * 100_000, None),
        ("\ud83d \x00", "? "),
        ("x" * (MESSAGE_LIMIT + 1), "x" * MESSAGE_LIMIT + f"\n… (cut: {MESSAGE_LIMIT + 1} characters)"),
    ],
    ids=["infinite time", "no time", "list for level", "half a character", "nul", "object", "infinite duration", "deep", "raw", "long"],
)
def test_whatever_a_workflow_prints_stops_no_log(running: Deployment, telling: TellingProvider, text: str, kept: str | None) -> None:
    telling.printed[telling.created[0]] = [text, line("and on")]

    tail_logs()

    first, second = messages(running)
    assert second == "and on"
    assert first == (kept if kept is not None else text[:MESSAGE_LIMIT] + first[MESSAGE_LIMIT:])


@pytest.mark.parametrize("ts", [0, -5, 10**15], ids=["in 1970", "before", "far ahead"])
def test_a_time_that_cannot_be_is_the_time_of_arrival(running: Deployment, telling: TellingProvider, moving_clock: Clock, ts: int) -> None:
    telling.printed[telling.created[0]] = [line("odd", ts=ts)]
    running.log_head.delete()
    before = milliseconds(moving_clock.now)

    tail_logs()

    assert before <= LogLine.objects.get(message="odd").timestamp < before + 1000


# What a deployment may write


@pytest.fixture
def narrow(settings: LazySettings) -> None:
    settings.LOG_LINES_A_MINUTE = 3


def test_what_goes_beyond_a_minutes_lines_is_left_out_and_told(
    running: Deployment, telling: TellingProvider, moving_clock: Clock, narrow: None
) -> None:
    printed = telling.printed.setdefault(telling.created[0], [line(str(number)) for number in range(10)])
    moving_clock.now = moving_clock.now.replace(second=0)
    tail_logs()
    printed.append(line("still too much"))
    tail_logs()
    moving_clock.advance(60)
    printed.append(line("next minute"))

    tail_logs()

    limit = "3 lines or 8 MB"
    assert messages(running) == [
        "0",
        "1",
        "2",
        f"More than {limit} were written in a minute. What follows in this minute is left out.",
        f"8 lines were left out: there is room for {limit} in a minute.",
        "next minute",
    ]


def test_what_was_left_out_is_told_even_if_nothing_follows(
    running: Deployment, telling: TellingProvider, moving_clock: Clock, narrow: None
) -> None:
    telling.printed[telling.created[0]] = [line(str(number)) for number in range(5)]
    tail_logs()
    tell_skipped()
    assert len(messages(running)) == 4
    moving_clock.advance(60)

    tail_logs()
    tail_logs()

    assert messages(running)[4:] == ["2 lines were left out: there is room for 3 lines or 8 MB in a minute."]


def test_a_minutes_bytes_are_limited_too(
    running: Deployment, telling: TellingProvider, settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.LOG_MEGABYTES_A_MINUTE = 1
    monkeypatch.setattr(logs_limit, "MEGABYTE", 100)
    telling.printed[telling.created[0]] = [line("x" * 60), line("y" * 60), line("z")]

    tail_logs()

    assert [text[0] for text in messages(running)] == ["x", "M"]


# What the agent keeps


def test_a_long_line_is_kept_whole_in_pieces_that_break_no_character(tmp_path: Path) -> None:
    writer = LogWriter(tmp_path, "d1")
    text = "ü€😀" * 1_150_000
    data = text.encode()
    assert len(data) > 10_000_000
    for first in range(0, len(data), 65_536):
        writer.feed(data[first : first + 65_536])
    writer.feed(b"\nnext\n")
    writer.close()

    cursor, found = "", []
    while (answer := read(tmp_path, "d1", cursor, limit=1000))["lines"]:
        cursor = answer["cursor"]
        found += [json.loads(text)["message"] for text in answer["lines"]]

    assert "".join(found) == f"{text}\nnext"
    assert max(len(piece.encode()) for piece in found) <= LINE_BYTES


def test_a_long_line_of_the_runtime_stays_one_object(tmp_path: Path) -> None:
    writer = LogWriter(tmp_path, "d1")
    text = line("failed", traceback="y" * 300_000).encode() + b"\n"
    for first in range(0, len(text), 65_536):
        writer.feed(text[first : first + 65_536])
    writer.close()

    (kept,) = read(tmp_path, "d1", "", limit=10)["lines"]
    assert len(json.loads(kept)["traceback"]) == 300_000


def test_bytes_that_are_no_text_are_kept_as_well_as_can_be(tmp_path: Path) -> None:
    writer = LogWriter(tmp_path, "d1")
    writer.feed(b"caf\xe9 \xff\xfe\n" + b"[" * 50_000 + b"\n" + b'{"ts":1,"level":"INFO","message":"\xff"}\n')
    writer.close()

    first, second, third = "\n".join(texts(tmp_path)).split("\n")
    assert (first, second, "\ufffd" in third) == ("caf\ufffd \ufffd\ufffd", "[" * 50_000, True)


def test_a_line_that_a_killed_agent_was_writing_is_read_and_spoils_no_other(tmp_path: Path) -> None:
    (tmp_path / "d1.1.log").write_bytes(logfile.entry("INFO", "whole") + b'\n{"ts":1,"level":"INFO","mess')
    (tmp_path / "d2.1.log").write_bytes(logfile.entry("INFO", "whole") + b"\n")
    (tmp_path / "d3.1.log").write_bytes(b"")

    mend(tmp_path)
    writer = LogWriter(tmp_path, "d1")
    writer.note("INFO", "next")
    writer.close()

    lines = read(tmp_path, "d1", "", limit=10)["lines"]
    assert [lines[1], json.loads(lines[2])["message"]] == ['{"ts":1,"level":"INFO","mess', "next"]
    assert (texts(tmp_path, "d2"), texts(tmp_path, "d3")) == (["whole"], [])


def test_positions_are_the_cursors_of_readers_who_have_read_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logfile, "SEGMENT_BYTES", 200)
    for name, count in (("d1", 20), ("d2-with-more", 1), ("d3", 0)):
        writer = LogWriter(tmp_path, name)
        for number in range(count):
            writer.note("INFO", f"line {number}")
        writer.close()
    (tmp_path / "notes.txt").touch()

    assert positions(tmp_path) == {name: read(tmp_path, name, "", limit=1000)["cursor"] for name in ("d1", "d2-with-more", "d3")}


def test_a_log_that_was_read_is_removed_with_all_its_segments_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logfile, "SEGMENT_BYTES", 100)
    for name in ("d1", "d1-r2"):
        writer = LogWriter(tmp_path, name)
        for number in range(5):
            writer.note("INFO", f"line {number}")
        writer.close()

    drop(tmp_path, "d1")
    drop(tmp_path, "d1")

    assert (list(positions(tmp_path)), texts(tmp_path), len(texts(tmp_path, "d1-r2"))) == (["d1-r2"], [], 5)


def test_a_fast_writer_overtakes_its_reader_and_the_log_says_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logfile, "SEGMENT_BYTES", 200)
    monkeypatch.setattr(logfile, "SEGMENTS_KEPT", 2)
    writer = LogWriter(tmp_path, "d1")
    writer.note("INFO", "first")
    cursor = read(tmp_path, "d1", "", limit=10)["cursor"]
    for number in range(50):
        writer.note("INFO", f"line {number}")
    writer.close()

    found = []
    for _ in range(60):
        answer = read(tmp_path, "d1", cursor, limit=1)
        cursor = answer["cursor"]
        found += [json.loads(text)["message"] for text in answer["lines"]]

    assert found[0] == LOST
    assert found.count(LOST) == 1
    assert found[-1] == "line 49"


def test_a_full_disk_stops_nobody_and_is_told_when_there_is_room_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = LogWriter(tmp_path, "d1")
    writer.feed(b"before\n")
    disk = writer.file

    class FullDisk:
        """Takes three bytes more."""

        def write(self, data: memoryview) -> int:
            if len(data) > 3 and self.room:
                self.room = False
                return disk.write(data[:3])
            raise OSError(errno.ENOSPC, "No space left on device")

        room = True
        tell = disk.tell
        close = disk.close

    full: Any = FullDisk()
    writer.file = full
    writer.feed(b"lost\n")
    writer.note("ERROR", "lost, too")
    writer.file = disk
    writer.feed(b"after\n")
    writer.close()

    lines = read(tmp_path, "d1", "", limit=10)["lines"]
    assert [json.loads(text)["message"] for text in (lines[0], *lines[2:])] == ["before", LOST, "after"]
    assert len(lines[1]) == 3


CRASH = """
import faulthandler, os, sys
faulthandler.enable()
print("{} lines".format(2000))
for number in range(2000): print("line", number)
print("no newline at the end", end="", flush=True)
os.kill(os.getpid(), {signal})
"""


@pytest.mark.parametrize(("signal", "why"), [(9, "SIGKILL"), (11, "SIGSEGV")])
def test_the_last_words_of_a_runtime_that_is_killed_are_in_the_log(tmp_path: Path, signal: int, why: str) -> None:
    replica = replica_in(tmp_path)
    pipe = asyncio.subprocess.PIPE

    async def live_and_die() -> str:
        words = ["-c", CRASH.replace("{signal}", str(signal))]
        process = await asyncio.create_subprocess_exec(sys.executable, *words, stdout=pipe, stderr=asyncio.subprocess.STDOUT)
        return await replica.watch(process)

    assert why in asyncio.run(live_and_die())
    replica.log.close()

    found = [json.loads(text) for text in read(tmp_path / "logs", "d1-g1", "", limit=5000)["lines"]]
    said = "\n".join(entry["message"] for entry in found)
    assert said.startswith("2000 lines\nline 0\n")
    assert "line 1999\nno newline at the end" in said
    if signal == 11:
        assert 'File "<string>", line 7' in said
        assert [entry["level"] for entry in found if "Fatal Python error: Segmentation fault" in entry["message"]] == ["ERROR"]


def test_a_flood_of_short_lines_is_few_entries(tmp_path: Path) -> None:
    writer = LogWriter(tmp_path, "d1")
    writer.feed(b"x\n" * 30_000 + line("the runtime's own").encode() + b"\ny\n")
    writer.close()

    flood, own, rest = texts(tmp_path)
    assert (flood.count("x"), own, rest) == (30_000, "the runtime's own", "y")


def test_old_lines_that_were_fetched_late_are_not_taken_for_new_ones(
    running: Deployment, telling: TellingProvider, moving_clock: Clock
) -> None:
    two_days_ago = milliseconds(moving_clock.now - timedelta(days=2))
    telling.printed[telling.created[0]] = [line("while the worker was away", ts=two_days_ago)]
    running.log_head.delete()

    tail_logs()

    assert LogLine.objects.get(message="while the worker was away").timestamp == two_days_ago
