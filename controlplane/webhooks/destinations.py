"""Where deliveries may go: rules for addresses as people write them, and for IP addresses at the moment of connecting.

A name is looked up for each connection, and the connection goes to an address that passed: what it pointed to when it was written down,
or points to a moment later, makes no difference.
"""

from __future__ import annotations

import ipaddress
from urllib.parse import SplitResult, urlsplit

from django.conf import settings

from controlplane.common.errors import InvalidInput

MOST_CHARACTERS = 2000
LOCAL_NAME = "localhost"
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# Looks public and is not: a cloud's agent for its machines (Azure), addresses for special purposes, and the old relays from IPv6 to IPv4.
NEVER = [ipaddress.ip_network(text) for text in ("168.63.129.16/32", "192.0.0.0/24", "192.88.99.0/24")]
# The last 32 bits of these are an IPv4 address that a gateway of the network connects to.
TRANSLATED = ipaddress.ip_network("64:ff9b::/96")


def checked_url(text: str) -> str:
    """Return an address that deliveries can be sent to, as far as can be told without looking its name up. Raises `InvalidInput`."""
    if len(text) > MOST_CHARACTERS or not text.isascii() or any(ord(character) < 33 or ord(character) == 127 for character in text):
        raise refused(f"Write it in at most {MOST_CHARACTERS} ASCII characters without spaces; other letters as punycode or %-escapes.")
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise refused("It is not a URL: write https://host/path.") from error
    if not host or port == 0 or "\\" in text or "%" in parts.netloc:
        raise refused("It names no host: write https://host/path.")
    if "@" in parts.netloc or parts.fragment:
        raise refused("It must not hold a user name, a password or a fragment: the signature tells who is sending.")
    check_scheme(parts)
    if (address := literal(host)) is not None and not permitted(address, local_only=parts.scheme == "http"):
        raise refused("Its address is not public. An operator can allow networks: WEBHOOK_ALLOWED_NETWORKS.")
    return text


def check_scheme(parts: SplitResult) -> None:
    """Raise `InvalidInput` for anything but https; on a machine of one's own http to this machine will do."""
    if parts.scheme == "https":
        return
    address = literal(parts.hostname or "")
    local = parts.hostname == LOCAL_NAME or (address is not None and address.is_loopback)
    if parts.scheme != "http" or not local or not settings.WEBHOOK_LOOPBACK:
        raise refused("It must begin with https://.")


def literal(host: str) -> Address | None:
    """Return the IP address that a host is written as, None for a name."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def permitted(address: Address, *, local_only: bool = False) -> bool:
    """Tell whether a delivery may connect to this address; `local_only`: it is sent without TLS, which may not leave this machine."""
    address = reached(address)
    if address.is_loopback and settings.WEBHOOK_LOOPBACK:
        return True
    if local_only:
        return False
    if any(address in network for network in settings.WEBHOOK_ALLOWED_NETWORKS):
        return True
    special = address.is_multicast or address.is_reserved or address.is_unspecified or getattr(address, "is_site_local", False)
    return address.is_global and not special and not any(address in network for network in NEVER)


def reached(address: Address) -> Address:
    """Return the IPv4 address that stands inside an IPv6 one, where that is what is reached."""
    if isinstance(address, ipaddress.IPv6Address):
        if address in TRANSLATED:
            return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        return address.ipv4_mapped or address.sixtofour or address
    return address


def refused(why: str) -> InvalidInput:
    """Return the refusal of an address."""
    return InvalidInput("target_url", f"Deliveries cannot be sent to this address. {why}", fields={"target_url": [why]})
