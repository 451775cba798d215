"""The real three servers: start, stop, kill, start again."""

import os
import signal
from pathlib import Path

import pytest

from controlplane.embedded.processes import descendants, is_alive
from tests.embedded.conftest import StartServers
from tests.embedded.contents import KEPT, read_everywhere, write_everywhere
from tests.stack import wait_until

SERVERS = ["postgres", "valkey", "seaweedfs"]


def test_a_stop_is_in_reverse_order_and_the_data_stays(start_servers: StartServers) -> None:
    first = start_servers()
    write_everywhere(first)
    pids, env = first.pids(), first.env
    assert list(pids) == SERVERS
    port = int(first.description["processes"]["seaweedfs"]["address"].rpartition(":")[2])
    litter = Path(f"/tmp/seaweedfs-s3-grpc-{port + 10_000}.sock")
    assert litter.exists()
    assert first.stop(signal.SIGINT) == 0
    assert [line.split()[1] for line in first.lines if line.startswith("stopping ")] == SERVERS[::-1]
    assert not any(map(is_alive, pids.values()))
    assert first.description == {}
    assert not litter.exists()
    second = start_servers()
    assert read_everywhere(second) == KEPT
    same = ("DATABASE_URL", "REDIS_URL", "S3_ENDPOINT_URL", "S3_SECRET_KEY", "SECRET_KEY", "FIELD_KEY", "INSTALLATION_ID")
    assert {name: second.env[name] for name in same} == {name: env[name] for name in same}


@pytest.mark.parametrize("victims", [("pid",), ("supervisor",), ("pid", "supervisor")], ids=" and ".join)
def test_a_killed_supervisor_leaves_nothing_running_and_all_data(start_servers: StartServers, victims: tuple[str, ...]) -> None:
    first = start_servers()
    write_everywhere(first)
    description = first.description
    everything = {str(pid): pid for pid in [description["pid"], *descendants(description["pid"])]}
    assert len(everything) > len(SERVERS)
    for victim in victims:
        os.kill(description[victim], signal.SIGKILL)
    first.wait_gone(everything)
    assert read_everywhere(start_servers()) == KEPT


def test_killed_servers_come_back_with_their_data(start_servers: StartServers) -> None:
    stack = start_servers()
    write_everywhere(stack)
    killed = {name: stack.kill(name) for name in SERVERS}
    for name, old_pid in killed.items():
        stack.wait_restarted(name, old_pid)
        assert any(line.startswith(f"{name} was ended by SIGKILL; starting it again") for line in stack.lines)
    assert read_everywhere(stack) == KEPT


def test_a_folder_that_was_moved_has_all_its_data_on_other_ports(start_servers: StartServers, folder: Path) -> None:
    first = start_servers()
    write_everywhere(first)
    ports = {entry["address"] for entry in first.description["processes"].values()}
    first.stop()
    first.data.root.rename(folder / "moved")
    second = start_servers(name="moved")
    assert not ports & {entry["address"] for entry in second.description["processes"].values()}
    assert read_everywhere(second) == KEPT


def test_a_stop_during_the_start_leaves_nothing_running(start_servers: StartServers) -> None:
    stack = start_servers(wait=False)
    wait_until(lambda: "postgres" in stack.description.get("processes", {}), seconds=30, what="PostgreSQL's start")
    pids = stack.pids()
    assert stack.stop(signal.SIGTERM) == 0
    assert not any(map(is_alive, pids.values()))


def test_the_start_after_an_interrupted_first_start_is_whole(start_servers: StartServers) -> None:
    first = start_servers(wait=False)
    assert first.process
    wait_until((first.data.root / "postgres.new").exists, seconds=30, what="the making of the cluster")
    os.kill(first.process.pid, signal.SIGKILL)
    second = start_servers()
    write_everywhere(second)
    assert read_everywhere(second) == KEPT
