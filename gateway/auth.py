"""Who calls: ES256 tokens of the control plane. Checking a signature takes 70 microseconds, so checked tokens are kept."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jwt

from gateway.errors import NotAuthenticated, PermissionDenied
from gateway.keys import Keys

CACHED = 20_000
LONGEST_TOKEN = 8192
CLAIMS = ["exp", "iat", "iss", "sub", "project", "scope"]
HOW = "Ask GET /v1/projects/jwt/?endpoint=<this address> for a token and send it as `Authorization: Bearer <id_token>`."


@dataclass(frozen=True, slots=True)
class Caller:
    """What a valid token says. `expires` is in seconds since 1970, `issued_ms` in milliseconds.

    `subjects`: under which names the token can be taken back (`revocations`): its user, its user in its project, the API token that got it.
    """

    subject: str
    project: str
    scopes: frozenset[str]
    expires: float
    issued_ms: int
    subjects: tuple[str, ...]

    def check_may_run(self, project: str) -> None:
        """Raise `PermissionDenied` unless the token is for running deployments of this project."""
        if self.project != project:
            raise PermissionDenied("wrong_project", f"This token is for another project. {HOW}")
        if "consume" not in self.scopes:
            raise PermissionDenied("wrong_scope", f"This token lacks the scope `consume`. {HOW}")


class Tokens:
    """Checks tokens and remembers the good ones until they expire or the keys change."""

    def __init__(self, keys: Keys, issuer: str, *, clock: Callable[[], float] = time.time) -> None:
        self._keys = keys
        self._issuer = issuer
        self._clock = clock
        self._checked: OrderedDict[bytes, Caller] = OrderedDict()
        self._generation = keys.generation

    async def check(self, authorization: bytes | None) -> tuple[Caller, str]:
        """Return who an Authorization header belongs to, and the token. Raises `NotAuthenticated`."""
        if authorization is None:
            raise NotAuthenticated("token_missing", f"There is no token in this request. {HOW}")
        kind, _, token = authorization.partition(b" ")
        token = token.strip()
        if kind.lower() != b"bearer" or not token:
            raise NotAuthenticated("token_missing", f"The Authorization header holds no bearer token. {HOW}")
        if self._generation != self._keys.generation:
            self._generation = self._keys.generation
            self._checked.clear()
        caller = self._checked.get(token)
        if caller is None:
            caller = await self._verify(token)
            self._checked[token] = caller
            if len(self._checked) > CACHED:
                self._checked.popitem(last=False)
        if caller.expires <= self._clock():
            self._checked.pop(token, None)
            raise NotAuthenticated("token_expired", f"This token has expired. {HOW}")
        return caller, token.decode("ascii")

    async def _verify(self, token: bytes) -> Caller:
        invalid = NotAuthenticated("token_invalid", f"This token is not valid here. {HOW}")
        if len(token) > LONGEST_TOKEN or not token.isascii():
            raise invalid
        try:
            kid = jwt.get_unverified_header(token).get("kid", "")
            key = await self._keys.get(kid) if isinstance(kid, str) else None
            if key is None:
                raise invalid
            claims = jwt.decode(
                token, key, algorithms=["ES256"], issuer=self._issuer, options={"require": CLAIMS, "verify_aud": False, "verify_exp": False}
            )
            return read_claims(claims)
        except (jwt.PyJWTError, ValueError, TypeError) as error:
            raise invalid from error


def read_claims(claims: dict[str, Any]) -> Caller:
    """Return what the claims of a verified token say. Raises `ValueError` or `TypeError` for numbers that are none."""
    user, project = str(claims["sub"]), str(claims["project"])
    subjects = (f"u/{user}/p/{project}", f"u/{user}", *([f"t/{claims['tok']}"] if "tok" in claims else []))
    scopes = frozenset(str(claims["scope"]).split())
    return Caller(user, project, scopes, float(claims["exp"]), round(float(claims["iat"]) * 1000), subjects)
