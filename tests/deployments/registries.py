"""Debian's docker-registry on loopback: open, with a password, or with a token service; and a base image to push to it."""

from __future__ import annotations

import base64
import http.server
import io
import json
import os
import re
import shutil
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from deployments.bundles.registry import OCI_MANIFEST, Registry, sha256

UNPACKED = Path(__file__).parents[2] / ".venvs" / "registry" / "usr" / "bin" / "docker-registry"
PATIENCE = 30.0
# The password "hush".
HTPASSWD = "slipway:$2b$04$h6nt/lMQxSBMelP1kM/55uW2BoFPtdeRXXaCuWx7WV3.61kK/myqq\n"
USER, PASSWORD = "slipway", "hush"


def registry_program() -> str:
    """The program; without it the test is left out, but never in CI."""
    found = shutil.which("docker-registry") or (str(UNPACKED) if UNPACKED.exists() else None)
    if found is None:
        told = "docker-registry is not here: sh requirements/registry.sh"
        if os.environ.get("CI") or os.environ.get("SLIPWAY_NO_SKIPS"):
            pytest.fail(told)
        pytest.skip(told)
    return found


@contextmanager
def run_registry(folder: Path, auth: dict[str, Any] | None = None) -> Iterator[str]:
    """Run a registry with its data in `folder`; gives its origin."""
    program = registry_program()
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "version": 0.1,
        "log": {"level": "info", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}, "delete": {"enabled": True}},
        "http": {"addr": "127.0.0.1:0", "secret": "of-this-test"},
        **({"auth": auth} if auth else {}),
    }
    (folder / "config.yml").write_text(json.dumps(config))  # JSON is YAML
    process = subprocess.Popen([program, "serve", str(folder / "config.yml")], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        told: list[str] = []
        for line in process.stderr:
            told.append(line)
            if found := re.search(r"listening on (127\.0\.0\.1:\d+)", line):
                break
        else:
            pytest.fail("".join(told))
        drain = threading.Thread(target=process.stderr.read, daemon=True)
        drain.start()
        yield f"http://{found[1]}"
    finally:
        process.terminate()
        process.wait(PATIENCE)
        drain.join(PATIENCE)
        process.stderr.close()


def with_password(origin: str, user: str = USER, password: str = PASSWORD) -> str:
    """An address with credentials."""
    return origin.replace("://", f"://{user}:{password}@")


def password_file(folder: Path) -> dict[str, Any]:
    """The part of a registry's configuration that asks for a password."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "users").write_text(HTPASSWD)
    return {"htpasswd": {"realm": "slipway", "path": str(folder / "users")}}


class TokenService(http.server.BaseHTTPRequestHandler):
    """Gives tokens for what is asked, to who knows the password."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate
    scopes: list[str]

    def do_GET(self) -> None:
        """Sign a token."""
        asked = parse_qs(urlsplit(self.path).query)
        known = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if self.headers["Authorization"] != f"Basic {known}":
            self.send_response(401)
            self.end_headers()
            return
        self.scopes += asked.get("scope", [])
        access = []
        for scope in " ".join(asked.get("scope", [])).split():
            kind, name, actions = scope.split(":", 2)
            access.append({"type": kind, "name": name, "actions": actions.split(",")})
        now = datetime.now(UTC)
        claims = {
            "iss": "tests",
            "sub": USER,
            "aud": "registry",
            "iat": now,
            "nbf": now - timedelta(minutes=1),
            "exp": now + timedelta(minutes=5),
        }
        der = self.certificate.public_bytes(serialization.Encoding.DER)
        token = jwt.encode({**claims, "jti": "1", "access": access}, self.key, "ES256", headers={"x5c": [base64.b64encode(der).decode()]})
        body = json.dumps({"token": token}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def token_service(folder: Path) -> Iterator[tuple[dict[str, Any], list[str]]]:
    """Run a token service; gives the part of a registry's configuration that trusts it, and the scopes that it gave tokens for."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tests")])
    now = datetime.now(UTC)
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
    certificate = made.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1)).sign(key, hashes.SHA256())
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "trusted.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    scopes: list[str] = []
    handler = type("Service", (TokenService,), {"key": key, "certificate": certificate, "scopes": scopes})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    realm = f"http://127.0.0.1:{server.server_port}/token"
    try:
        yield {"token": {"realm": realm, "service": "registry", "issuer": "tests", "rootcertbundle": str(folder / "trusted.pem")}}, scopes
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def push_base(registry: Registry, repository: str = "slipway/base", tag: str = "one", text: str = "base") -> str:
    """Push a tiny image of one file; returns its digest."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as tar:
        entry = tarfile.TarInfo("etc/base")
        entry.size = len(text)
        tar.addfile(entry, io.BytesIO(text.encode()))
    layer = plain.getvalue()
    config = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Entrypoint": ["/bin/runtime"], "Labels": {"kept": "yes"}},
            "rootfs": {"type": "layers", "diff_ids": [sha256(layer)]},
            "history": [{"created_by": "base"}],
        }
    ).encode()
    for blob in (layer, config):
        registry.put_blob(repository, sha256(blob), io.BytesIO(blob))
    manifest = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": sha256(config), "size": len(config)},
        "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": sha256(layer), "size": len(layer)}],
    }
    return registry.put_manifest(repository, tag, json.dumps(manifest).encode(), OCI_MANIFEST)


class Flaky(httpx.BaseTransport):
    """A way to a registry on which some requests fail: `faults` maps (method, how many of that method came before) to a status or an error."""

    def __init__(self, faults: dict[tuple[str, int], int | Exception]) -> None:
        self.faults = faults
        self.inner = httpx.HTTPTransport()
        self.sent: list[str] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Fail, or pass on."""
        fault = self.faults.get((request.method, self.sent.count(request.method)))
        self.sent.append(request.method)
        if isinstance(fault, Exception):
            raise fault
        return httpx.Response(fault, request=request) if fault else self.inner.handle_request(request)

    def close(self) -> None:
        """Close the connections."""
        self.inner.close()
