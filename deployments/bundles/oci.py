"""A bundle as an image: one gzip layer on the base's image, put together in the registry."""

from __future__ import annotations

import copy
import gzip
import json
import tarfile
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Any, cast

from deployments.bundles.layer import HashingWriter, TickingReader
from deployments.bundles.registry import DOCKER_MANIFEST, OCI_MANIFEST, Document, NotInRegistry, Registry, RegistryRefused, sha256

# Where the runtime finds the bundle in the image.
PLACE = "opt/bundle"
REPOSITORY = "slipway/bundles"
NO_TIME = "1970-01-01T00:00:00Z"
LAYER_TYPES = {
    OCI_MANIFEST: "application/vnd.oci.image.layer.v1.tar+gzip",
    DOCKER_MANIFEST: "application/vnd.docker.image.rootfs.diff.tar.gzip",
}
SPOOL_BYTES = 32 * 1024 * 1024
# Fast, and a tenth larger than the best: layers are read far more often than they are sent.
LEVEL = 6


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer: the digests (`sha256:…`) of its tar and of its gzip, and the gzip's size in bytes."""

    diff_id: str
    digest: str
    size: int


@dataclass(frozen=True, slots=True)
class Image:
    """An image in a registry, and what its base was."""

    manifest: dict[str, Any]
    media_type: str
    config: dict[str, Any]
    digest: str


def push_bundle(
    registry: Registry,
    *,
    bundle: IO[bytes],
    bundle_digest: str,
    base: str,
    repository: str = REPOSITORY,
    tick: Callable[[], None] = lambda: None,
) -> str:
    """Push a bundle's tar on top of the base (`repository:tag` or `repository@digest`); return `host/repository@digest` of the image.

    The tag names the bundle and the base's present digest: what is there already is not sent again. Raises RegistryError.
    """
    source, reference = split_reference(base)
    found = read_image(registry, source, reference)
    tag = f"bundle-{bundle_digest}-{found.digest.removeprefix('sha256:')[:12]}"
    if there := registry.has_manifest(repository, tag):
        return registry.reference(repository, there)
    for blob in (found.manifest["config"], *found.manifest["layers"]):
        bring_blob(registry, repository, source, blob["digest"], tick)
    with tempfile.SpooledTemporaryFile(SPOOL_BYTES) as packed:
        layer = pack_layer(bundle, packed, tick)
        registry.put_blob(repository, layer.digest, packed, tick=tick)
    config, manifest = with_layer(found, layer, bundle_digest, base)
    with tempfile.SpooledTemporaryFile(SPOOL_BYTES) as spool:
        spool.write(config)
        registry.put_blob(repository, sha256(config), spool)
    return registry.reference(repository, registry.put_manifest(repository, tag, manifest, found.media_type))


def split_reference(image: str) -> tuple[str, str]:
    """Return repository and tag or digest."""
    repository, at, digest = image.partition("@")
    if at:
        return repository, digest
    repository, _, tag = image.partition(":")
    return repository, tag or "latest"


def read_image(registry: Registry, repository: str, reference: str) -> Image:
    """Read an image for Linux on x86-64; of an index, the entry for that."""
    found = registry.manifest(repository, reference)
    manifest = parsed(found)
    if "manifests" in manifest:
        entry = next((one for one in manifest["manifests"] if is_ours(one.get("platform") or {})), None)
        if entry is None:
            raise NotInRegistry(f"The base image '{repository}:{reference}' is not there for Linux on amd64.")
        found = registry.manifest(repository, entry["digest"])
        manifest = parsed(found)
    media_type = manifest.get("mediaType") or found.media_type
    if media_type not in LAYER_TYPES or not isinstance(manifest.get("layers"), list) or "config" not in manifest:
        raise RegistryRefused(f"The base image '{repository}:{reference}' is of a kind that is not known ({media_type}).")
    config = json.loads(registry.blob(repository, manifest["config"]["digest"]))
    return Image(manifest, media_type, config, found.digest)


def parsed(document: Document) -> dict[str, Any]:
    """Return a manifest's content."""
    try:
        content = json.loads(document.data)
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise RegistryRefused("The registry gave a manifest that cannot be read.")
    return content


def is_ours(platform: dict[str, Any]) -> bool:
    """Tell whether an entry of an index is for the machines of the runtimes."""
    return (platform.get("os"), platform.get("architecture")) == ("linux", "amd64")


def bring_blob(registry: Registry, repository: str, source: str, digest: str, tick: Callable[[], None]) -> None:
    """Have a blob of the base in the repository: it is there, or mounted, or copied."""
    if registry.has_blob(repository, digest) or registry.mount(repository, digest, source):
        return
    with tempfile.SpooledTemporaryFile(SPOOL_BYTES) as spool:
        registry.read_blob(source, digest, spool, tick=tick)
        registry.put_blob(repository, digest, spool, tick=tick)


def pack_layer(bundle: IO[bytes], target: IO[bytes], tick: Callable[[], None] = lambda: None) -> Layer:
    """Write a bundle's tar as a layer: its files below PLACE, gzip without name and time. The same bundle gives the same layer."""
    packed = HashingWriter(target)
    with gzip.GzipFile(filename="", mode="wb", compresslevel=LEVEL, fileobj=packed, mtime=0) as zipped:
        plain = HashingWriter(cast("IO[bytes]", zipped))
        with tarfile.open(fileobj=bundle, mode="r|") as source, tarfile.open(fileobj=plain, mode="w|", format=tarfile.PAX_FORMAT) as tar:
            for folder in folders_above(f"{PLACE}/x"):
                tar.addfile(folder)
            for member in source:
                entry = tarfile.TarInfo(f"{PLACE}/{member.name}")
                entry.size, entry.mode = member.size, member.mode
                content = source.extractfile(member)
                tar.addfile(entry, cast("IO[bytes]", TickingReader(content, tick)) if content else None)
    return Layer(f"sha256:{plain.digest.hexdigest()}", f"sha256:{packed.digest.hexdigest()}", packed.size)


def folders_above(path: str) -> list[tarfile.TarInfo]:
    """Return the entries of the folders that a path lies in."""
    parts = path.split("/")[:-1]
    found = []
    for count in range(1, len(parts) + 1):
        entry = tarfile.TarInfo("/".join(parts[:count]))
        entry.type, entry.mode = tarfile.DIRTYPE, 0o755
        found.append(entry)
    return found


def with_layer(base: Image, layer: Layer, bundle_digest: str, name: str) -> tuple[bytes, bytes]:
    """Return configuration and manifest of the base with one more layer; the same input gives the same bytes."""
    config = copy.deepcopy(base.config)
    if config.get("rootfs", {}).get("type") != "layers" or len(config["rootfs"].get("diff_ids", [])) != len(base.manifest["layers"]):
        raise RegistryRefused("The base image's configuration does not name its layers.")
    config["rootfs"]["diff_ids"].append(layer.diff_id)
    config["history"] = [*(config.get("history") or []), {"created": NO_TIME, "created_by": f"bundle {bundle_digest}"}]
    inner = config["config"] = config.get("config") or {}
    inner["Labels"] = {**(inner.get("Labels") or {}), "slipway.bundle": bundle_digest}
    config_data = encoded(config)
    manifest = copy.deepcopy(base.manifest)
    manifest["config"] |= {"digest": sha256(config_data), "size": len(config_data)}
    manifest["layers"].append({"mediaType": LAYER_TYPES[base.media_type], "digest": layer.digest, "size": layer.size})
    if base.media_type == OCI_MANIFEST:
        origin = {"org.opencontainers.image.base.digest": base.digest, "org.opencontainers.image.base.name": name}
        manifest["annotations"] = {**(manifest.get("annotations") or {}), **origin}
        manifest["mediaType"] = OCI_MANIFEST
    return config_data, encoded(manifest)


def encoded(document: dict[str, Any]) -> bytes:
    """Return JSON bytes, always the same for the same content."""
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
