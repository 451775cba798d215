"""Real runtime processes for the tests."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.runtime.fake_storage import Storage, run_storage
from tests.runtime.process import RuntimeProcess, find_workflow, make_bundle

StartRuntime = Callable[..., RuntimeProcess]


def start(stack: ExitStack, workflow: str | Path, arguments: tuple[str, ...]) -> RuntimeProcess:
    """A runtime in a short folder of its own (socket paths have at most 107 bytes), stopped with the stack."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sw-")))
    source = find_workflow(workflow) if isinstance(workflow, str) else workflow
    runtime = RuntimeProcess(folder, make_bundle(source, folder / "bundle"), *arguments)
    stack.callback(runtime.stop)
    return runtime


@pytest.fixture
def runtime_process() -> Iterator[StartRuntime]:
    """Start a runtime of the test's own: `runtime_process("echo", "--workers", "2")`, by the name or folder of a workflow."""
    with ExitStack() as stack:
        yield lambda workflow, *arguments: start(stack, workflow, arguments)


@pytest.fixture(scope="session")
def shared_runtime() -> Iterator[Callable[[str], RuntimeProcess]]:
    """A ready runtime of one worker by workflow name, shared by all tests that only run it."""
    started: dict[str, RuntimeProcess] = {}
    with ExitStack() as stack:

        def get(workflow: str) -> RuntimeProcess:
            if workflow not in started:
                started[workflow] = start(stack, workflow, ()).wait_until_ready()
            return started[workflow]

        yield get


@pytest.fixture
def storage() -> Iterator[Storage]:
    """A storage of the test's own."""
    with run_storage() as server:
        yield server


@pytest.fixture
def stored_runtime(runtime_process: StartRuntime, storage: Storage) -> StartRuntime:
    """Start a runtime that reaches the storage."""
    return lambda workflow, *arguments: runtime_process(workflow, *storage.arguments, *arguments).wait_until_ready()
