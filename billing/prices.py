"""The rows of prices: one for each product and rate that was ever charged."""

from __future__ import annotations

from collections.abc import Iterable

from billing.models import Price
from billing.pricing import Price as Rate

Product = tuple[str, Rate]


def price_ids(products: Iterable[Product]) -> dict[Product, int]:
    """Return the rows of products ("AWS CLUSTER M") at their rates, and make those that are missing.

    Another rate is another row, so that entries keep what they were charged.
    """
    wanted = set(products)
    found = known(wanted)
    for code, rate in wanted - found.keys():
        made, _ = Price.objects.get_or_create(code=code, unit=rate.unit.value, micro_credits=rate.micro_credits)
        found[code, rate] = made.pk
    return found


def known(wanted: set[Product]) -> dict[Product, int]:
    """Return the rows that are there. Not kept between calls: the transaction that made one may have been undone."""
    rows = Price.objects.filter(code__in={code for code, _ in wanted}).values_list("code", "unit", "micro_credits", "pk")
    by_text = {(code, unit, micro): pk for code, unit, micro, pk in rows}
    keys = {(code, rate): (code, rate.unit.value, rate.micro_credits) for code, rate in wanted}
    return {product: by_text[text] for product, text in keys.items() if text in by_text}
