"""Third parties that people may sign in with: SOCIAL_PROVIDERS of the environment, as django-allauth's settings."""

from __future__ import annotations

import json
import re
from importlib.util import find_spec
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured

PACKAGE = "allauth.socialaccount.providers"
GENERIC = "openid_connect"
# What lies beside the providers: their common parts, and OpenID 1, which has tables of its own.
NOT_PROVIDERS = {"base", "oauth", "oauth2", "openid", "dummy"}
NAME = re.compile(r"^[a-z0-9][a-z0-9_-]{0,40}$")
# The name under which a provider that can be elsewhere than at its usual place looks for its server.
SERVER_SETTING = {GENERIC: "server_url", "gitlab": "gitlab_url"}
KEYS = {"provider", "id", "name", "client_id", "secret", "server_url", "scope", "trust_email"}
NEEDED = {"provider", "client_id", "secret"}
LOOPBACK = {"127.0.0.1", "::1", "localhost"}


class SocialSettings(NamedTuple):
    """`apps` go to INSTALLED_APPS, `providers` are SOCIALACCOUNT_PROVIDERS."""

    apps: list[str]
    providers: dict[str, Any]


def social_settings(text: str) -> SocialSettings:
    """Read a JSON list of `{"provider", "client_id", "secret", …}`; empty text is none. Raises `ImproperlyConfigured`, which names the entry.

    OpenID Connect is always installed and answers 404 as long as no entry names it.
    """
    providers: dict[str, Any] = {}
    for number, entry in enumerate(entries_of(text), start=1):
        try:
            name = checked_provider(entry)
            app = allauth_app(entry)
        except ValueError as error:
            raise ImproperlyConfigured(f"SOCIAL_PROVIDERS, entry {number}: {error}") from error
        settings = providers.setdefault(name, {"APPS": [], "OAUTH_PKCE_ENABLED": True})
        taken = {other["provider_id"] for other in settings["APPS"]}
        if app["provider_id"] in taken or (taken and name != GENERIC):
            raise ImproperlyConfigured(f"SOCIAL_PROVIDERS, entry {number}: '{app['provider_id'] or name}' is there twice.")
        settings["APPS"].append(app)
    return SocialSettings([f"{PACKAGE}.{name}" for name in sorted({GENERIC, *providers})], providers)


def entries_of(text: str) -> list[Any]:
    """Return the list. Raises `ImproperlyConfigured` for anything else."""
    if not text.strip():
        return []
    try:
        found = json.loads(text)
    except ValueError as error:
        raise ImproperlyConfigured(f"SOCIAL_PROVIDERS is not JSON: {error}") from error
    if not isinstance(found, list) or not all(isinstance(entry, dict) for entry in found):
        raise ImproperlyConfigured('SOCIAL_PROVIDERS is a JSON list of objects: [{"provider": "github", "client_id": "…", "secret": "…"}]')
    return found


def checked_provider(entry: dict[str, Any]) -> str:
    """Return the name of an entry's provider. Raises `ValueError` for one that is incomplete, unknown or not safe."""
    if missing := sorted(key for key in NEEDED if not entry.get(key)):
        raise ValueError(f"{', '.join(missing)} is missing.")
    if unknown := sorted(set(entry) - KEYS):
        raise ValueError(f"{', '.join(unknown)} is not known; known are {', '.join(sorted(KEYS))}.")
    name = str(entry["provider"])
    if not NAME.match(name) or name in NOT_PROVIDERS or find_spec(f"{PACKAGE}.{name}") is None:
        raise ValueError(f"the provider '{name}' is not known.")
    if name == GENERIC and not (NAME.match(str(entry.get("id", ""))) and entry.get("server_url") and entry.get("name")):
        raise ValueError("openid_connect needs 'id' (a-z, 0-9, '-'), 'name' (what people read) and 'server_url'.")
    if server := entry.get("server_url"):
        check_server(name, str(server))
    return name


def check_server(provider: str, url: str) -> None:
    """Refuse an address without TLS: what comes from there says who signs in."""
    parts = urlsplit(url)
    if provider not in SERVER_SETTING:
        raise ValueError(f"'{provider}' has its own server; 'server_url' is for {' and '.join(sorted(SERVER_SETTING))}.")
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in LOOPBACK):
        raise ValueError("'server_url' begins with https://.")


def allauth_app(entry: dict[str, Any]) -> dict[str, Any]:
    """Return an entry as allauth's `APPS` has it. `trust_email`: an address that this provider has verified opens the account it belongs to."""
    settings: dict[str, Any] = {"email_authentication": entry.get("trust_email") is True}
    if server := entry.get("server_url"):
        settings[SERVER_SETTING[str(entry["provider"])]] = str(server).rstrip("/")
    if scope := entry.get("scope"):
        settings["scope"] = [str(word) for word in scope]
    return {
        "provider_id": str(entry.get("id", "")),
        "name": str(entry.get("name", "")),
        "client_id": str(entry["client_id"]),
        "secret": str(entry["secret"]),
        "settings": settings,
    }
