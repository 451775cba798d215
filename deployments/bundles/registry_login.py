"""Logging in at a registry: it says in its 401 how it wants that, Basic or with a token of another service."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Generator
from urllib.parse import urlsplit

import httpx

PARAMETER = re.compile(r'(\w+)="([^"]*)"')
LOOPBACK = {"127.0.0.1", "localhost", "::1"}


class Login(httpx.Auth):
    """Answers the registry's challenges, and no others: where an upload or download leads to another host, nothing is sent along.

    Tokens are kept for each scope and asked for again when the registry does not take them any more.
    """

    def __init__(self, origin: str, username: str, password: str) -> None:
        self.origin = httpx.URL(origin)
        pair = base64.b64encode(f"{username}:{password}".encode()).decode()
        self.basic = f"Basic {pair}" if username or password else ""
        self.known: dict[str, str] = {}

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Send it as before, then with what the registry asks for."""
        if not self.is_ours(request.url):
            yield request
            return
        key = repository_of(request.url.path)
        if key in self.known:
            request.headers["Authorization"] = self.known[key]
        answer = yield request
        if answer.status_code != 401:
            return
        header = yield from self.header_for(answer.headers.get("WWW-Authenticate", ""))
        if not header or not rewound(request):
            return
        self.known[key] = request.headers["Authorization"] = header
        yield request

    def is_ours(self, url: httpx.URL) -> bool:
        """Tell whether an address is the registry's own."""
        return (url.scheme, url.host, url.port) == (self.origin.scheme, self.origin.host, self.origin.port)

    def header_for(self, challenge: str) -> Generator[httpx.Request, httpx.Response, str]:
        """Return the header that a challenge asks for, "" if there is none that we can or may give."""
        kind, _, rest = challenge.partition(" ")
        if kind.lower() == "basic":
            return self.basic
        found = dict(PARAMETER.findall(rest))
        realm = found.get("realm", "")
        if kind.lower() != "bearer" or not self.is_safe(realm):
            return ""
        wanted = {name: found[name] for name in ("service", "scope") if name in found}
        headers = {"Authorization": self.basic} if self.basic else {}
        answer = yield httpx.Request("GET", httpx.URL(realm).copy_merge_params(wanted), headers=headers)
        answer.read()
        token = token_in(answer) if answer.status_code == 200 else ""
        return f"Bearer {token}" if token else ""

    def is_safe(self, realm: str) -> bool:
        """Tell whether credentials may go to a token service: over TLS, or on this machine for a registry on this machine."""
        parts = urlsplit(realm)
        return parts.scheme == "https" or (parts.scheme == "http" and {parts.hostname, self.origin.host} <= LOOPBACK)


def repository_of(path: str) -> str:
    """Return the part of a path that tokens are for."""
    return re.split(r"/(?:blobs|manifests)/", path, maxsplit=1)[0]


def rewound(request: httpx.Request) -> bool:
    """Tell whether a request can be sent again: its body must be in memory."""
    try:
        request.read()
    except (httpx.StreamError, RuntimeError):
        return False
    return True


def token_in(answer: httpx.Response) -> str:
    """Return the token of a token service's answer."""
    try:
        found = json.loads(answer.content)
        return str(found.get("token") or found.get("access_token") or "")
    except (ValueError, AttributeError):
        return ""
