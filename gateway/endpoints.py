"""Endpoint addresses: which deployment a request is for, by its path or by its host name."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

SLUG = r"(?P<slug>[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)"


class Endpoints:
    """Reads the slug out of a request, after a template such as `https://{slug}.endpoints.example.com` or `http://host:8100/{slug}`."""

    def __init__(self, template: str) -> None:
        parts = urlsplit(template.replace("{slug}", "--slug--"))
        self.template = template
        self._host: re.Pattern[str] | None = None
        self._prefix = "/"
        if "--slug--" in parts.netloc:
            host = re.escape(parts.hostname or "").replace(re.escape("--slug--"), SLUG)
            self._host = re.compile(host)
        elif "--slug--" in parts.path:
            self._prefix = parts.path.partition("--slug--")[0]
        else:
            raise ValueError(f"ENDPOINT_URL_TEMPLATE needs {{slug}} in it: {template!r}")

    def url(self, slug: str) -> str:
        """Return the address of an endpoint."""
        return self.template.replace("{slug}", slug)

    def split(self, host: bytes, path: str) -> tuple[str, str] | None:
        """Return the slug and the path behind the endpoint's address, or None when the request is for no endpoint.

        Path addresses work in every installation, so that a proxy or a test can reach an endpoint without a name.
        """
        if self._host is not None:
            name = host.decode("latin-1").lower()
            name = name.rsplit(":", 1)[0] if not name.endswith("]") else name
            if found := self._host.fullmatch(name):
                return found["slug"], path
        prefix = self._prefix
        if not path.startswith(prefix):
            return None
        slug, _, rest = path[len(prefix) :].partition("/")
        return (slug, "/" + rest) if slug else None
