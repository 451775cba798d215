"""Deliveries over TLS: the certificate must be the name's, though the connection goes to a number."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from controlplane.webhooks import wire
from controlplane.webhooks.models import Delivery
from tests.webhooks.receiver import Receiver
from tests.webhooks.sending import deliver, happen

pytestmark = pytest.mark.django_db


def write_certificate(folder: Path, name: str) -> Path:
    """Write a key with a certificate of its own for a name."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path = folder / f"{name}.pem"
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return path


class TlsReceiver(Receiver):
    """A receiver that speaks TLS; `names` are those that clients asked for."""

    def __init__(self, certificate: Path) -> None:
        self.names: list[str] = []
        super().__init__()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        context.sni_callback = lambda _, name, __: self.names.append(str(name))
        self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)


@pytest.fixture
def secure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TlsReceiver]:
    """A receiver with a certificate for `localhost`, which the sender trusts."""
    certificate = write_certificate(tmp_path, "localhost")
    monkeypatch.setattr(wire, "trusted", lambda: ssl.create_default_context(cafile=certificate))
    made = TlsReceiver(certificate)
    yield made
    made.close()


def test_the_name_is_asked_for_and_verified(project, listen, secure):
    listen(f"https://localhost:{secure.server_port}/hook")
    happen(project, 2)

    assert deliver() == 2

    assert secure.names == ["localhost"]


def test_a_certificate_of_another_name_is_not_accepted(project, listen, secure):
    listen(f"https://127.0.0.1:{secure.server_port}/hook")
    happen(project)

    assert deliver() == 0

    assert secure.received == []
    assert Delivery.objects.get().last_error.startswith("The certificate was not accepted: ")


def test_a_certificate_that_nobody_vouches_for_is_not_accepted(project, listen, secure, monkeypatch):
    monkeypatch.setattr(wire, "trusted", ssl.create_default_context)
    listen(f"https://localhost:{secure.server_port}/hook")
    happen(project)

    assert deliver() == 0

    assert secure.received == []
    assert "self-signed certificate" in Delivery.objects.get().last_error
