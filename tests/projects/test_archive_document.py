"""workflow.json as text: where it lies, its encoding, and what JSON readers disagree on."""

from __future__ import annotations

import io
import json
import time

import pytest

from controlplane.projects.archive import check_archive
from tests.projects.archives import SOUND, refusal, zipped

TEXT = json.dumps(SOUND)

REFUSED: dict[str, tuple[str | bytes, str, str]] = {
    "empty": ("", "workflow_not_json", "line 1, column 1"),
    "cut": (TEXT[:-2], "workflow_not_json", "line 1"),
    "a comma too many": ('{"tasks": [],\n}', "workflow_not_json", "line 2, column 1"),
    "a comment": ("// mine\n" + TEXT, "workflow_not_json", "line 1"),
    "two documents": (TEXT + TEXT, "workflow_not_json", "Extra data"),
    "byte order mark": (b"\xef\xbb\xbf" + TEXT.encode(), "workflow_encoding", "byte order mark"),
    "utf-16": (TEXT.encode("utf-16"), "workflow_encoding", "byte order mark"),
    "latin-1": (TEXT.replace("finds edges", "caf\u00e9").encode("latin-1"), "workflow_encoding", "not UTF-8"),
    "a key twice": (TEXT.replace('"tasks":', '"tasks": [], "tasks":'), "workflow_duplicate_key", '"tasks" twice'),
    "a nested key twice": (TEXT.replace('"task_id": 0', '"task_id": 0, "task_id": 3', 1), "workflow_duplicate_key", '"task_id"'),
    "NaN": (TEXT.replace('"min_cpu": 2', '"min_cpu": NaN'), "workflow_number", "NaN"),
    "infinity": (TEXT.replace('"min_cpu": 2', '"min_cpu": -Infinity'), "workflow_number", "Infinity"),
    "overflow": (TEXT.replace('"min_cpu": 2', '"min_cpu": 1e999'), "workflow_number", "1e999"),
    "thousands of digits": (TEXT.replace('"min_cpu": 2', f'"min_cpu": {"9" * 5000}'), "workflow_number", "5000 digits"),
    "null character": (TEXT.replace("finds edges", "a\\u0000b"), "workflow_text", "/metadata/description"),
    "half a character": (TEXT.replace("finds edges", "\\ud83d"), "workflow_text", "half a character"),
    "null character in a key": (TEXT.replace('"keywords"', '"key\\u0000words"'), "workflow_text", "/metadata"),
    "deep lists": ("[" * 100_000 + "]" * 100_000, "workflow_too_deep", "32 levels"),
    "rather deep lists": (TEXT[:-1] + ', "x": ' + "[" * 33 + "]" * 33 + "}", "workflow_too_deep", "32 levels"),
    "a list": ("[1]", "workflow_structure", "one object"),
    "a string": ('"tasks"', "workflow_structure", "one object"),
    "very many values": ("[" + "0," * 100_001 + "0]", "workflow_too_large", "100000 values"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_text_with_more_than_one_reading_is_refused(case: str) -> None:
    text, code, part = REFUSED[case]
    refused = refusal(zipped({"workflow.json": text}))
    assert refused.code == code
    assert part in refused.detail


def test_many_equal_keys_are_refused_quickly() -> None:
    start = time.process_time()
    assert refusal(zipped({"workflow.json": "{" + ",".join(f'"{number % 40_000}":0' for number in range(80_000)) + "}"})).code
    assert time.process_time() - start < 5


@pytest.mark.parametrize(
    ("files", "code", "part"),
    [
        ({}, "workflow_missing", "beside one folder for each plugin"),
        ({"notes.txt": "x"}, "workflow_missing", "no workflow.json"),
        ({"edges.json": TEXT}, "workflow_missing", "under that name"),
        ({"edges/workflow.json": TEXT}, "workflow_misplaced", '"edges/workflow.json"'),
        ({"a/workflow.json": TEXT, "b/workflow.json": TEXT}, "workflow_misplaced", '"a/workflow.json", "b/workflow.json"'),
        ({"Workflow.json": TEXT}, "workflow_misplaced", '"Workflow.json"'),
    ],
)
def test_workflow_json_must_lie_at_the_top(files: dict[str, str], code: str, part: str) -> None:
    refused = refusal(zipped(files))
    assert refused.code == code
    assert part in refused.detail


def test_a_second_workflow_json_inside_a_plugin_is_a_file_like_any_other() -> None:
    assert check_archive(io.BytesIO(zipped({"workflow.json": TEXT, "plugin/workflow.json": "not json"}))).name == "edges"


def test_the_workflow_is_kept_as_it_was_written() -> None:
    text = json.dumps({**SOUND, "made_by": {"tool": "\u00e9diteur", "numbers": [1, 2.5, None, True]}}, ensure_ascii=False, indent=3)
    assert check_archive(io.BytesIO(zipped({"workflow.json": text}))).data == json.loads(text)
