"""Bundles as images in a real registry: put together there, sent once, the same for the same input; faults are told apart."""

from __future__ import annotations

import gzip
import io
import json
import random
import shutil
import subprocess
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from deployments.bundles import registry as room
from deployments.bundles.layer import Source, write_layer
from deployments.bundles.oci import REPOSITORY, pack_layer, push_bundle, read_image
from deployments.bundles.registry import (
    ATTEMPTS,
    DOCKER_MANIFEST,
    OCI_INDEX,
    OCI_MANIFEST,
    NotInRegistry,
    Registry,
    RegistryDown,
    RegistryRefused,
    sha256,
)
from tests.deployments.builders import archive_of
from tests.deployments.registries import Flaky, password_file, push_base, run_registry, token_service, with_password

BASE = "slipway/base:one"


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A registry that is open to all, shared by the tests of this file."""
    with run_registry(tmp_path_factory.mktemp("registry")) as address:
        yield address


@pytest.fixture
def registry(origin: str, request: pytest.FixtureRequest) -> Registry:
    """A client of it that never waits, with a base image; each test has names of its own."""
    client = quick(f"{origin}/{sha256(request.node.name.encode())[7:27]}")
    push_base(client)
    return client


CLIENTS: list[Registry] = []


@pytest.fixture(autouse=True)
def closed_clients() -> Iterator[None]:
    """Close what `quick` opened."""
    yield
    while CLIENTS:
        CLIENTS.pop().close()


def quick(url: str, transport: httpx.BaseTransport | None = None, pauses: list[float] | None = None) -> Registry:
    CLIENTS.append(Registry(url, transport=transport, pause=(pauses if pauses is not None else []).append))
    return CLIENTS[-1]


def bundle(text: str = "print(1)") -> tuple[io.BytesIO, str]:
    target = io.BytesIO()
    digest, _ = write_layer([Source(zipfile.ZipFile(io.BytesIO(archive_of({"hull/hull.py": text}))))], target)
    target.seek(0)
    return target, digest


def push(registry: Registry, text: str = "print(1)", base: str = BASE) -> str:
    content, digest = bundle(text)
    image = push_bundle(registry, bundle=content, bundle_digest=digest, base=base)
    return image[image.index(REPOSITORY) :]


@pytest.mark.parametrize(
    ("url", "pulled"),
    [
        ("https://me:hush@registry.example.com/team", "registry.example.com/team/slipway/bundles@sha256:12"),
        ("http://127.0.0.1:5000", "127.0.0.1:5000/slipway/bundles@sha256:12"),
    ],
)
def test_an_image_is_named_as_it_is_pulled_without_credentials(url: str, pulled: str) -> None:
    registry = Registry(url)
    assert registry.reference(REPOSITORY, "sha256:12") == pulled
    registry.close()


def test_the_image_is_the_base_with_the_bundle_on_top(registry: Registry) -> None:
    repository, digest = push(registry).split("@")

    image = read_image(registry, repository, digest)
    base = read_image(registry, "slipway/base", "one")
    assert image.manifest["layers"][:-1] == base.manifest["layers"]
    data = gzip.decompress(registry.blob(repository, image.manifest["layers"][-1]["digest"]))
    assert image.config["rootfs"]["diff_ids"] == [*base.config["rootfs"]["diff_ids"], sha256(data)]
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        assert [member.name for member in tar] == [
            "opt",
            "opt/bundle",
            "opt/bundle/plugins/Python/hull/hull.py",
            "opt/bundle/workflow.json",
        ]
    assert image.config["config"]["Entrypoint"] == ["/bin/runtime"]
    assert image.config["config"]["Labels"] == {"kept": "yes", "slipway.bundle": bundle()[1]}
    assert image.manifest["annotations"]["org.opencontainers.image.base.digest"] == base.digest
    assert repository == REPOSITORY


def test_the_same_bundle_is_the_same_image_and_is_not_sent_again(registry: Registry, origin: str) -> None:
    first = push(registry)
    way = Flaky({})
    again = quick(f"{origin}/{registry.prefix}", way)

    assert push(again) == first
    assert not {"POST", "PUT", "PATCH"} & set(way.sent)
    assert push(registry, "print(2)") != first
    content, _ = bundle()
    other = io.BytesIO(content.getvalue())
    assert pack_layer(content, io.BytesIO()) == pack_layer(other, io.BytesIO())


def test_a_new_base_under_the_same_tag_gives_a_new_image(registry: Registry) -> None:
    first = push(registry)
    push_base(registry, text="another")

    assert push(registry) != first


def test_layers_of_the_base_are_mounted_not_sent(registry: Registry, origin: str) -> None:
    way = Flaky({})
    push(quick(f"{origin}/{registry.prefix}", way))

    assert way.sent.count("PATCH") == 2  # the bundle and the configuration


def test_a_mount_that_the_registry_does_not_do_becomes_a_copy(registry: Registry) -> None:
    base = read_image(registry, "slipway/base", "one")
    digest = base.manifest["layers"][0]["digest"]

    assert not registry.mount("slipway/elsewhere", digest, "slipway/nothing")
    assert not registry.has_blob("slipway/elsewhere", digest)
    target = io.BytesIO()
    registry.read_blob("slipway/base", digest, target)
    registry.put_blob("slipway/elsewhere", digest, target)

    assert registry.has_blob("slipway/elsewhere", digest)


def test_large_blobs_go_in_pieces(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "CHUNK", 1000)
    data = random.Random(7).randbytes(3500)
    ticks: list[int] = []

    registry.put_blob("slipway/pieces", sha256(data), io.BytesIO(data), tick=lambda: ticks.append(1))

    assert registry.blob("slipway/pieces", sha256(data)) == data
    assert len(ticks) == 4


FAULTS: dict[str, dict[tuple[str, int], int | Exception]] = {
    "a head that is cut off": {("HEAD", 0): httpx.ReadError("cut")},
    "too many requests": {("GET", 0): 429, ("HEAD", 1): 429},
    "an upload that does not begin": {("POST", 1): 503, ("POST", 3): httpx.ConnectError("no")},
    "a piece that is lost": {("PATCH", 0): httpx.WriteError("lost"), ("PATCH", 1): 500},
    "an end that is lost": {("PUT", 0): httpx.ReadTimeout("late"), ("PUT", 1): 502, ("PUT", 3): httpx.ReadError("cut")},
}


@pytest.mark.parametrize("name", FAULTS)
def test_faults_that_pass_are_stood_through(registry: Registry, origin: str, name: str) -> None:
    pauses: list[float] = []
    image = push(quick(f"{origin}/{registry.prefix}", Flaky(FAULTS[name]), pauses))

    assert image == push(registry)
    assert 1 <= len(pauses) <= 4


def test_a_registry_that_is_away_is_told_from_one_that_refuses(registry: Registry, origin: str) -> None:
    pauses: list[float] = []
    away = quick(f"{origin}/x", Flaky({("GET", number): 503 for number in range(9)}), pauses)
    with pytest.raises(RegistryDown, match="cannot do that now"):
        push(away)
    assert len(pauses) == ATTEMPTS - 1
    with pytest.raises(RegistryDown, match="does not answer"):
        push(quick("http://127.0.0.1:9"))

    with pytest.raises(NotInRegistry, match="MANIFEST_UNKNOWN"):
        push(registry, base="slipway/base:two")
    with pytest.raises(RegistryRefused, match="DIGEST_INVALID"):
        registry.put_blob("slipway/x", sha256(b"said"), io.BytesIO(b"sent"))
    assert not registry.has_blob("slipway/x", sha256(b"said"))
    with pytest.raises(RegistryRefused, match="404"):
        registry.manifest("NOT A NAME", "one")


def test_a_base_that_makes_no_sense_is_refused_and_nothing_is_tagged(registry: Registry) -> None:
    base = read_image(registry, "slipway/base", "one")
    config = b'{"rootfs": {"type": "layers", "diff_ids": []}}'
    registry.put_blob("slipway/base", sha256(config), io.BytesIO(config))
    manifest = {**base.manifest, "config": {**base.manifest["config"], "digest": sha256(config), "size": len(config)}}
    registry.put_manifest("slipway/base", "odd", json.dumps(manifest).encode(), OCI_MANIFEST)

    with pytest.raises(RegistryRefused, match="does not name its layers"):
        push(registry, base="slipway/base:odd")

    assert not registry.has_manifest(REPOSITORY, f"bundle-{bundle()[1]}")


def test_of_an_index_the_image_for_our_machines_is_taken(registry: Registry) -> None:
    base = read_image(registry, "slipway/base", "one")
    entry = {"mediaType": OCI_MANIFEST, "digest": base.digest, "size": 1}
    for tag, machine in (("all", "amd64"), ("arm", "arm64")):
        entry["platform"] = {"os": "linux", "architecture": machine}
        index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry]}
        registry.put_manifest("slipway/base", tag, json.dumps(index).encode(), OCI_INDEX)

    assert read_image(registry, "slipway/base", "all").digest == base.digest
    with pytest.raises(NotInRegistry, match="not there for Linux on amd64"):
        push(registry, base="slipway/base:arm")


def test_a_base_in_the_older_form_keeps_it(registry: Registry) -> None:
    manifest = dict(read_image(registry, "slipway/base", "one").manifest)
    manifest["mediaType"] = DOCKER_MANIFEST
    manifest["config"] = {**manifest["config"], "mediaType": "application/vnd.docker.container.image.v1+json"}
    registry.put_manifest("slipway/base", "docker", json.dumps(manifest).encode(), DOCKER_MANIFEST)

    repository, digest = push(registry, base="slipway/base:docker").split("@")

    image = read_image(registry, repository, digest)
    assert image.media_type == DOCKER_MANIFEST
    assert image.manifest["layers"][-1]["mediaType"] == "application/vnd.docker.image.rootfs.diff.tar.gzip"


def test_a_registry_with_a_password_takes_the_right_one_only(tmp_path: Path) -> None:
    with run_registry(tmp_path / "data", password_file(tmp_path)) as address:
        client = quick(with_password(address))
        push_base(client)
        assert "@sha256:" in push(client)
        for wrong in (quick(address), quick(with_password(address, password="wrong"))):
            with pytest.raises(RegistryRefused, match=r"401 .*Check the user"):
                push(wrong)
        with pytest.raises(RegistryRefused) as refusal:
            quick(with_password(address, password="secret-word")).manifest("slipway/base", "one")
        assert "secret-word" not in str(refusal.value)


def test_a_registry_with_a_token_service_is_asked_once_for_each_repository(tmp_path: Path) -> None:
    with token_service(tmp_path) as (auth, scopes), run_registry(tmp_path / "data", auth) as address:
        client = quick(with_password(address))
        push_base(client)
        image = push(client)
        assert read_image(client, *image.split("@")).digest == image.split("@")[1]
        with pytest.raises(RegistryRefused, match=r"401 .*Check the user"):
            push(quick(with_password(address, password="wrong")))

    assert any(scope.startswith("repository:slipway/base:pull") for scope in scopes)
    assert any("push" in scope and REPOSITORY in scope for scope in scopes)


def test_credentials_go_to_the_registry_alone() -> None:
    seen: list[tuple[str, bool]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append((request.url.host, "Authorization" in request.headers))
        if request.url.host == "elsewhere.test":
            return httpx.Response(200, content=b"found", request=request)
        if "Authorization" not in request.headers:
            return httpx.Response(401, headers={"WWW-Authenticate": 'Basic realm="x"'}, request=request)
        return httpx.Response(307, headers={"Location": "https://elsewhere.test/blob"}, request=request)

    client = quick("https://me:hush@registry.test", httpx.MockTransport(answer))

    assert client.blob("a/b", sha256(b"found")) == b"found"
    assert seen == [("registry.test", False), ("registry.test", True), ("elsewhere.test", False)]


@pytest.mark.parametrize("realm", ["http://elsewhere.test/token", "http://127.0.0.1:1/token", "ftp://x", ""])
def test_a_token_service_without_tls_gets_no_credentials(realm: str) -> None:
    seen: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.url.host)
        return httpx.Response(401, headers={"WWW-Authenticate": f'Bearer realm="{realm}",service="s"'}, request=request)

    with pytest.raises(RegistryRefused):
        quick("https://me:hush@registry.test", httpx.MockTransport(answer)).manifest("a/b", "c")

    assert set(seen) == {"registry.test"}


@pytest.mark.skipif(shutil.which("skopeo") is None, reason="an independent look, where skopeo is installed")
def test_another_program_reads_the_image(registry: Registry, tmp_path: Path) -> None:
    image = push(registry)
    source = f"docker://{registry.origin.removeprefix('http://')}/{registry.prefix}/{image}"

    subprocess.run(["skopeo", "--insecure-policy", "copy", "--src-tls-verify=false", source, f"oci:{tmp_path}/image:x"], check=True)

    assert json.loads((tmp_path / "image" / "index.json").read_text())["manifests"]
