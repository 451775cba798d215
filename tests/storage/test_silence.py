"""Clients that stop in the middle, on a real web process: they get their answer, hold at most their project's places, and nobody else waits."""

from __future__ import annotations

import http.client
import socket
from contextlib import ExitStack, closing

import pytest

from controlplane.accounts.keys import endpoint_token
from storage.models import Upload
from storage.slots import AT_ONCE, FOR_ONE_PROJECT
from tests.factories import make_project
from tests.storage.builders import BOUNDARY, access_to, store_file
from tests.storage.web_process import WebProcess, running, until

pytestmark = pytest.mark.django_db(transaction=True)
LARGE = 24 * 1024 * 1024


@pytest.fixture
def web(tmp_path, transactional_db):
    with running(WebProcess(tmp_path / "web.log", STORAGE_SILENCE="0.5")) as started:
        yield started


def token_of(project, storage=True):
    """Return a storage token of the project's owner."""
    return endpoint_token(user=project.namespace.owner, project_id=project.pk, storage=storage)


def begun(web, token, path="new.bin", method="POST"):
    """Return the connection of an upload that says 1 MB, sends a few bytes and then nothing."""
    connection = socket.create_connection(("127.0.0.1", web.port), timeout=20)
    part = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"\r\n\r\nfirst bytes'
    lines = [
        f"{method} /v1/objects/{path} HTTP/1.1",
        f"Host: 127.0.0.1:{web.port}",
        f"Authorization: Bearer {token}",
        f"Content-Type: multipart/form-data; boundary={BOUNDARY}",
        "Content-Length: 1000000",
    ]
    connection.sendall("\r\n".join([*lines, "", part]).encode())
    return connection


def status_of(connection):
    """Return the status of the answer on a connection that stays open, read as far as its length says."""
    with http.client.HTTPResponse(connection) as answer:
        answer.begin()
        answer.read()
        return answer.status


def ask(web, path, token=""):
    """Return the status of a request beside the others, which must come soon."""
    with closing(http.client.HTTPConnection("127.0.0.1", web.port, timeout=5)) as connection:
        connection.request("GET", path, headers={"Authorization": f"Bearer {token}"})
        return connection.getresponse().status


def test_who_is_refused_and_goes_on_saying_nothing_stops_nobody_else(web, project):
    store_file(access_to(project), b"x", "taken.bin")
    with ExitStack() as open_ones:
        silent = [
            (403, begun(web, token_of(project, "read"))),
            (409, begun(web, token_of(project), "taken.bin")),
            (400, begun(web, token_of(project), "a/../b")),
            (408, begun(web, token_of(project))),
            (401, begun(web, "nonsense")),
        ]
        for status, connection in silent:
            open_ones.enter_context(connection)
            assert status_of(connection) == status
            assert ask(web, "/healthz") == 200
        for _ in range(20):
            assert ask(web, "/v1/infos", token_of(project)) == 200
    assert not Upload.objects.exists()


def test_silent_uploads_take_the_places_of_their_project_and_give_them_back(web, project, stranger):
    other = make_project(stranger, "dock")
    with ExitStack() as open_ones:
        silent = [open_ones.enter_context(begun(web, token_of(project))) for _ in range(FOR_ONE_PROJECT)]
        assert {status_of(connection) for connection in silent} == {408}
        one_more = open_ones.enter_context(begun(web, token_of(project)))
        assert status_of(one_more) == 503
        assert status_of(open_ones.enter_context(begun(web, token_of(other)))) == 408
        assert ask(web, "/healthz") == 200
    until(lambda: status_after_all(web, project) == 408, "a free place")


def status_after_all(web, project):
    """Return the status of one more silent upload."""
    with begun(web, token_of(project)) as connection:
        return status_of(connection)


def test_readers_who_do_not_read_take_the_places_of_their_project(web, project, stranger):
    stored = store_file(access_to(project), bytes(LARGE), "large.bin")
    other = make_project(stranger, "dock")
    theirs = store_file(access_to(other), bytes(10), "small.bin")
    statuses: list[int] = []
    with ExitStack() as open_ones:
        for _ in range(AT_ONCE):
            connection = open_ones.enter_context(socket.create_connection(("127.0.0.1", web.port), timeout=20))
            head = f"GET /v1/contents/{stored.pk}/ HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token_of(project)}\r\n\r\n"
            connection.sendall(head.encode())
            with http.client.HTTPResponse(connection) as answer:
                answer.begin()
                statuses.append(answer.status)
        assert statuses == [200] * FOR_ONE_PROJECT + [503] * (AT_ONCE - FOR_ONE_PROJECT)
        assert ask(web, "/healthz") == 200
        assert ask(web, f"/v1/contents/{theirs.pk}/", token_of(other)) == 200
    until(lambda: ask(web, f"/v1/contents/{stored.pk}/", token_of(project)) == 200, "a free place")
