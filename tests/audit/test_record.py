"""Writing to the audit log."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from uuid import UUID

import pytest
from django.db import ProgrammingError, connection, transaction

from controlplane.audit import services
from controlplane.audit.models import INSTALLATION, AuditEntry, AuditHead
from controlplane.audit.services import storable_json
from tests.audit.builders import FIRST, SECOND, Person, faults, without_triggers, write

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 3, 2, 12, 0, 0, 123456, tzinfo=UTC)


class Colour(StrEnum):
    RED = "red"


def test_a_line_says_who_did_what_to_which_object_and_when(monkeypatch):
    monkeypatch.setattr(services, "now", lambda: NOON)
    ines = Person()
    target = UUID("0190a000-0000-7000-8000-0000000000d1")
    entry = write(actor=ines, action="project.rename", target=target, name="ines/pier", details={"from": "ines/quay"})
    assert (entry.actor_id, entry.actor_name, entry.at) == (ines.pk, "ines", NOON)
    assert (entry.action, entry.kind, entry.target, entry.name) == ("project.rename", "project", str(target), "ines/pier")
    assert entry.details == {"from": "ines/quay"}
    assert (entry.address, entry.request_id, entry.credential) == ("", "", "system")


def test_lines_of_a_chain_follow_each_other_and_chains_do_not_mix():
    first, other, second = write(FIRST), write(SECOND), write(FIRST)
    assert [entry.sequence for entry in (first, second, other)] == [1, 2, 1]
    assert (first.previous, second.previous, other.previous) == ("", first.digest, "")
    head = AuditHead.objects.get(chain=FIRST)
    assert (head.sequence, head.digest) == (2, second.digest)


def test_the_installations_chain_tells_of_the_opening_of_every_other():
    write(FIRST)
    write(FIRST)
    write(None, action="user.sign_in")
    lines = AuditEntry.objects.filter(chain=INSTALLATION).order_by("sequence")
    assert [(line.action, line.target) for line in lines] == [("audit.open", str(FIRST)), ("user.sign_in", lines[1].target)]


def test_nobody_is_written_as_nobody():
    entry = write(actor=None)
    assert (entry.actor_id, entry.actor_name) == (None, "")


def test_a_change_that_is_undone_leaves_no_line():
    write()
    with transaction.atomic():
        write()
        transaction.set_rollback(True)
    assert AuditEntry.objects.filter(chain=FIRST).count() == 1
    assert write().sequence == 2
    assert faults() == []


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_auditentry SET name = 'another'",
        "UPDATE audit_auditentry SET name = 'another' WHERE false",
        "DELETE FROM audit_auditentry",
        "DELETE FROM audit_audithead",
        "INSERT INTO audit_auditentry SELECT * FROM audit_auditentry ON CONFLICT (id) DO UPDATE SET name = 'another'",
    ],
)
def test_postgresql_refuses_to_change_what_was_written(statement):
    write()
    before = list(AuditEntry.objects.order_by("pk").values())
    with pytest.raises(ProgrammingError, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)
    assert list(AuditEntry.objects.order_by("pk").values()) == before
    assert AuditHead.objects.count() == 2


def test_text_that_postgresql_cannot_keep_does_not_stop_the_change():
    entry = write(actor=Person("in\x00es"), name="a\x00b\ud800", details={"k\x00": ["\udfff", {"x": "\x00"}]})
    assert (entry.actor_name, entry.name) == ("in\ufffdes", "a\ufffdb?")
    assert entry.details == {"k\ufffd": ["?", {"x": "\ufffd"}]}
    assert faults() == []


def test_details_read_the_same_after_postgresql():
    details = {
        "fraction": 1e16,
        "money": Decimal("1.10"),
        "at": NOON,
        "id": FIRST,
        "role": Colour.RED,
        "set": {"b", "a"},
        "big": 10**40,
        "none": None,
        "yes": True,
        7: (1, -0.0),
    }
    expected = {
        "fraction": "1e+16",
        "money": "1.10",
        "at": "2026-03-02 12:00:00.123456+00:00",
        "id": str(FIRST),
        "role": "red",
        "set": ["a", "b"],
        "big": 10**40,
        "none": None,
        "yes": True,
        "7": [1, "-0.0"],
    }
    assert storable_json(details) == expected
    assert write(details=details).details == expected
    assert faults() == []


def test_an_end_that_was_tampered_with_is_not_sealed_again_by_the_next_line(caplog):
    write()
    write()
    with without_triggers() as cursor:
        cursor.execute("DELETE FROM audit_auditentry WHERE chain = %s AND sequence = 2", [FIRST])
    first = AuditEntry.objects.get(chain=FIRST)
    AuditHead.objects.filter(chain=FIRST).update(sequence=1, digest=first.digest)
    assert write().sequence == 2
    assert write().sequence == 3
    assert faults() == [f"chain {FIRST} line 3: head: it does not fit its seal"]
    assert "audit_verify" in caplog.text


@pytest.mark.django_db(transaction=True)
def test_lines_that_are_written_at_the_same_time_stand_in_one_row():
    together = threading.Barrier(4)
    failed: list[Exception] = []

    def work(number: int) -> None:
        try:
            together.wait(10)
            for chain in (FIRST, SECOND, FIRST):
                write(chain, details={"thread": number})
        except Exception as error:
            failed.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert [AuditEntry.objects.filter(chain=chain).count() for chain in (FIRST, SECOND, INSTALLATION)] == [8, 4, 2]
    assert faults() == []


def test_the_clock_does_not_order_the_lines(monkeypatch):
    write()
    monkeypatch.setattr(services, "now", lambda: NOON - timedelta(days=9))
    assert write().sequence == 2
    assert faults() == []
