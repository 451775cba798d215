"""Parts of the local agent on their own: log files, the bundle cache, limits, users."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import shutil
import tarfile
import time
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ResponseStreamingError

from controlplane.common.errors import Unavailable
from deployments.providers.local import bundle_cache, limits, logfile, sandbox
from deployments.providers.local.bundle_cache import UNUSED_SECONDS, BadBundle, BundleCache
from deployments.providers.local.host import LONGEST_SOCKET_FOLDER, run_folder
from deployments.providers.local.limits import Limits, WatchdogLimiter, find_limiter
from deployments.providers.local.logfile import LogWriter, read


def texts(answer: dict[str, object]) -> list[str]:
    return [json.loads(line)["message"] for line in answer["lines"]]  # type: ignore[attr-defined]


def test_lines_that_come_in_pieces_are_put_together(tmp_path: Path) -> None:
    writer = LogWriter(tmp_path, "d1")
    writer.feed(b'{"ts":1,"level":"INFO","mess')
    writer.feed(b'age":"whole"}\nplain text\n\nno end')
    writer.close()

    assert texts(read(tmp_path, "d1", "", limit=10)) == ["whole", "plain text", "no end"]


def test_a_reader_goes_on_through_segments_and_misses_only_what_was_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logfile, "SEGMENT_BYTES", 200)
    monkeypatch.setattr(logfile, "SEGMENTS_KEPT", 3)
    writer = LogWriter(tmp_path, "d1")
    cursor = ""
    seen: list[str] = []
    for number in range(60):
        writer.note("INFO", f"line {number}")
        if number % 2:
            answer = read(tmp_path, "d1", cursor, limit=1)
            cursor, seen = answer["cursor"], seen + texts(answer)
    seen += texts(read(tmp_path, "d1", cursor, limit=1000))
    writer.close()

    lines = [line for line in seen if line != logfile.LOST]
    assert lines == sorted(set(lines), key=lambda line: int(line.split()[1]))
    assert len(lines) < 60
    assert any(seen[place] == logfile.LOST for place in range(1, len(seen)))
    assert seen[-1] == "line 59"
    assert len(list(tmp_path.iterdir())) == 3


def test_a_writer_goes_on_where_a_former_one_ended(tmp_path: Path) -> None:
    for number in range(3):
        writer = LogWriter(tmp_path, "d1")
        writer.note("INFO", str(number))
        writer.close()

    assert texts(read(tmp_path, "d1", "", limit=10)) == ["0", "1", "2"]


def test_a_line_that_is_not_finished_is_left_for_later(tmp_path: Path) -> None:
    (tmp_path / "d1.1.log").write_bytes(b'{"message":"one"}\n{"mess')

    assert texts(read(tmp_path, "d1", "", limit=10)) == ["one"]


def test_old_logs_of_replicas_that_are_gone_are_removed(tmp_path: Path) -> None:
    for name in ("d1", "d2", "d3"):
        LogWriter(tmp_path, name).close()
    for name in ("d1", "d2"):
        os.utime(tmp_path / f"{name}.1.log", (0, 0))

    logfile.prune(tmp_path, keep=["d1"])

    assert sorted(path.name for path in tmp_path.iterdir()) == ["d1.1.log", "d3.1.log"]


def tar_of(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for info, content in members:
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def link(name: str, target: str, kind: bytes) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def cache_of(folder: Path, content: bytes) -> tuple[BundleCache, str, list[str]]:
    asked: list[str] = []

    def open_bundle(digest: str) -> io.BytesIO:
        asked.append(digest)
        return io.BytesIO(content)

    return BundleCache(folder, open_bundle, limit=10**6), hashlib.sha256(content).hexdigest(), asked


def test_a_bundle_is_fetched_once_and_readable_for_every_user(tmp_path: Path) -> None:
    cache, digest, asked = cache_of(tmp_path, tar_of((tarfile.TarInfo("plugins/Python/hull/hull.py"), b"1")))

    assert cache.ensure(digest) == cache.ensure(digest)

    assert asked == [digest]
    file = tmp_path / digest / "plugins/Python/hull/hull.py"
    assert [oct(path.stat().st_mode & 0o777) for path in (tmp_path / digest, file.parent, file)] == ["0o755", "0o755", "0o644"]


def test_a_bundle_with_another_digest_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    cache, _, _ = cache_of(tmp_path, tar_of((tarfile.TarInfo("workflow.json"), b"{}")))

    with pytest.raises(BadBundle, match="digest"):
        cache.ensure("0" * 64)

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "member",
    [
        tarfile.TarInfo("../evil"),
        tarfile.TarInfo("/etc/evil"),
        link("evil", "/etc/passwd", tarfile.SYMTYPE),
        link("evil", "workflow.json", tarfile.LNKTYPE),
        link("evil", "", tarfile.CHRTYPE),
    ],
)
def test_members_that_are_no_files_inside_are_refused(tmp_path: Path, member: tarfile.TarInfo) -> None:
    cache, digest, _ = cache_of(tmp_path / "cache", tar_of((member, b"")))
    (tmp_path / "cache").mkdir()

    with pytest.raises(BadBundle, match="no plain file"):
        cache.ensure(digest)

    assert [path.name for path in tmp_path.rglob("*")] == ["cache"]


def test_what_is_no_tar_is_refused(tmp_path: Path) -> None:
    cache, digest, _ = cache_of(tmp_path, b"no tar at all" * 100)

    with pytest.raises(BadBundle, match="no readable tar"):
        cache.ensure(digest)


def bundles_of(folder: Path, sizes: dict[str, int], *, limit: int) -> tuple[BundleCache, dict[str, str]]:
    """Return a cache, and the digests of bundles with one file of these sizes by their names."""
    contents = {name: tar_of((tarfile.TarInfo(name), bytes(size))) for name, size in sizes.items()}
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    by_digest = {digests[name]: content for name, content in contents.items()}
    return BundleCache(folder, lambda digest: io.BytesIO(by_digest[digest]), limit=limit), digests


def aged(path: Path, seconds: float) -> None:
    when = time.time() - seconds
    os.utime(path, (when, when))


def test_what_a_killed_agent_left_half_unpacked_is_removed_when_the_next_one_starts(tmp_path: Path) -> None:
    cache, digests = bundles_of(tmp_path, {"whole": 1}, limit=10**6)
    cache.ensure(digests["whole"])
    (tmp_path / "tmpabc" / "site-packages").mkdir(parents=True)

    cache.clear()

    assert [path.name for path in tmp_path.iterdir()] == [digests["whole"]]


def test_a_bundle_that_nobody_has_used_for_long_goes_when_another_one_comes(tmp_path: Path) -> None:
    cache, digests = bundles_of(tmp_path, {"used": 1, "unused": 1, "recent": 1, "new": 1}, limit=10**6)
    cache.hold(digests["used"])
    for name in ("used", "unused", "recent"):
        cache.ensure(digests[name])
    for name in ("used", "unused"):
        aged(tmp_path / digests[name], UNUSED_SECONDS + 60)

    cache.ensure(digests["new"])

    assert {path.name for path in tmp_path.iterdir()} == {digests[name] for name in ("used", "recent", "new")}


def test_bundles_take_no_more_room_than_they_may_and_the_oldest_goes_first(tmp_path: Path) -> None:
    cache, digests = bundles_of(tmp_path, {"old": 4000, "older": 4000, "held": 4000, "new": 4000}, limit=13_000)
    cache.hold(digests["held"])
    for age, name in enumerate(("old", "older", "held"), start=1):
        cache.ensure(digests[name])
        aged(tmp_path / digests[name], age * 100)

    cache.ensure(digests["new"])

    assert {path.name for path in tmp_path.iterdir()} == {digests[name] for name in ("held", "old", "new")}


def test_what_a_replica_uses_stays_however_little_room_there_is(tmp_path: Path) -> None:
    cache, digests = bundles_of(tmp_path, {"one": 4000, "two": 4000}, limit=1)
    for name in ("one", "one", "two"):
        cache.hold(digests[name])
    cache.ensure(digests["one"])
    cache.release(digests["one"])
    aged(cache.ensure(digests["one"]), UNUSED_SECONDS + 60)
    cache.ensure(digests["two"])
    assert len(list(tmp_path.iterdir())) == 2

    cache.release(digests["one"])

    assert [path.name for path in tmp_path.iterdir()] == [digests["two"]]


def test_a_full_disk_loses_first_what_nobody_uses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache, digests = bundles_of(tmp_path, {"unused": 1, "held": 1, "new": 1}, limit=10**6)
    cache.hold(digests["held"])
    for name in ("unused", "held"):
        cache.ensure(digests[name])
    write, room = bundle_cache.write_member, iter([False, True])

    def write_if_there_is_room(*arguments: Any) -> None:
        if not next(room):
            raise OSError(errno.ENOSPC, "No space left on device")
        write(*arguments)

    monkeypatch.setattr(bundle_cache, "write_member", write_if_there_is_room)

    cache.ensure(digests["new"])

    assert {path.name for path in tmp_path.iterdir()} == {digests["held"], digests["new"]}


class BrokenStream(io.BytesIO):
    """The object store's connection, which ends in the middle as botocore's does."""

    def read(self, size: int | None = -1) -> bytes:
        if self.tell():
            raise ResponseStreamingError(error="the connection broke")
        return super().read(100)


def test_a_stream_that_breaks_off_may_be_tried_again_and_leaves_nothing(tmp_path: Path) -> None:
    cache = BundleCache(tmp_path, lambda _: BrokenStream(bytes(10_000)), limit=10**6)

    with pytest.raises(Unavailable, match="broke off"):
        cache.ensure("0" * 64)

    assert list(tmp_path.iterdir()) == []


def fake_v2(root: Path) -> None:
    (root / "cgroup.controllers").write_text("cpu memory pids io")


def test_cgroup_v2_gets_memory_processes_and_cpu(tmp_path: Path) -> None:
    fake_v2(tmp_path)
    limiter = find_limiter("slipway-test", root=tmp_path)

    cage = limiter.make_cage("r1", Limits(memory_mb=512, cpus=2))

    assert limiter.level == "cgroup-v2"
    values = {name: (cage.folders[0] / name).read_text() for name in ("memory.max", "pids.max", "cpu.max")}
    assert values == {"memory.max": str(512 * 1024 * 1024), "pids.max": "1024", "cpu.max": "200000 100000"}
    limiter.close()


def test_cgroup_v1_gets_the_same_in_three_places(tmp_path: Path) -> None:
    for controller in limits.CONTROLLERS:
        (tmp_path / controller).mkdir()
        (tmp_path / controller / "cgroup.procs").touch()
    limiter = find_limiter("slipway-test", root=tmp_path)

    cage = limiter.make_cage("r1", Limits(memory_mb=512, cpus=2))

    assert limiter.level == "cgroup-v1"
    assert (tmp_path / "memory/slipway-test/r1/memory.limit_in_bytes").read_text() == str(512 * 1024 * 1024)
    assert (tmp_path / "cpu/slipway-test/r1/cpu.cfs_quota_us").read_text() == "200000"
    assert len(cage.folders) == 3
    limiter.close()


def test_folders_of_agents_that_are_dead_are_removed_and_of_living_ones_are_not(tmp_path: Path) -> None:
    fake_v2(tmp_path)
    living = find_limiter("slipway-living", root=tmp_path)
    (tmp_path / "slipway-dead" / "r1").mkdir(parents=True)

    limiter = find_limiter("slipway-own", root=tmp_path)
    limiter.clear()

    assert sorted(path.name for path in tmp_path.glob("slipway-*")) == ["slipway-living", "slipway-own"]
    assert isinstance(find_limiter("slipway-living", root=tmp_path), WatchdogLimiter)
    living.close()
    limiter.close()


def test_without_cgroups_a_watchdog_holds_the_limit(tmp_path: Path) -> None:
    assert isinstance(find_limiter("slipway-test", root=tmp_path / "nothing"), WatchdogLimiter)
    assert list(tmp_path.iterdir()) == []


def test_memory_and_processes_of_this_machine_are_read() -> None:
    assert limits.memory_of(os.getpid()) > 10 * limits.MEGABYTE
    assert os.getpid() in limits.session_pids(os.getsid(0))
    assert 0 < limits.available_memory_mb() <= limits.total_memory_mb()


def test_replicas_have_different_users_that_stay_the_same() -> None:
    first = sandbox.user_for("d1-g1", [])

    assert sandbox.user_for("d1-g1", []) == first
    assert sandbox.user_for("d1-g1", [first]) == first + 1 or sandbox.user_for("d1-g1", [first]) == sandbox.FIRST_UID


def test_a_wanted_sandbox_that_is_not_there_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runtime_python: Path) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)

    with pytest.raises(RuntimeError, match="no bwrap"):
        sandbox.find_sandbox(python=runtime_python, code=tmp_path, scratch=tmp_path, wanted="bubblewrap")


def test_an_interpreter_that_cannot_start_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="cannot be started"):
        sandbox.find_sandbox(python=tmp_path / "python", code=tmp_path, scratch=tmp_path, wanted="process")


def test_a_folder_too_deep_for_sockets_gets_a_short_one() -> None:
    shallow = Path("/var/lib/slipway/agent")
    deep = shallow / ("x" * LONGEST_SOCKET_FOLDER)

    assert run_folder(shallow) == shallow / "r"
    short = run_folder(deep)
    try:
        assert len(os.fsencode(short)) <= LONGEST_SOCKET_FOLDER
        assert short.stat().st_uid == os.geteuid()
    finally:
        short.rmdir()
