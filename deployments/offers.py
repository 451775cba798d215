"""The offers: what a deployment can be placed on, read once from catalogue.toml."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from billing.pricing import Price, Unit
from controlplane.common.errors import InvalidInput

CATALOGUE = Path(__file__).with_name("catalogue.toml")
PROVIDERS = ("AWS", "GCP", "SCALEWAY")
REGIONS = ("FRANCE", "GERMANY", "IRELAND", "NETHERLANDS", "US_CENTRAL", "US_EAST")
FLAVOURS = ("SERVERLESS", "CLUSTER", "GPU")
SIZES = ("XS", "S", "M", "L", "XL")
# The command line client knows Scaleway by the name of a former partner; answers always say SCALEWAY (it prints what it is given).
PROVIDER_ALIASES = {"SCALEWAY_VIA_SCALEDYNAMICS": "SCALEWAY"}
LOCAL = "local"


@dataclass(frozen=True, slots=True)
class Offer:
    """One row of the catalogue: the same machine and price in each of its regions. `unavailable` is "" or why it cannot be had."""

    provider: str
    flavour: str
    size: str
    vcpu: int
    ram_mb: int
    disk_gb: int
    ephemeral_mb: int
    gpu: str
    regions: tuple[str, ...]
    price: Price
    unavailable: str

    @property
    def product(self) -> str:
        """Return the name that usage is counted under, such as "AWS SERVERLESS S"."""
        return f"{self.provider} {self.flavour} {self.size}"

    @property
    def available(self) -> bool:
        """Tell whether new deployments may use it."""
        return not self.unavailable

    @property
    def backend(self) -> str:
        """Return who serves it: "local" as long as the provider has no credentials configured (no cloud driver is installed yet)."""
        return LOCAL


@cache
def offers() -> tuple[Offer, ...]:
    """Return every offer in the catalogue's order; a rate that is no whole number or a duplicate row is a ValueError at start."""
    rows = tuple(parse_offer(row) for row in tomllib.loads(CATALOGUE.read_text())["offer"])
    if len({offer.product for offer in rows}) != len(rows):
        raise ValueError("catalogue.toml names a provider, flavour and size twice.")
    return rows


def parse_offer(row: dict[str, Any]) -> Offer:
    """Return the offer of one table of the catalogue."""
    known = row["provider"] in PROVIDERS and row["flavour"] in FLAVOURS and row["size"] in SIZES and set(row["regions"]) <= set(REGIONS)
    if not known or not isinstance(row["price"]["micro_credits"], int):
        raise ValueError(f"catalogue.toml: a row that cannot be: {row}")
    return Offer(
        provider=row["provider"],
        flavour=row["flavour"],
        size=row["size"],
        vcpu=row["vcpu"],
        ram_mb=row["ram_mb"],
        disk_gb=row["disk_gb"],
        ephemeral_mb=row["ephemeral_mb"],
        gpu=row.get("gpu", ""),
        regions=tuple(row["regions"]),
        price=Price(row["price"]["micro_credits"], Unit(row["price"]["unit"])),
        unavailable=row.get("unavailable", ""),
    )


def canonical_provider(name: str) -> str:
    """Return the catalogue's name of a provider, whatever case or alias the caller used."""
    upper = name.upper()
    return PROVIDER_ALIASES.get(upper, upper)


def find_product(product: str) -> Offer | None:
    """Return the offer that usage of this product is priced by."""
    return next((offer for offer in offers() if offer.product == product), None)


def offer_of(*, provider: str, flavour: str, size: str) -> Offer:
    """Return the offer of a stored deployment or replica; it exists because rows are never removed."""
    found = find_product(f"{provider} {flavour} {size}")
    if found is None:
        raise LookupError(f"catalogue.toml lost {provider} {flavour} {size}")
    return found


def find_offer(*, provider: str, region: str, flavour: str, size: str) -> Offer:
    """Return the offer for a request; `InvalidInput` names the wrong field and what exists instead."""
    provider = canonical_provider(provider)
    rows = narrow("provider", provider, offers(), lambda offer: (offer.provider,), "Deployments can be placed on")
    rows = narrow("flavour", flavour.upper(), rows, lambda offer: (offer.flavour,), f"{provider} has")
    rows = narrow("region", region.upper(), rows, lambda offer: offer.regions, f"{provider} {flavour.upper()} is in")
    rows = narrow("size", size.upper(), rows, lambda offer: (offer.size,), f"{provider} {flavour.upper()} in {region.upper()} comes in")
    offer = rows[0]
    if offer.unavailable:
        raise InvalidInput("offer_unavailable", f"{offer.product} cannot be had: {offer.unavailable}", fields={"size": [offer.unavailable]})
    return offer


def narrow(field: str, wanted: str, rows: Iterable[Offer], values: Any, sentence: str) -> list[Offer]:
    """Keep the rows that have `wanted` among their values, or tell which values there are."""
    rows = list(rows)
    kept = [offer for offer in rows if wanted in values(offer)]
    if not kept:
        there = list(dict.fromkeys(value for offer in rows for value in values(offer)))
        detail = f"{sentence} {', '.join(there)}, not '{wanted[:40]}'."
        raise InvalidInput("unknown_offer", detail, fields={field: [detail]})
    return kept
