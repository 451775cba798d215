"""What things cost, in whole micro-credits (1 credit = 1,000,000). Pure: no database, no clock, no rounding."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from enum import StrEnum

MICRO_PER_CREDIT = 1_000_000
MILLISECONDS_PER_SECOND = 1000


class Unit(StrEnum):
    """What a price counts: execution time by the millisecond, instance time by the second."""

    MILLISECOND = "ms"
    SECOND = "s"


@dataclass(frozen=True, slots=True)
class Price:
    """`micro_credits` for each `unit`; always a positive whole number, so that split runs cost what one run costs."""

    micro_credits: int
    unit: Unit

    def __post_init__(self) -> None:
        if self.micro_credits <= 0:
            raise ValueError(f"A price is a positive number of micro-credits, not {self.micro_credits}.")

    @property
    def per_second(self) -> Decimal:
        """Return credits a second, as the published tables show it."""
        factor = MILLISECONDS_PER_SECOND if self.unit is Unit.MILLISECOND else 1
        return (Decimal(self.micro_credits * factor) / MICRO_PER_CREDIT).normalize()


def price_of_rate(credits_per_second: str, unit: Unit) -> Price:
    """Return the price of a published rate such as "0.829"; ValueError if it is no whole number of micro-credits a unit."""
    try:
        rate = Decimal(credits_per_second)
    except InvalidOperation as error:
        raise ValueError(f"'{credits_per_second}' is no number.") from error
    micro = rate * MICRO_PER_CREDIT
    if unit is Unit.MILLISECOND:
        micro /= MILLISECONDS_PER_SECOND
    if not micro.is_finite() or micro != int(micro):
        raise ValueError(f"{credits_per_second} credits a second is {micro} micro-credits a {unit}: give a rate that comes out whole.")
    return Price(int(micro), unit)


def cost_of_run(price: Price, *, duration_ms: int) -> int:
    """Return the micro-credits of one run: its engine time where execution is paid, 0 where the instance's time is."""
    if duration_ms < 0:
        raise ValueError(f"A run cannot last {duration_ms} ms.")
    return price.micro_credits * duration_ms if price.unit is Unit.MILLISECOND else 0


def cost_of_instance(price: Price, *, seconds: int) -> int:
    """Return the micro-credits of an instance that was up for whole `seconds`, 0 where only execution is paid."""
    if seconds < 0:
        raise ValueError(f"An instance cannot be up for {seconds} s.")
    return price.micro_credits * seconds if price.unit is Unit.SECOND else 0


def credits_text(micro_credits: int) -> str:
    """Return micro-credits as people read credits: exact, without zeros that say nothing ("1,234.5", "0.00477")."""
    sign = "-" if micro_credits < 0 else ""
    whole, rest = divmod(abs(micro_credits), MICRO_PER_CREDIT)
    return f"{sign}{whole:,}" + (f".{rest:06d}".rstrip("0") if rest else "")
