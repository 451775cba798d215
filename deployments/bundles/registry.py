"""A client of a container registry (OCI distribution, version 1.1): what is needed to put an image together there, without a container daemon."""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any, NoReturn
from urllib.parse import urlsplit

import httpx

from deployments.bundles.registry_login import Login

CHUNK = 8 * 1024 * 1024
ATTEMPTS = 4
LONGEST_PAUSE = 10.0
MAX_DOCUMENT_BYTES = 4 * 1024 * 1024
TIMES = httpx.Timeout(60.0, connect=5.0)
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
ACCEPTED = ", ".join((OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_INDEX))


class RegistryError(Exception):
    """Something with the registry; the text says what and where."""


class RegistryDown(RegistryError):
    """It does not answer, or says that it cannot now. Worth another try later."""


class RegistryRefused(RegistryError):
    """It answers, and will not do it: no access, unknown name, nonsense. Another try gives the same."""


class NotInRegistry(RegistryRefused):
    """The registry has no such repository, manifest or blob."""


@dataclass(frozen=True, slots=True)
class Document:
    """A manifest: its bytes as stored, its media type and its digest (`sha256:…`)."""

    data: bytes
    media_type: str
    digest: str


def sha256(data: bytes) -> str:
    """Return the digest of bytes as registries write it."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


class Registry:
    """One registry. `url` is its origin with credentials and, if need be, a path that all repositories begin with.

    Every call is repeated when it fails in passing (ATTEMPTS in all, with pauses that grow); all of them may be repeated at will.
    Errors: RegistryDown, RegistryRefused, NotInRegistry.
    """

    def __init__(self, url: str, *, transport: httpx.BaseTransport | None = None, pause: Callable[[float], None] = time.sleep) -> None:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
        self.origin = f"{parts.scheme}://{host}"
        self.prefix = parts.path.strip("/")
        self.pause = pause
        self.client = httpx.Client(
            transport=transport,
            timeout=TIMES,
            follow_redirects=True,
            headers={"User-Agent": "slipway"},
            auth=Login(self.origin, parts.username or "", parts.password or ""),
        )

    def close(self) -> None:
        """Close the connections."""
        self.client.close()

    def address(self, repository: str, *rest: str) -> str:
        """Return the address of something in a repository."""
        name = f"{self.prefix}/{repository}" if self.prefix else repository
        return "/".join((f"{self.origin}/v2", name, *rest))

    def reference(self, repository: str, digest: str) -> str:
        """Return what clients pull: `host/repository@digest`."""
        name = f"{self.prefix}/{repository}" if self.prefix else repository
        return f"{urlsplit(self.origin).netloc}/{name}@{digest}"

    def has_blob(self, repository: str, digest: str) -> bool:
        """Tell whether the repository has a blob."""
        return self.is_there(self.address(repository, "blobs", digest))

    def has_manifest(self, repository: str, reference: str) -> str:
        """Return the digest of what a tag or digest leads to, "" if nothing."""
        answer = self.send("HEAD", self.address(repository, "manifests", reference), allowed=(200, 404), headers={"Accept": ACCEPTED})
        return answer.headers.get("Docker-Content-Digest", "") if answer.status_code == 200 else ""

    def is_there(self, address: str) -> bool:
        """Ask for the head of something."""
        return self.send("HEAD", address, allowed=(200, 404)).status_code == 200

    def manifest(self, repository: str, reference: str) -> Document:
        """Return a manifest; one that is asked for by digest must have it. Raises NotInRegistry."""
        answer = self.send("GET", self.address(repository, "manifests", reference), allowed=(200,), headers={"Accept": ACCEPTED})
        found = Document(answer.content, answer.headers.get("Content-Type", "").partition(";")[0], sha256(answer.content))
        if len(found.data) > MAX_DOCUMENT_BYTES or (reference.startswith("sha256:") and found.digest != reference):
            raise RegistryRefused(f"The manifest '{reference}' of '{repository}' is not what its digest says.")
        return found

    def blob(self, repository: str, digest: str) -> bytes:
        """Return a small blob (a configuration), checked against its digest. Raises NotInRegistry."""
        data = self.send("GET", self.address(repository, "blobs", digest), allowed=(200,)).content
        if sha256(data) != digest:
            raise RegistryRefused(f"The blob {digest[:19]} of '{repository}' is not what its digest says.")
        return data

    def read_blob(self, repository: str, digest: str, target: IO[bytes], *, tick: Callable[[], None] = lambda: None) -> None:
        """Write a blob of any size to `target`, checked against its digest. Raises NotInRegistry."""
        address = self.address(repository, "blobs", digest)
        for last in self.attempts():
            with last:
                target.seek(0)
                target.truncate()
                self.stream_blob(address, digest, target, tick)
                return

    def stream_blob(self, address: str, digest: str, target: IO[bytes], tick: Callable[[], None]) -> None:
        """Read a blob once."""
        found = hashlib.sha256()
        try:
            with self.client.stream("GET", address) as answer:
                if answer.status_code != 200:
                    answer.read()
                    self.refuse("GET", address, answer)
                for data in answer.iter_bytes(1024 * 1024):
                    found.update(data)
                    target.write(data)
                    tick()
        except httpx.HTTPError as error:
            raise self.silent(error) from error
        if f"sha256:{found.hexdigest()}" != digest:
            raise RegistryDown(f"The blob {digest[:19]} came damaged.")

    def mount(self, repository: str, digest: str, source: str) -> bool:
        """Let a repository have a blob of another one without sending it; False when the registry does not do that."""
        name = f"{self.prefix}/{source}" if self.prefix else source
        address = self.address(repository, "blobs", "uploads/")
        answer = self.send("POST", address, allowed=(201, 202), params={"mount": digest, "from": name})
        if answer.status_code == 202:
            # It took the question for the beginning of an upload.
            self.send("DELETE", self.location(answer), allowed=(200, 202, 204, 404, 405))
        return answer.status_code == 201

    def put_blob(self, repository: str, digest: str, stream: IO[bytes], *, tick: Callable[[], None] = lambda: None) -> None:
        """Send a blob in pieces unless it is there. After a fault it begins anew, so the stream must be seekable."""
        if self.has_blob(repository, digest):
            return
        for last in self.attempts():
            with last:
                self.upload(repository, digest, stream, tick)
                return

    def upload(self, repository: str, digest: str, stream: IO[bytes], tick: Callable[[], None]) -> None:
        """Send a blob once from its beginning."""
        stream.seek(0)
        answer = self.send_once("POST", self.address(repository, "blobs", "uploads/"), allowed=(202,))
        offset = 0
        while data := stream.read(CHUNK):
            headers = {"Content-Range": f"{offset}-{offset + len(data) - 1}", "Content-Type": "application/octet-stream"}
            answer = self.send_once("PATCH", self.location(answer), allowed=(202,), headers=headers, content=data)
            offset += len(data)
            tick()
        target = httpx.URL(self.location(answer)).copy_merge_params({"digest": digest})
        self.send_once("PUT", str(target), allowed=(201,), headers={"Content-Type": "application/octet-stream"})

    def put_manifest(self, repository: str, tag: str, data: bytes, media_type: str) -> str:
        """Store a manifest under a tag and return its digest."""
        self.send("PUT", self.address(repository, "manifests", tag), allowed=(201,), headers={"Content-Type": media_type}, content=data)
        digest = sha256(data)
        if self.has_manifest(repository, digest) != digest:
            raise RegistryRefused(f"The registry stored the manifest of '{repository}:{tag}' in another form.")
        return digest

    def location(self, answer: httpx.Response) -> str:
        """Return where an upload goes on, which may be told without the origin."""
        told = answer.headers.get("Location")
        if not told:
            raise RegistryRefused("The registry began an upload without saying where it goes on.")
        return str(answer.request.url.join(told))

    def send(self, method: str, address: str, *, allowed: tuple[int, ...], **options: Any) -> httpx.Response:
        """Send a request, again if it fails in passing."""
        for last in self.attempts():
            with last:
                return self.send_once(method, address, allowed=allowed, **options)
        raise AssertionError("The last attempt raises.")

    def attempts(self) -> Iterator[Any]:
        """Yield a context for each try; only the last one lets RegistryDown out."""
        for number in range(1, ATTEMPTS + 1):
            yield self.attempt(number)

    @contextmanager
    def attempt(self, number: int) -> Iterator[None]:
        """Wait after a fault that may pass, some time between half and all of a pause that doubles."""
        try:
            yield
        except RegistryDown:
            if number == ATTEMPTS:
                raise
            self.pause(min(LONGEST_PAUSE, 0.25 * 2**number) * random.uniform(0.5, 1.0))  # noqa: S311 - spreads load, guards nothing

    def send_once(self, method: str, address: str, *, allowed: tuple[int, ...], **options: Any) -> httpx.Response:
        """Send a request once; any status but the allowed ones becomes an error."""
        try:
            answer = self.client.request(method, address, **options)
        except httpx.HTTPError as error:
            raise self.silent(error) from error
        if answer.status_code not in allowed:
            self.refuse(method, address, answer)
        return answer

    def silent(self, error: httpx.HTTPError) -> RegistryDown:
        """Return the error of a connection that failed."""
        return RegistryDown(f"The registry at {self.origin} does not answer ({type(error).__name__}).")

    def refuse(self, method: str, address: str, answer: httpx.Response) -> NoReturn:
        """Raise the error that an answer stands for."""
        what = f"{method} {httpx.URL(address).path}: {answer.status_code} {told_by(answer)}".strip()
        if answer.status_code in (408, 425, 429) or answer.status_code >= 500:
            raise RegistryDown(f"The registry at {self.origin} cannot do that now. {what}")
        if answer.status_code in (401, 403):
            what += " Check the user and the password in REGISTRY_URL."
        raise (NotInRegistry if answer.status_code == 404 else RegistryRefused)(f"The registry at {self.origin} refuses. {what}")


def told_by(answer: httpx.Response) -> str:
    """Return the registry's own words."""
    try:
        errors = answer.json()["errors"]
        return "; ".join(f"{one['code']}: {one.get('message', '')}" for one in errors)[:500]
    except (ValueError, KeyError, TypeError, AttributeError):
        return ""
