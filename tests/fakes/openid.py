"""An OpenID Connect server on loopback: it knows one person and one client, and notes what it is asked."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

CLIENT, SECRET = "slipway", "between us"


@dataclass
class OpenIdServer:
    """`person` are the claims it answers with. `broken` names paths that fail."""

    person: dict[str, Any] = field(default_factory=lambda: {"sub": "77", "email": "mei@example.com", "email_verified": True})
    broken: set[str] = field(default_factory=set)
    url: str = ""
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    tokens: set[str] = field(default_factory=set)
    refused: list[str] = field(default_factory=list)
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    def entry(self, **more: Any) -> dict[str, Any]:
        """The entry of SOCIAL_PROVIDERS for it."""
        return {
            "provider": "openid_connect",
            "id": "company",
            "name": "Company",
            "server_url": self.url,
            "client_id": CLIENT,
            "secret": SECRET,
            **more,
        }

    def agree(self, asked: str) -> str:
        """Let the person agree to what a browser was sent here with; returns the path and query that it is sent back to."""
        words = {name: values[0] for name, values in parse_qs(urlsplit(asked).query).items()}
        assert asked.startswith(f"{self.url}/authorize?")
        assert words["client_id"] == CLIENT
        assert words["code_challenge_method"] == "S256"
        code = secrets.token_urlsafe(8)
        self.codes[code] = words
        return urlsplit(words["redirect_uri"]).path + "?" + urlencode({"code": code, "state": words["state"]})

    def answer(self, path: str, form: dict[str, str], authorization: str) -> tuple[int, dict[str, Any]]:
        """What the server says."""
        if path in self.broken:
            return 500, {"error": "server_error"}
        if path == "/.well-known/openid-configuration":
            return 200, self.configuration()
        if path == "/token":
            return self.exchange(form)
        if path == "/userinfo" and authorization.removeprefix("Bearer ") in self.tokens:
            return 200, self.person
        if path == "/jwks":
            return 200, {"keys": [{**json.loads(ECAlgorithm.to_jwk(self.key.public_key())), "kid": "1", "alg": "ES256"}]}
        return 401, {"error": "invalid_token"}

    def configuration(self) -> dict[str, Any]:
        """Its discovery document."""
        paths = {"authorization_endpoint": "authorize", "token_endpoint": "token", "userinfo_endpoint": "userinfo", "jwks_uri": "jwks"}
        return {
            "issuer": self.url,
            "token_endpoint_auth_methods_supported": ["client_secret_post"],
            **{name: f"{self.url}/{path}" for name, path in paths.items()},
        }

    def exchange(self, form: dict[str, str]) -> tuple[int, dict[str, Any]]:
        """A code for tokens: once, for its client, and for whoever knows the verifier (RFC 7636)."""
        asked = self.codes.pop(form.get("code", ""), None)
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if asked is None or form.get("client_secret") != SECRET or asked["code_challenge"] != challenge:
            self.refused.append(form.get("code", ""))
            return 400, {"error": "invalid_grant"}
        token = secrets.token_urlsafe(8)
        self.tokens.add(token)
        claims = {**self.person, "iss": self.url, "aud": CLIENT, "iat": int(time.time()), "exp": int(time.time()) + 60}
        signed = jwt.encode(claims, self.key, algorithm="ES256", headers={"kid": "1"})
        return 200, {"access_token": token, "token_type": "Bearer", "expires_in": 60, "id_token": signed}


def handler_of(server: OpenIdServer) -> type[BaseHTTPRequestHandler]:
    """The HTTP side of a server."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.reply({})

        def do_POST(self) -> None:
            text = self.rfile.read(int(self.headers["Content-Length"])).decode()
            self.reply({name: values[0] for name, values in parse_qs(text).items()})

        def reply(self, form: dict[str, str]) -> None:
            status, content = server.answer(urlsplit(self.path).path, form, self.headers.get("Authorization", ""))
            body = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    return Handler


@contextmanager
def running_openid_server() -> Generator[OpenIdServer]:
    """A server that answers until the end of the block."""
    server = OpenIdServer()
    with ThreadingHTTPServer(("127.0.0.1", 0), handler_of(server)) as listener:
        server.url = f"http://127.0.0.1:{listener.server_address[1]}"
        thread = threading.Thread(target=listener.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            listener.shutdown()
            thread.join()
