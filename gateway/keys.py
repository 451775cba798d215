"""The public keys that tokens are checked with: from the database, or from a JWKS address or file."""

from __future__ import annotations

import asyncio
import json
import logging
import time
import urllib.request
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from jwt.algorithms import ECAlgorithm

from gateway.database import Database

logger = logging.getLogger("gateway.keys")

RELOAD_AT_MOST_EVERY = 1.0
RELOAD_AT_LEAST_EVERY = 60.0


class Keys:
    """Public keys by key id. An unknown id reloads them (at most once a second), and so does a minute without reloading."""

    def __init__(self, database: Database, jwks_url: str) -> None:
        self._database = database
        self._jwks_url = jwks_url
        self._keys: dict[str, EllipticCurvePublicKey] = {}
        self._loaded_at = float("-inf")
        self._lock = asyncio.Lock()
        self.generation = 0

    async def get(self, kid: str) -> EllipticCurvePublicKey | None:
        """Return the key, or None. When the source does not answer, the keys known so far stay valid."""
        if kid not in self._keys:
            await self._reload(RELOAD_AT_MOST_EVERY)
        return self._keys.get(kid)

    async def refresh(self) -> None:
        """Reload the keys when that was last done a minute ago, so that withdrawn ones end."""
        await self._reload(RELOAD_AT_LEAST_EVERY)

    async def _reload(self, unless_younger_than: float) -> None:
        async with self._lock:
            if time.monotonic() - self._loaded_at < unless_younger_than:
                return
            self._loaded_at = time.monotonic()
            try:
                keys = await self._fetch()
            except Exception:
                logger.exception("Cannot load the keys that tokens are checked with")
                return
            if keys.keys() != self._keys.keys():
                self.generation += 1
            self._keys = keys

    async def _fetch(self) -> dict[str, EllipticCurvePublicKey]:
        if self._jwks_url:
            return await asyncio.to_thread(_read_jwks, self._jwks_url)
        pems = await self._database.verification_keys()
        return {kid: cast("EllipticCurvePublicKey", load_pem_public_key(pem.encode())) for kid, pem in pems.items()}


def _read_jwks(address: str) -> dict[str, EllipticCurvePublicKey]:
    parts = urlsplit(address)
    if parts.scheme in {"http", "https"}:
        with urllib.request.urlopen(address, timeout=5) as answer:  # noqa: S310 - an operator's setting, http or https
            document = json.load(answer)
    else:
        document = json.loads(Path(parts.path).read_text())
    keys = [entry for entry in document["keys"] if entry.get("kty") == "EC" and entry.get("crv") == "P-256"]
    return {entry["kid"]: cast("EllipticCurvePublicKey", ECAlgorithm(ECAlgorithm.SHA256).from_jwk(entry)) for entry in keys}
