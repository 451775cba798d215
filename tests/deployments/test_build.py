"""Building a version: what its plugins need goes in, the log is seen while it is written, and the same is built once."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from controlplane.accounts.models import User
from controlplane.common.errors import Unavailable
from controlplane.common.objectstore import ObjectStore, object_store
from controlplane.projects.models import WorkflowVersion
from deployments.bundles import build, build_log, environment
from deployments.bundles.bases import read_bases
from deployments.bundles.build import build_bundle, build_for_waiting, built_bundle, bundle_key
from deployments.bundles.build_log import BUILD_LEASE, BuildLog, begin_build, show_build_log
from deployments.bundles.layer import write_layer
from deployments.bundles.registry import Registry
from deployments.bundles.resolve import Installer
from deployments.errors import BuildDelayed, BuildFailed
from deployments.leases import claim, extend
from deployments.models import Bundle, Deployment, LogLine
from deployments.services import delete_deployment, pause_deployment
from deployments.states import Status
from tests.deployments.builders import deploy, make_workflow, push
from tests.deployments.conftest import Clock
from tests.deployments.registries import push_base, run_registry
from tests.deployments.wheels import make_wheel

PLUGIN = {"hull/hull.py": "raise SystemExit('never run')", "hull/requirements.txt": "hullmaker>=2\nnumpy>=2"}


@pytest.fixture(autouse=True)
def installation(tmp_path: Path, settings, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An engine's environment with two packages, and a folder of wheels."""
    object_store().ensure_bucket()
    monkeypatch.setattr(environment, "installed_in", lambda python: {"ikomia": "0.16.1", "numpy": "2.4.6"})
    monkeypatch.setattr(environment, "python_version", lambda python: "3.11.9")
    wheels = tmp_path / "wheels"
    make_wheel(wheels, "hullmaker", "2.0", needs=["keel"])
    make_wheel(wheels, "keel", "1.5", needs=["numpy>1"])
    make_wheel(wheels, "numpy", "2.4.6")
    settings.PACKAGE_INDEX_URL, settings.PACKAGE_FOLDER = "none", str(wheels)
    settings.BUILD_FOLDER = str(tmp_path / "build")
    return wheels


def content(bundle: Bundle) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(object_store().get_bytes(bundle_key(bundle.digest)))) as tar:
        return {entry.name: stream.read() for entry in tar.getmembers() if (stream := tar.extractfile(entry))}


def waiting(owner: User, version: WorkflowVersion) -> Deployment:
    deployment = deploy(owner, version.workflow)
    Deployment.objects.filter(pk=deployment.pk).update(status=Status.BUILDING)
    return deployment


def log_of(deployment: Deployment) -> list[str]:
    return list(LogLine.objects.filter(deployment=deployment, source="build").order_by("timestamp").values_list("message", flat=True))


def test_what_plugins_require_is_installed_into_the_bundle_with_its_lock(owner: User) -> None:
    bundle = build_bundle(push(make_workflow(owner), PLUGIN))

    files = content(bundle)
    assert files["site-packages/keel/__init__.py"] == b"VERSION = '1.5'\n"
    assert not [name for name in files if "numpy" in name]
    assert files["lock.txt"].decode() == bundle.lock
    assert bundle.lock.splitlines()[0].startswith("hullmaker==2.0")
    messages = [line[2] for line in bundle.log]
    assert "1 of 2 requirements of plugins are met by the engine's environment" in messages
    assert "Installed keel==1.5" in messages


def test_two_builds_from_nothing_give_the_same_digest(owner: User, settings, tmp_path: Path) -> None:
    version = push(make_workflow(owner), PLUGIN)
    first = build_bundle(version)
    Bundle.objects.all().delete()
    object_store().delete(bundle_key(first.digest))
    settings.BUILD_FOLDER = str(tmp_path / "another")

    assert build_bundle(version).digest == first.digest


def test_without_plugins_that_need_more_no_installer_is_started(owner: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "workshop", lambda: pytest.fail("nothing is to be installed"))

    bundle = build_bundle(push(make_workflow(owner), {"hull/requirements.txt": "numpy"}))

    assert (bundle.lock, bundle.base, bundle.base_note) == ("", "ikomia-0.16.1-python-3.11", "")
    assert "lock.txt" not in content(bundle)


def test_the_same_input_is_not_built_again(owner: User, monkeypatch: pytest.MonkeyPatch) -> None:
    first = build_bundle(push(make_workflow(owner), PLUGIN))
    original = first.version
    twin = WorkflowVersion.objects.create(
        workflow=make_workflow(owner),
        number=9,
        data=original.data,
        archive_key=original.archive_key,
        archive_sha256="0" * 64,
        archive_size=1,
    )
    with monkeypatch.context() as patch:
        patch.setattr(build, "write_layer", lambda *_, **__: pytest.fail("built again"))
        second = build_bundle(twin)

    assert (second.digest, second.size, second.input_digest) == (first.digest, first.size, first.input_digest)
    object_store().delete(bundle_key(first.digest))
    Bundle.objects.filter(pk=second.pk).update(digest="")
    assert build_bundle(twin).digest == first.digest
    assert object_store().exists(bundle_key(first.digest))


def test_another_base_is_noted_and_one_that_is_not_supported_fails_the_build(owner: User) -> None:
    version = push(make_workflow(owner))
    version.data["api"] = {"version": "0.15.0", "python_version": "3.10"}
    bundle = build_bundle(version)
    assert (
        bundle.base_note
        == "The workflow asks for engine 0.15.0 with Python 3.10; it gets engine 0.16.1 with Python 3.11, the nearest that this installation has."
    )
    assert [bundle.base_note, "WARNING"] in [[line[2], line[1]] for line in bundle.log]

    Bundle.objects.all().delete()
    version.data["api"] = {"version": "7.0"}
    with pytest.raises(BuildFailed, match="This installation has engine 0"):
        build_bundle(version)
    assert Bundle.objects.get().reason_code == "UNSUPPORTED_RUNTIME"


def test_a_plugin_with_requirements_needs_the_environment_of_the_engine(owner: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "installed_in", lambda python: None)

    assert build_bundle(push(make_workflow(owner))).digest
    with pytest.raises(BuildFailed, match="not on this machine"):
        build_bundle(push(make_workflow(owner), PLUGIN))


def test_the_log_is_read_by_who_waits_while_it_is_written_and_by_all_exactly_once(
    owner: User, monkeypatch: pytest.MonkeyPatch, no_wakeups: list[object]
) -> None:
    version = push(make_workflow(owner), PLUGIN)
    early, other = waiting(owner, version), deploy(owner)
    monkeypatch.setattr(build_log, "BATCH_SECONDS", 0.0)
    seen: list[list[str]] = []

    def look(*arguments, **options):
        seen.append(log_of(early))
        return write_layer(*arguments, **options)

    monkeypatch.setattr(build, "write_layer", look)
    no_wakeups.clear()
    bundle = build_bundle(version)
    assert no_wakeups == [early.pk]
    late = waiting(owner, version)
    for _ in range(2):
        show_build_log(late.pk, bundle)
        show_build_log(early.pk, bundle)

    messages = [line[2] for line in bundle.log]
    assert messages[0].startswith("Building harbour")
    assert messages[-1] == "Stored"
    assert seen[0] == messages[: len(seen[0])]
    assert "Installed keel==1.5" in seen[0]
    assert log_of(early) == log_of(late) == messages
    assert log_of(other) == []


def test_after_a_worker_was_killed_the_log_says_that_it_begins_again(owner: User, moving_clock: Clock) -> None:
    version = push(make_workflow(owner))
    deployment = waiting(owner, version)
    first_try = begin_build(version)
    assert first_try is not None
    first_try.note("half done")
    with pytest.raises(BuildDelayed, match="Another worker"):
        build_bundle(version)
    assert len(log_of(deployment)) == 1

    moving_clock.advance(BUILD_LEASE.total_seconds() + 1)
    bundle = build_bundle(version)

    first, second, *_ = log_of(deployment)
    assert first.startswith("Building harbour v")
    assert second.startswith("Building again: harbour v")
    assert log_of(deployment) == [first, *(line[2] for line in bundle.log)]


def test_a_build_that_lost_its_turn_writes_nothing_over_the_other_one(owner: User, moving_clock: Clock) -> None:
    version = push(make_workflow(owner))
    slow = begin_build(version)
    assert slow is not None
    moving_clock.advance(BUILD_LEASE.total_seconds() + 1)
    bundle = build_bundle(version)

    slow.note("late")
    slow.flush()
    slow.finish(digest="", reason_code="TIMEOUT")
    slow.delay("INDEX_DOWN", "late")

    now = Bundle.objects.get(pk=bundle.pk)
    assert (now.digest, now.reason_code, now.log, now.build_token) == (bundle.digest, "", bundle.log, None)


def test_a_long_build_keeps_its_turn_and_its_deployment(owner: User, moving_clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    version = push(make_workflow(owner))
    deployment = waiting(owner, version)
    lease = claim(deployment.pk)
    assert lease is not None
    log = begin_build(version, lambda: extend(lease))
    assert log is not None
    monkeypatch.setattr(build_log, "RENEW_SECONDS", 0.0)
    for _ in range(3):
        moving_clock.advance(30)
        log.tick()

    with pytest.raises(BuildDelayed, match="Another worker"):
        begin_build(version)
    assert claim(deployment.pk) is None


@pytest.mark.parametrize("call_off", [pause_deployment, delete_deployment], ids=["pause", "delete"])
def test_a_build_ends_when_nobody_waits_for_it_any_more_and_lets_go(
    owner: User, monkeypatch: pytest.MonkeyPatch, call_off: Callable[..., Any]
) -> None:
    version = push(make_workflow(owner))
    deployment = waiting(owner, version)
    monkeypatch.setattr(build_log, "RENEW_SECONDS", 0.0)

    open_archive = build.open_archive

    def looked_for(*arguments: Any) -> Any:
        call_off(actor=owner, deployment_id=deployment.pk)
        return open_archive(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(build, "open_archive", looked_for)
        build_for_waiting(version.pk)

    assert built_bundle(version) is None
    assert Bundle.objects.get().log[-1][2] == "Ended: no deployment waits for this build any more"
    assert build_bundle(version).digest


def test_what_does_not_answer_is_tried_again_after_pauses_that_grow(
    owner: User, moving_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = push(make_workflow(owner), PLUGIN)
    deployment = waiting(owner, version)

    def down(*_: object) -> None:
        raise BuildDelayed("INDEX_DOWN", "No answer.")

    with monkeypatch.context() as patch:
        patch.setattr(Installer, "resolve", down)
        for pause in (2, 4, 8):
            for _ in range(2):
                with pytest.raises(BuildDelayed) as delay:
                    build_bundle(version)
                assert delay.value.reason.code == "INDEX_DOWN"
            assert Bundle.objects.get().build_expires_at == moving_clock.now + timedelta(seconds=pause)
            moving_clock.advance(pause)

    assert (Bundle.objects.get().digest, Bundle.objects.get().attempt) == ("", 3)
    assert build_bundle(version).digest
    lines = log_of(deployment)
    assert sum(line.startswith("Building") for line in lines) == 4
    assert lines.count("No answer. It is tried again by itself.") == 3


def test_an_object_store_that_is_down_is_told_as_such(owner: User, monkeypatch: pytest.MonkeyPatch) -> None:
    version = push(make_workflow(owner))

    def down(*_: object) -> None:
        raise Unavailable("object_store", "The object store does not answer.")

    monkeypatch.setattr(build, "open_archive", down)
    with pytest.raises(BuildDelayed) as delay:
        build_bundle(version)

    assert delay.value.reason.code == "OBJECT_STORE_DOWN"
    assert built_bundle(version) is None


def test_a_failed_build_leaves_its_reason_and_its_whole_log(owner: User) -> None:
    version = push(make_workflow(owner), {"hull/requirements.txt": "nothere"})
    deployment = waiting(owner, version)

    with pytest.raises(BuildFailed, match="Plugin 'hull' needs nothere"):
        build_bundle(version)

    bundle = Bundle.objects.get()
    assert (bundle.reason_code, bundle.digest, bundle.build_expires_at) == ("NOT_FOUND", "", None)
    assert log_of(deployment) == [line[2] for line in bundle.log]
    assert bundle.log[-1][1:] == ["ERROR", bundle.reason_detail]


def test_with_a_registry_the_bundle_becomes_an_image_once_it_answers(
    owner: User, settings, moving_clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = push(make_workflow(owner), PLUGIN)
    monkeypatch.setattr(build, "Registry", lambda url: Registry(url, pause=lambda seconds: None))
    settings.REGISTRY_URL = "http://127.0.0.1:9"
    with pytest.raises(BuildDelayed) as delay:
        build_bundle(version)
    assert (delay.value.reason.code, built_bundle(version)) == ("REGISTRY_DOWN", None)

    with run_registry(tmp_path / "registry") as settings.REGISTRY_URL:
        moving_clock.advance(60)
        with pytest.raises(BuildFailed, match="MANIFEST_UNKNOWN") as refusal:
            build_bundle(version)
        assert refusal.value.reason.code == "REGISTRY_REFUSED"
        client = Registry(settings.REGISTRY_URL)
        push_base(client, *read_bases()[0].image.split(":"))
        bundle = build_bundle(version)
        repository, digest = bundle.image.removeprefix(f"{settings.REGISTRY_URL.removeprefix('http://')}/").split("@")
        assert client.has_manifest(repository, digest) == digest
        client.close()

    assert bundle.log[-1][2] == f"Image {bundle.image}"


def test_a_builder_keeps_its_turn_while_the_object_store_takes_its_time(owner: User, monkeypatch: pytest.MonkeyPatch) -> None:
    ticked, storing = Event(), Event()
    put, tick = ObjectStore.put_file, BuildLog.tick

    def put_slowly(self: ObjectStore, key: str, *arguments: Any, **options: Any) -> None:
        if key.startswith("bundles/"):
            storing.set()
            assert ticked.wait(20)
        put(self, key, *arguments, **options)

    def note_tick(self: BuildLog) -> None:
        if storing.is_set():
            ticked.set()
        tick(self)

    version = push(make_workflow(owner))
    monkeypatch.setattr(ObjectStore, "put_file", put_slowly)
    monkeypatch.setattr(BuildLog, "tick", note_tick)

    assert build_bundle(version).digest
