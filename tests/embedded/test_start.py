"""What a start makes, refuses and leaves to others."""

import json
import socket
import stat
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
import redis

from controlplane.embedded.options import REPOSITORY
from controlplane.embedded.ports import HIGHEST, LOWEST, free_port
from controlplane.embedded.processes import is_alive
from tests.embedded.conftest import DIRECTLY, MANAGE, StartServers
from tests.stack import Stack, clean_environment


def mode(path: Path) -> str:
    return oct(stat.S_IMODE(path.stat().st_mode))


def test_secrets_are_readable_by_their_owner_only(servers: Stack) -> None:
    data = servers.data
    for path in (
        data.secrets,
        data.environment,
        data.stack,
        data.valkey / "valkey.conf",
        data.seaweedfs / "s3.json",
        data.logs / "postgres.log",
    ):
        assert mode(path) == "0o600", path
    for path in (data.postgres, data.valkey, data.seaweedfs, data.logs, data.run, data.agent):
        assert mode(path) == "0o700", path
    # As root PostgreSQL runs as another user, who passes through but cannot list.
    assert mode(data.root) in ("0o700", "0o711")
    assert not list(data.root.glob("postgres.*"))


def test_secrets_are_in_no_command_line(servers: Stack) -> None:
    kept = json.loads(servers.data.secrets.read_text())
    commands = "".join(Path(f"/proc/{pid}/cmdline").read_text() for pid in servers.pids().values())
    assert not [name for name, value in kept.items() if value in commands]


def test_servers_listen_on_this_machine_only(servers: Stack) -> None:
    for entry in servers.description["processes"].values():
        host, _, port = entry["address"].partition(":")
        assert host == "127.0.0.1"
        assert LOWEST <= int(port) < HIGHEST


def test_servers_ask_for_their_password(servers: Stack) -> None:
    secrets = json.loads(servers.data.secrets.read_text())
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(servers.env["DATABASE_URL"].replace(secrets["database_password"], "guessed"))
    with redis.from_url(servers.env["REDIS_URL"].replace(secrets["valkey_password"], "guessed")) as valkey, pytest.raises(redis.RedisError):
        valkey.ping()
    host, _, port = servers.description["processes"]["seaweedfs"]["address"].partition(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(b"GET /slipway HTTP/1.1\r\nHost: slipway\r\nConnection: close\r\n\r\n")
        assert connection.recv(64).startswith(b"HTTP/1.1 403")


def test_a_second_start_on_the_same_folder_is_refused(servers: Stack) -> None:
    second = Stack(servers.data.root, "--servers-only", command=DIRECTLY).start()
    assert second.wait_ended() == 1
    assert second.lines == [
        f"Already running on {servers.data.root} (pid {servers.description['pid']}). Stop that one, or use another --data-dir."
    ]
    assert all(map(is_alive, servers.pids().values()))


def test_a_server_whose_address_is_given_is_not_started(servers: Stack, folder: Path) -> None:
    given = {name: servers.env[name] for name in ("DATABASE_URL", "S3_ENDPOINT_URL", "S3_ACCESS_KEY", "S3_SECRET_KEY")}
    other = Stack(folder / "data", "--servers-only", environment=given, command=DIRECTLY).start()
    try:
        assert list(other.wait_ready().pids()) == ["valkey"]
        assert {name: other.env[name] for name in given} == given
    finally:
        other.stop()


def test_an_address_where_nothing_answers_is_named_without_its_password(folder: Path) -> None:
    environment = {"REDIS_URL": f"redis://:hidden@127.0.0.1:{free_port()}/0"}
    stack = Stack(folder / "data", "--servers-only", environment=environment, command=DIRECTLY).start()
    assert stack.wait_ended() == 1
    assert "REDIS_URL is set, so valkey is not started here, but nothing answers at that address." in stack.lines
    assert "hidden" not in "".join(stack.lines)


@pytest.mark.parametrize(("flag", "variable"), [("--port", "PORT"), ("--gateway-port", "GATEWAY_PORT")])
def test_a_taken_port_is_refused_with_what_to_change(folder: Path, flag: str, variable: str) -> None:
    environment = {"PORT": str(free_port()), "GATEWAY_PORT": str(free_port())}
    with socket.create_server(("127.0.0.1", 0)) as taken:
        environment[variable] = str(taken.getsockname()[1])
        words = [*DIRECTLY, "--data-dir", str(folder / "data")]
        done = subprocess.run(
            words, cwd=REPOSITORY, env=clean_environment(**environment), capture_output=True, text=True, timeout=60, check=False
        )
    assert done.returncode == 1
    assert (
        done.stdout
        == f"Port {environment[variable]} on 127.0.0.1 is taken. Choose another with {flag} or {variable}, or stop what uses it.\n"
    )


def test_addresses_of_the_last_start_do_not_count_as_given(start_servers: StartServers) -> None:
    """Settings read env.json as defaults, into the environment of `manage.py dev` too."""
    first = start_servers(environment={"SECRET_KEY": "given"})
    assert first.env["SECRET_KEY"] == "given"
    first.stop()
    second = start_servers(command=MANAGE)
    assert list(second.pids()) == ["postgres", "valkey", "seaweedfs"]
    assert second.env["SECRET_KEY"] == json.loads(second.data.secrets.read_text())["SECRET_KEY"]


def test_a_server_that_does_not_start_is_shown_with_the_end_of_its_log(start_servers: StartServers) -> None:
    first = start_servers()
    first.stop()
    (first.data.postgres / "postgresql.conf").write_text("no_such_setting = 1\n")
    second = start_servers(wait=False)
    assert second.wait_ended() == 1
    text = "\n".join(second.lines)
    assert "postgres ended with status 1 while it started." in text
    assert 'unrecognized configuration parameter "no_such_setting"' in text
    assert f"The whole log: {second.data.logs / 'postgres.log'}" in text


def test_data_without_its_secrets_is_not_touched(start_servers: StartServers) -> None:
    first = start_servers()
    first.stop()
    first.data.secrets.unlink()
    second = start_servers(wait=False)
    assert second.wait_ended() == 1
    assert "Put the file back from a backup" in second.lines[0]
    assert not first.data.secrets.exists()


def own_user(pid: int) -> int:
    """The process's user as the process sees it, inside the user namespace that it may be in."""
    inside, outside, _ = map(int, Path(f"/proc/{pid}/uid_map").read_text().splitlines()[0].split())
    return Path(f"/proc/{pid}").stat().st_uid - outside + inside


def test_the_servers_run_without_root_too(folder: Path, as_another_user: tuple[str, ...]) -> None:
    folder.chmod(0o777)
    stack = Stack(folder / "data", "--servers-only", command=(*as_another_user, sys.executable, "-m", "controlplane.embedded")).start()
    try:
        stack.wait_ready()
        assert 0 not in map(own_user, stack.pids().values())
        assert mode(stack.data.root) == "0o700"
    finally:
        assert stack.stop() == 0
