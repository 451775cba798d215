"""`manage.py audit_verify`: whatever happens to a line, it is found."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC
from io import StringIO
from typing import Any
from uuid import UUID

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, transaction
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from controlplane.audit import selectors, verification
from controlplane.audit.models import INSTALLATION, AuditEntry, AuditHead
from controlplane.audit.verification import differences
from controlplane.common.ids import uuid7
from tests.audit.builders import FIRST, SECOND, faults, without_triggers, write

pytestmark = pytest.mark.django_db
CHAINS = (INSTALLATION, FIRST, SECOND)
TEXTS = ("actor_name", "action", "kind", "target", "name", "address", "request_id", "credential", "previous", "digest")


@pytest.fixture
def log() -> None:
    """Three chains of five, four and three lines."""
    for chain, count in ((FIRST, 4), (SECOND, 3), (None, 3)):
        for number in range(count):
            write(chain, details={"number": number})


def verify(*words: object) -> str:
    out = StringIO()
    call_command("audit_verify", *map(str, words), stdout=out)
    return out.getvalue()


def execute(statement: str, *values: object) -> int:
    """Get past the triggers; return the number of rows."""
    with without_triggers() as cursor:
        cursor.execute(statement, values)
        return int(cursor.rowcount)


def delete(chain: UUID, sequence: int) -> None:
    assert execute("DELETE FROM audit_auditentry WHERE chain = %s AND sequence = %s", chain, sequence)


def test_a_whole_log_is_said_to_be_whole(log):
    assert verify() == "12 entries in 3 chains are whole\n"
    assert verify("--chain", FIRST) == "4 entries in 1 chains are whole\n"
    assert verify("--chain", "installation") == "5 entries in 1 chains are whole\n"


def test_an_empty_log_is_whole():
    assert verify() == "0 entries in 0 chains are whole\n"


def test_a_fault_is_told_with_its_place_and_the_command_fails(log):
    execute("UPDATE audit_auditentry SET actor_name = 'someone' WHERE chain = %s AND sequence = 2", FIRST)
    out = StringIO()
    with pytest.raises(CommandError, match="1 faults in 12 entries in 3 chains") as failed:
        call_command("audit_verify", stdout=out)
    assert failed.value.returncode == 1
    assert out.getvalue() == f"chain {FIRST} line 2: changed: it does not fit its digest\n"
    assert verify("--chain", SECOND) == "3 entries in 1 chains are whole\n"


def test_missing_lines_are_found_at_the_beginning_in_the_middle_and_at_the_end(log):
    for sequence, what in ((1, "1 line before line 2"), (2, "1 line before line 3"), (4, "1 line at the end")):
        with transaction.atomic():
            delete(FIRST, sequence)
            assert faults() == [f"chain {FIRST} line {sequence}: missing: {what}"]
            transaction.set_rollback(True)


def test_a_last_line_is_missed_even_when_the_end_is_moved_back(log):
    last = AuditEntry.objects.get(chain=FIRST, sequence=3)
    delete(FIRST, 4)
    AuditHead.objects.filter(chain=FIRST).update(sequence=3, digest=last.digest)
    assert faults() == [f"chain {FIRST} line 3: head: it does not fit its seal"]


def test_a_chain_that_vanished_as_a_whole_is_missed(log):
    execute("DELETE FROM audit_auditentry WHERE chain = %s", SECOND)
    execute("DELETE FROM audit_audithead WHERE chain = %s", SECOND)
    assert [fault.partition(": ")[2] for fault in faults()] == [f"missing: the whole chain {SECOND}, whose opening this is"]


def test_the_installations_chain_is_missed_too(log):
    execute("DELETE FROM audit_auditentry WHERE chain = %s", INSTALLATION)
    execute("DELETE FROM audit_audithead WHERE chain = %s", INSTALLATION)
    told = "head: the installation's chain does not tell of its opening"
    assert faults() == [f"chain {chain} line 0: {told}" for chain in (FIRST, SECOND)]
    assert faults(FIRST) == [f"chain {FIRST} line 0: {told}"]


def test_lines_that_are_written_during_the_walk_are_no_fault(log, monkeypatch):
    heads = AuditHead.objects.filter(chain=FIRST)
    before = heads.get()
    write(FIRST)
    write(FIRST)
    assert list(verification.check_end(before, 6)) == []
    AuditHead.objects.filter(chain=FIRST).update(sequence=5)
    assert [fault.sequence for fault in verification.check_end(before, 6)] == [6]


def test_another_key_makes_every_line_look_forged(log, settings):
    settings.FIELD_KEY = "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVowMTIzNDU="
    assert len(faults()) == 12 + 3


def test_the_walk_is_split_into_pieces(log, monkeypatch):
    monkeypatch.setattr(verification, "CHUNK", 2)
    assert faults() == []


class TestExport:
    """The log as lines of JSON, which kept elsewhere are a second witness."""

    def test_it_has_every_field_of_every_line_in_the_order_of_the_chains(self, log):
        lines = [json.loads(line) for line in selectors.json_lines(selectors.entries(None))]
        assert [(UUID(line["chain"]), line["sequence"]) for line in lines] == [
            (chain, number) for chain, count in ((INSTALLATION, 5), (FIRST, 4), (SECOND, 3)) for number in range(1, count + 1)
        ]
        assert set(lines[0]) == {field.name for field in AuditEntry._meta.fields}

    def test_it_is_of_the_chains_that_were_asked_for_newest_first_for_people(self, log):
        assert {entry.chain for entry in selectors.entries([FIRST, SECOND])} == {FIRST, SECOND}
        assert not selectors.entries([]).exists()
        assert [entry.sequence for entry in selectors.entries([FIRST])] == [4, 3, 2, 1]

    def test_each_line_is_one_line(self):
        write(name="a\nb\u2028c", details={"text": "\n"})
        exported = b"".join(selectors.json_lines(selectors.entries([FIRST])))
        assert exported.count(b"\n") == 1
        assert json.loads(exported)["name"] == "a\nb\u2028c"

    def test_the_log_is_compared_with_an_earlier_export(self, log, tmp_path, monkeypatch):
        monkeypatch.setattr(verification, "CHUNK", 5)
        export = tmp_path / "audit.jsonl"
        export.write_bytes(b"".join(selectors.json_lines(selectors.entries(None))))
        write(SECOND)
        assert verify("--against", export) == "13 entries in 3 chains are whole\n"

    def test_a_state_that_was_put_back_as_a_whole_differs_from_the_export(self, log):
        kept = AuditHead.objects.get(chain=FIRST)
        write(FIRST)
        export = list(selectors.json_lines(selectors.entries([FIRST])))
        delete(FIRST, 5)
        kept.save()
        assert faults() == []
        assert [str(fault) for fault in differences(export)] == [f"chain {FIRST} line 5: missing: the export has it"]
        forged = [line.replace(b'"digest":"', b'"digest":"0') for line in export[:1]]
        assert [fault.what for fault in differences(forged)] == ["changed: the export has another"]

    @pytest.mark.parametrize("content", ["nonsense\n", "{}\n", "[]\n"])
    def test_a_file_that_is_no_export_is_refused(self, log, tmp_path, content):
        (tmp_path / "file").write_text(content)
        with pytest.raises(CommandError, match="no export"):
            verify("--against", tmp_path / "file")


places = st.sampled_from([(INSTALLATION, number) for number in range(1, 6)] + [(FIRST, number) for number in range(1, 5)])
other_texts = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=64)


def changes() -> st.SearchStrategy[tuple[str, object]]:
    """A column and another value for it."""
    return st.one_of(
        st.tuples(st.sampled_from(TEXTS), other_texts),
        st.tuples(st.sampled_from(["id", "chain", "actor_id"]), st.uuids()),
        st.tuples(st.just("chain"), st.sampled_from(CHAINS)),
        st.tuples(st.just("sequence"), st.integers(-(2**63), 2**63 - 1)),
        st.tuples(st.just("actor_id"), st.none()),
        st.tuples(st.just("at"), st.datetimes(timezones=st.just(UTC))),
        st.tuples(st.just("details"), st.dictionaries(other_texts, st.integers() | st.booleans() | st.none(), max_size=3)),
    )


def row(chain: UUID, sequence: int) -> dict[str, Any]:
    """Return the columns of a line."""
    return dict(AuditEntry.objects.values().get(chain=chain, sequence=sequence))


def rows() -> list[Any]:
    return list(AuditEntry.objects.order_by("pk").values())


ends = st.one_of(st.tuples(st.sampled_from(["digest", "seal"]), other_texts), st.tuples(st.just("sequence"), st.integers(0, 9)))
examples = hypothesis_settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


class TestAnyTampering:
    """Any change, removal, swap or insertion of one line is found, by someone who owns the tables but lacks the key."""

    @examples
    @given(place=places, change=changes())
    def test_a_change_of_any_field(self, log, place, change):
        column, value = change
        with transaction.atomic():
            before = rows()
            # A place that is taken cannot be given twice.
            with suppress(IntegrityError), transaction.atomic(), without_triggers():
                AuditEntry.objects.filter(chain=place[0], sequence=place[1]).update(**{column: value})
            changed = rows() != before
            assert bool(faults()) == changed
            transaction.set_rollback(True)

    @examples
    @given(place=places)
    def test_a_removal(self, log, place):
        with transaction.atomic():
            delete(*place)
            assert faults()
            transaction.set_rollback(True)

    @examples
    @given(first=places, second=places)
    def test_a_swap(self, log, first, second):
        with transaction.atomic():
            ids = [row(*place)["id"] for place in (first, second)]
            swap = "UPDATE audit_auditentry SET chain = %s, sequence = %s WHERE id = %s"
            for values in ((uuid7(), 1, ids[0]), (*first, ids[1]), (*second, ids[0])):
                execute(swap, *values)
            assert bool(faults()) == (first != second)
            transaction.set_rollback(True)

    @examples
    @given(copied=places, chain=st.sampled_from(CHAINS) | st.uuids(), sequence=st.integers(-5, 12))
    def test_an_insertion(self, log, copied, chain, sequence):
        with transaction.atomic():
            if not AuditEntry.objects.filter(chain=chain, sequence=sequence).exists():
                AuditEntry.objects.create(**{**row(*copied), "id": uuid7(), "chain": chain, "sequence": sequence})
                assert faults()
            transaction.set_rollback(True)

    @examples
    @given(chain=st.sampled_from(CHAINS), change=ends)
    def test_a_change_of_an_end(self, log, chain, change):
        with transaction.atomic():
            heads = AuditHead.objects.filter(chain=chain)
            before = list(heads.values())
            heads.update(**dict([change]))
            assert bool(faults()) == (list(heads.values()) != before)
            transaction.set_rollback(True)
