"""Random graphs against an independent judge, and random bytes that must never do more than be refused."""

from __future__ import annotations

import graphlib
import io
import itertools
import json
import zipfile
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from controlplane.common.errors import InvalidInput
from controlplane.projects.archive import ArchiveLimits, check_archive
from controlplane.projects.archive.connections import find_circle
from tests.projects.archives import SOUND, connection, pushed, task, zipped

INPUTS, OUTPUTS = 3, 2


LIMITS = ArchiveLimits(unpacked_bytes=1_000_000, file_bytes=500_000)


def is_accepted(archive: bytes) -> bool:
    """Whether it is accepted; anything but acceptance or a refusal with a code and a sentence fails the test.

    What is accepted must read the same in the library that later unpacks it.
    """
    refused = None
    try:
        checked = check_archive(io.BytesIO(archive), limits=LIMITS)
    except InvalidInput as error:
        refused = error
    if refused:
        assert refused.code.replace("_", "").isalnum()
        assert refused.detail.endswith((".", "?", "fields.", "workflow.json)"))
        assert json.dumps({"detail": refused.detail, "fields": refused.fields}).encode()
        return False
    with zipfile.ZipFile(io.BytesIO(archive)) as read:
        assert read.testzip() is None
        files = [entry for entry in read.infolist() if not entry.is_dir()]
        assert (len(files), sum(entry.file_size for entry in files)) == (checked.files, checked.unpacked_size)
        written = json.loads(read.read("workflow.json"))
        assert {**written, "metadata": {}} == {**checked.data, "metadata": {}}
    return True


def is_sound(ids: list[int], connections: list[dict[str, int]]) -> bool:
    """The judge: distinct ids, existing ends and indexes, each input fed once, and an order in which to run."""
    if len(set(ids)) != len(ids):
        return False
    fed = [(joint["target_id"], joint["target_index"]) for joint in connections]
    if len(set(fed)) != len(fed):
        return False
    for joint in connections:
        known = joint["target_id"] in ids and (joint["source_id"] == -1 or joint["source_id"] in ids)
        outputs = 64 if joint["source_id"] == -1 else OUTPUTS
        if not known or joint["source_index"] >= outputs or joint["target_index"] >= INPUTS:
            return False
    order = graphlib.TopologicalSorter({task_id: set[int]() for task_id in ids})
    for joint in connections:
        order.add(joint["target_id"], joint["source_id"])
    try:
        order.prepare()
    except graphlib.CycleError:
        return False
    return True


@st.composite
def graphs(draw: st.DrawFn) -> tuple[list[int], list[dict[str, int]]]:
    """A few tasks and connections, mostly well-formed, sometimes with one wrong end, index or id."""
    ids = draw(st.lists(st.integers(0, 8), min_size=1, max_size=7, unique=draw(st.integers(0, 9)) != 0))
    ends = st.sampled_from(ids) if draw(st.booleans()) else st.integers(0, 9)
    joints = st.builds(
        connection,
        st.one_of(st.just(-1), ends),
        ends,
        source_index=st.integers(0, OUTPUTS if draw(st.integers(0, 5)) == 0 else OUTPUTS - 1),
        target_index=st.integers(0, INPUTS - 1),
    )
    fed = (lambda joint: (joint["target_id"], joint["target_index"])) if draw(st.integers(0, 4)) else None
    return ids, draw(st.lists(joints, max_size=10, unique_by=fed))


@settings(max_examples=400, deadline=None)
@given(graphs())
def test_a_graph_is_accepted_exactly_when_it_is_sound(graph: tuple[list[int], list[dict[str, int]]]) -> None:
    ids, connections = graph
    declared: dict[str, Any] = {"inputs": [{"name": "IMAGE"}] * INPUTS, "outputs": [{"name": "IMAGE"}] * OUTPUTS}
    workflow = {"tasks": [task(task_id, **declared) for task_id in ids], "connections": connections}
    assert is_accepted(pushed(workflow)) == is_sound(ids, connections)


@settings(max_examples=200, deadline=None)
@given(graphs())
def test_a_circle_that_is_told_is_really_there(graph: tuple[list[int], list[dict[str, int]]]) -> None:
    ids, connections = graph
    edges = [(joint["source_id"], joint["target_id"]) for joint in connections if joint["source_id"] in ids and joint["target_id"] in ids]
    circle = find_circle(ids, edges)
    if circle:
        assert circle[0] == circle[-1]
        assert all(step in edges for step in itertools.pairwise(circle))
        assert len(set(circle)) == len(circle) - 1


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=2_000))
def test_random_bytes_are_refused(noise: bytes) -> None:
    is_accepted(noise)
    is_accepted(b"PK\x03\x04" + noise + b"PK\x05\x06" + bytes(18))


BASES = [
    pushed(plugin__plugin="x" * 300),
    zipped({"workflow.json": json.dumps(SOUND), "folder/": "", "a/b/c.txt": "text" * 50}),
]


@settings(max_examples=1_500, deadline=None)
@given(st.data())
def test_a_zip_with_bytes_changed_removed_or_doubled_is_accepted_or_refused(data: st.DataObject) -> None:
    archive = bytearray(data.draw(st.sampled_from(BASES)))
    tail = data.draw(st.booleans())
    for _ in range(data.draw(st.integers(1, 4))):
        lowest = max(0, len(archive) - 400) if tail else 0
        at = data.draw(st.integers(lowest, len(archive) - 1))
        length = data.draw(st.sampled_from([1, 1, 1, 2, 4, 30]))
        match data.draw(st.sampled_from(["change", "cut", "double", "insert", "swap"])):
            case "change":
                archive[at] = data.draw(st.integers(0, 255))
            case "cut":
                del archive[at : at + length]
            case "double":
                archive[at:at] = archive[at : at + length]
            case "insert":
                archive[at:at] = data.draw(st.binary(min_size=1, max_size=8))
            case "swap":
                archive[at : at + 4] = data.draw(st.sampled_from([b"PK\x01\x02", b"PK\x03\x04", b"PK\x06\x07", b"\xff\xff\xff\xff"]))
    is_accepted(bytes(archive))


VALUES: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=8)),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=8), inner, max_size=4)),
    max_leaves=8,
)


def places(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """The path to every value inside a JSON value."""
    found = [path] if path else []
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return found + [deeper for key, item in inner for deeper in places(item, (*path, key))]


PLACES = places(SOUND)


@settings(max_examples=800, deadline=None)
@given(st.sampled_from(PLACES), VALUES, st.booleans())
def test_any_value_anywhere_in_a_workflow_is_accepted_or_refused(path: tuple[str | int, ...], value: Any, remove: bool) -> None:
    workflow: Any = json.loads(json.dumps(SOUND))
    holder = workflow
    for key in path[:-1]:
        holder = holder[key]
    if remove:
        del holder[path[-1]]
    else:
        holder[path[-1]] = value
    is_accepted(pushed(workflow))
