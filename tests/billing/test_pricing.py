"""Prices are whole numbers, and costs are exact."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.pricing import Price, Unit, cost_of_instance, cost_of_run, price_of_rate


@pytest.mark.parametrize(
    ("rate", "unit", "micro"), [("0.829", Unit.MILLISECOND, 829), ("0.00477", Unit.SECOND, 4770), ("0.0636", Unit.SECOND, 63600)]
)
def test_a_published_rate_becomes_a_whole_number_of_micro_credits(rate: str, unit: Unit, micro: int) -> None:
    price = price_of_rate(rate, unit)

    assert price == Price(micro, unit)
    assert price.per_second == Decimal(rate)


@pytest.mark.parametrize("rate", ["0.8291", "0", "-1", "much", "NaN", "Infinity"])
def test_a_rate_that_does_not_come_out_whole_is_refused(rate: str) -> None:
    with pytest.raises(ValueError, match=r"whole|positive|number"):
        price_of_rate(rate, Unit.MILLISECOND)


def test_a_serverless_run_costs_its_engine_time() -> None:
    assert cost_of_run(Price(829, Unit.MILLISECOND), duration_ms=16_000) == 13_264_000


def test_a_run_on_an_instance_costs_nothing_of_its_own() -> None:
    assert cost_of_run(Price(4770, Unit.SECOND), duration_ms=16_000) == 0


def test_an_instance_costs_the_seconds_that_it_is_up() -> None:
    assert cost_of_instance(Price(4770, Unit.SECOND), seconds=3600) == 17_172_000
    assert cost_of_instance(Price(829, Unit.MILLISECOND), seconds=3600) == 0


def test_negative_time_is_refused() -> None:
    with pytest.raises(ValueError, match="-1"):
        cost_of_run(Price(829, Unit.MILLISECOND), duration_ms=-1)
    with pytest.raises(ValueError, match="-1"):
        cost_of_instance(Price(829, Unit.MILLISECOND), seconds=-1)


@given(st.integers(1, 10**6), st.integers(0, 10**9), st.integers(0, 10**9))
def test_a_run_in_two_parts_costs_what_it_costs_in_one(micro: int, first: int, second: int) -> None:
    price = Price(micro, Unit.MILLISECOND)

    assert cost_of_run(price, duration_ms=first) + cost_of_run(price, duration_ms=second) == cost_of_run(price, duration_ms=first + second)


@pytest.mark.parametrize(("rate", "hours"), [("0.00477", 116), ("0.00259", 215), ("0.02132", 26), ("0.17426", 3), ("0.06599", 8)])
def test_the_published_hours_of_a_plan_of_2000_credits_come_out(rate: str, hours: int) -> None:
    micro_an_hour = cost_of_instance(price_of_rate(rate, Unit.SECOND), seconds=3600)

    assert (Decimal(2000 * 10**6) / micro_an_hour).quantize(Decimal(1), ROUND_HALF_UP) == hours


@pytest.mark.parametrize(("rate", "milliseconds", "images"), [("0.829", 16_000, 151), ("0.836", 12_000, 199), ("0.849", 8_000, 294)])
def test_the_published_number_of_images_of_a_plan_comes_out(rate: str, milliseconds: int, images: int) -> None:
    cost = cost_of_run(price_of_rate(rate, Unit.MILLISECOND), duration_ms=milliseconds)

    assert (Decimal(2000 * 10**6) / cost).quantize(Decimal(1), ROUND_HALF_UP) == images
