"""Algorithms for tests: plugins as zips, pictures, uploads, and publications."""

from __future__ import annotations

import io
import json
import struct
import zipfile
import zlib
from typing import Any

from django.core.files.uploadedfile import SimpleUploadedFile

from controlplane.accounts.models import User
from controlplane.hub.models import Algorithm, HubAlgorithm, HubVersion, Package
from controlplane.hub.publishing import publish_algorithm
from controlplane.hub.services import create_algorithm
from controlplane.hub.uploads import add_package, set_demo_workflow
from controlplane.projects.models import Workflow, WorkflowVersion
from controlplane.workspaces.models import Namespace
from controlplane.workspaces.services import allow_publishing
from tests.projects.archives import connection, task

NAME = "find_hulls"
LINUX = {
    "ikomia_min_version": "0.16.1",
    "python_min_version": "3.10",
    "python_max_version": "3.14.0",
    "os": ["LINUX"],
    "architecture": ["X86_64"],
}
# What the command line client sends of a plugin.
SENT: dict[str, Any] = {
    "name": NAME,
    "short_description": "Finds hulls",
    "description": "# Hulls\n\nLong.",
    "keywords": [""],
    "paper": {"authors": "", "title": "", "journal": "", "year": 0, "link": ""},
    "ikomia_min_version": "0.16.1",
    "ikomia_max_version": "",
    "python_min_version": "3.10",
    "python_max_version": "",
    "language": "PYTHON",
    "repository": "",
    "original_implementation_repository": "",
    "algo_type": "INFER",
    "algo_task": [""],
    "os": ["LINUX", "WINDOWS"],
}


def plugin(name: str = NAME, *, body: str = "", **more: str) -> bytes:
    """Return the zip of a plugin; `more` are further Python files."""
    files = {f"{name}.py": body, f"{name}_process.py": "", **{f"{other}.py": text for other, text in more.items()}}
    return zipped(files)


def zipped(files: dict[str, Any]) -> bytes:
    """Return a zip of files by name, the same bytes at any time."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, content in files.items():
            archive.writestr(zipfile.ZipInfo(path), content, zipfile.ZIP_DEFLATED)
    return stream.getvalue()


def demo(name: str = NAME, *, body: str = "old", url: str = "") -> bytes:
    """Return the archive of a workflow with one task, the algorithm, whose folder holds a data file too."""
    data = {"language": 1, "url": url or f"file://{name}", "parameters": [{"name": "labels", "value": f"file://{name}/data/labels.txt"}]}
    document = {
        "metadata": {"name": f"{name} demo", "description": "shows it"},
        "tasks": [task(0, name, **data)],
        "connections": [connection(-1, 0)],
    }
    files = {f"{name}/{name}.py": body, f"{name}/{name}_process.py": "", f"{name}/data/labels.txt": "hull", f"{name}/left_over.py": "x"}
    return zipped({"workflow.json": json.dumps(document), **files})


def png(width: int = 8, height: int = 8) -> bytes:
    """Return a picture."""
    rows = b"".join(b"\0" + b"\x20\x40\x60" * width for _ in range(height))
    parts = [(b"IHDR", struct.pack(">2I5B", width, height, 8, 2, 0, 0, 0)), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    chunks = (struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in parts)
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def upload(content: bytes, name: str = "package.zip") -> SimpleUploadedFile:
    """Return a file as clients send it."""
    return SimpleUploadedFile(name, content, content_type="application/octet-stream")


def root(owner: User) -> Namespace:
    """Return the personal workspace of a user."""
    return Namespace.objects.get(owner=owner, parent=None)


def make_algorithm(actor: User, name: str = NAME, *, namespace: Namespace | None = None, **fields: Any) -> Algorithm:
    """Add an algorithm."""
    return create_algorithm(actor=actor, namespace_id=(namespace or root(actor)).pk, name=name, **fields)


def make_package(actor: User, algorithm: Algorithm, *, body: str = "", **platform: Any) -> Package:
    """Upload a package, for Linux unless told otherwise."""
    content = io.BytesIO(plugin(algorithm.name, body=body))
    return add_package(actor=actor, algorithm_id=algorithm.pk, file=content, **{**LINUX, **platform})


def make_demo(actor: User, algorithm: Algorithm) -> None:
    """Upload a demo workflow."""
    set_demo_workflow(actor=actor, algorithm_id=algorithm.pk, archive=io.BytesIO(demo(algorithm.name)))


def make_published(actor: User, name: str = NAME, *, version: str = "1.0.0", with_demo: bool = False, **fields: Any) -> HubAlgorithm:
    """Add, upload and publish."""
    algorithm = make_algorithm(actor, name, **fields)
    make_package(actor, algorithm)
    if with_demo:
        make_demo(actor, algorithm)
    allow_publishing(path=algorithm.namespace.lineage()[0].path, allowed=True)
    return publish_algorithm(actor=actor, algorithm_id=algorithm.pk, license="MIT", version=version)


def source_of(hub: HubAlgorithm) -> Algorithm:
    """Return the algorithm that was published."""
    assert hub.algorithm is not None
    return hub.algorithm


def newest_of(hub: HubAlgorithm) -> HubVersion:
    """Return the newest published version."""
    assert hub.current is not None
    return hub.current


def pushed_to(workflow: Workflow) -> WorkflowVersion:
    """Return the newest version of a workflow."""
    assert workflow.current is not None
    return workflow.current


def algorithms_of(user: User) -> str:
    """Return the address of the algorithms of a personal workspace."""
    return f"/v1/namespaces/{root(user).pk}/algos/"


def url(algorithm: Algorithm) -> str:
    """Return the address of an algorithm."""
    return f"/v1/algos/{algorithm.pk}/"


def as_form(fields: dict[str, Any], **files: Any) -> dict[str, Any]:
    """Return fields as the command line client sends them beside a file: lists and objects as parts of JSON."""
    return {name: json.dumps(value) if isinstance(value, list | dict) else value for name, value in fields.items()} | files
