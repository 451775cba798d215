"""Where an act comes from: kept for the time of a request, so that services need not hand it on."""

from __future__ import annotations

import ipaddress
from contextvars import ContextVar
from dataclasses import dataclass, replace

from django.conf import settings
from django.http import HttpRequest


@dataclass(frozen=True, slots=True)
class Origin:
    """`address`: the client's IP address; `credential`: what it identified itself with, such as a token's name and prefix, never a secret."""

    address: str
    request_id: str
    credential: str


SYSTEM = Origin(address="", request_id="", credential="system")

# None outside of requests: commands, workers, beat.
origin: ContextVar[Origin | None] = ContextVar("controlplane.audit.origin", default=None)


def current_origin() -> Origin:
    """Return the origin of the present request, or `SYSTEM` outside of requests."""
    return origin.get() or SYSTEM


def set_credential(text: str) -> None:
    """Note what the present request identified itself with; outside of requests this does nothing."""
    if (present := origin.get()) is not None:
        origin.set(replace(present, credential=text))


def client_address(request: HttpRequest) -> str:
    """Return the client's IP address, empty when the server does not know it (a unix socket).

    Behind our own proxy (`BEHIND_TLS_PROXY`) it is the last entry of X-Forwarded-For: that one the proxy wrote, those before it anyone could.
    """
    remote = str(request.META.get("REMOTE_ADDR") or "")
    if settings.BEHIND_TLS_PROXY:
        forwarded = request.META.get("HTTP_X_FORWARDED_FOR", "").rpartition(",")[2]
        return plain_address(forwarded) or plain_address(remote)
    return plain_address(remote)


def plain_address(text: str) -> str:
    """Return an IP address in its usual form, empty for anything else."""
    try:
        address = ipaddress.ip_address(text.strip())
    except ValueError:
        return ""
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address)
