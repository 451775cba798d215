"""The published tables of plans and consumption come out of the data: plans.toml and the catalogue of offers.

Figures are rounded half up from the exact cost: hours to whole ones, days to a tenth, images to whole ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from typing import Any

import pytest

from billing.models import Plan
from billing.plans import plan_by_code
from billing.pricing import MICRO_PER_CREDIT, Unit, cost_of_instance, cost_of_run
from billing.subscriptions import begin_subscription, renew_due
from billing.wallets import open_wallet
from controlplane.common.ids import uuid7
from deployments.offers import find_product, offers
from tests.deployments.conftest import Clock

pytestmark = pytest.mark.django_db
MONTHLY = ("starter-monthly", "basic-monthly", "pro-monthly")

# provider, flavour, size, credits a second, then hours and days of one deployment under Starter, Basic and Pro by the month
LIFETIMES = """
    AWS       CLUSTER  XS  0.00477    116    4.9    582   24.3   4659  194.1
    GCP       CLUSTER  XS  0.00497    112    4.7    559   23.3   4471  186.3
    SCALEWAY  CLUSTER  XS  0.00259    215    8.9   1073   44.7   8580  357.5
    AWS       CLUSTER  S   0.00802     69    2.9    346   14.4   2771  115.5
    GCP       CLUSTER  S   0.00904     61    2.6    307   12.8   2458  102.4
    SCALEWAY  CLUSTER  S   0.00489    114    4.7    568   23.7   4544  189.4
    AWS       CLUSTER  M   0.01532     36    1.5    181    7.6   1451   60.4
    GCP       CLUSTER  M   0.01718     32    1.3    162    6.7   1293   53.9
    SCALEWAY  CLUSTER  M   0.00943     59    2.5    295   12.3   2357   98.2
    AWS       CLUSTER  L   0.02991     19    0.8     93    3.9    743     31
    GCP       CLUSTER  L   0.03345     17    0.7     83    3.5    664   27.7
    SCALEWAY  CLUSTER  L   0.01855     30    1.2    150    6.2   1198   49.9
    AWS       CLUSTER  XL  0.05908      9    0.4     47      2    376   15.7
    GCP       CLUSTER  XL  0.06599      8    0.4     42    1.8    337     14
    SCALEWAY  CLUSTER  XL  0.03684     15    0.6     75    3.1    603   25.1
    AWS       GPU      XS  0.02132     26    1.1    130    5.4   1042   43.4
    GCP       GPU      XS  0.02687     21    0.9    103    4.3    827   34.5
    SCALEWAY  GPU      XS  0.03634     15    0.6     76    3.2    612   25.5
    AWS       GPU      S   0.03263     17    0.7     85    3.5    681   28.4
    GCP       GPU      S   0.03495     16    0.7     79    3.3    636   26.5
    SCALEWAY  GPU      S   0.03235     17    0.7     86    3.6    687   28.6
    AWS       GPU      M   0.03826     15    0.6     73      3    581   24.2
    GCP       GPU      M   0.04662     12    0.5     60    2.5    477   19.9
    SCALEWAY  GPU      M   0.0636       9    0.4     44    1.8    349   14.6
    AWS       GPU      L   0.04975     11    0.5     56    2.3    447   18.6
    GCP       GPU      L   0.12586      4    0.2     22    0.9    177    7.4
    SCALEWAY  GPU      L   0.05151     11    0.4     54    2.2    431     18
    AWS       GPU      XL  0.06636      8    0.3     42    1.7    335     14
    GCP       GPU      XL  0.17426      3    0.1     16    0.7    128    5.3
    SCALEWAY  GPU      XL  0.11485      5    0.2     24      1    193    8.1
"""

# size, seconds of one image, credits of one image, then images under Starter, Basic and Pro by the month
IMAGES = """
    S    16   13.26   151   754   6031
    M    12   10.03   199   997   7974
    L   9.6    8.08   247  1237   9897
    XL    8    6.79   294  1472  11779
"""

# code, price, credits, months that they are valid
PRICES = """
    starter-monthly    19.9    2000   6
    starter-yearly    199.9   24000  24
    basic-monthly      99.9   10000   6
    basic-yearly      999.9  120000  24
    pro-monthly       799.9   80000   6
    pro-yearly       7999.9  960000  24
"""


def table(text: str) -> list[list[str]]:
    """Return the words of each line."""
    return [line.split() for line in text.split("\n") if line.strip()]


def half_up(exact: Fraction, places: int = 0) -> Decimal:
    """Round as the tables do."""
    number = Decimal(exact.numerator * 10**places) / Decimal(exact.denominator)
    return number.quantize(Decimal(1), ROUND_HALF_UP).scaleb(-places)


@dataclass(frozen=True)
class Lifetime:
    """How long one deployment lasts on the credits of a plan, exactly."""

    seconds: Fraction

    @property
    def hours(self) -> Decimal:
        return half_up(self.seconds / 3600)

    @property
    def days(self) -> Decimal:
        return half_up(self.seconds / 86_400, 1)


def lifetime(plan: Plan, product: str) -> Lifetime:
    """Return how long an instance of a product lasts."""
    offer = find_product(product)
    assert offer is not None
    return Lifetime(Fraction(plan.credits, cost_of_instance(offer.price, seconds=1)))


@pytest.mark.parametrize("row", table(LIFETIMES), ids=lambda row: " ".join(row[:3]))
def test_each_instance_lasts_as_long_as_published_under_each_plan(row: list[str]) -> None:
    product, rate, cells = " ".join(row[:3]), row[3], row[4:]
    offer = find_product(product)
    assert offer is not None
    assert (offer.price.unit, offer.price.per_second) == (Unit.SECOND, Decimal(rate))

    for code, hours, days in zip(MONTHLY, cells[::2], cells[1::2], strict=True):
        lasts = lifetime(plan_by_code(code), product)
        assert (lasts.hours, lasts.days) == (Decimal(hours), Decimal(days)), code


def test_the_tables_have_every_instance_of_the_catalogue() -> None:
    told = {" ".join(row[:3]) for row in table(LIFETIMES)}

    assert told == {offer.product for offer in offers() if offer.flavour != "SERVERLESS"}
    assert len(told) == 30


@pytest.mark.parametrize("row", table(IMAGES), ids=lambda row: row[0])
def test_the_text_recognition_example_reads_as_many_images_as_published(row: list[str]) -> None:
    size, seconds, credits_an_image, *images = row
    offer = find_product(f"AWS SERVERLESS {size}")
    assert offer is not None
    cost = cost_of_run(offer.price, duration_ms=int(Decimal(seconds) * 1000))

    assert half_up(Fraction(cost, MICRO_PER_CREDIT), 2) == Decimal(credits_an_image)
    for code, count in zip(MONTHLY, images, strict=True):
        assert half_up(Fraction(plan_by_code(code).credits, cost)) == Decimal(count), code


@pytest.mark.parametrize(("size", "rate"), [("S", "0.829"), ("M", "0.836"), ("L", "0.842"), ("XL", "0.849")])
def test_serverless_rates_are_as_published(size: str, rate: str) -> None:
    offer = find_product(f"AWS SERVERLESS {size}")

    assert offer is not None
    assert (offer.price.unit, offer.price.per_second) == (Unit.MILLISECOND, Decimal(rate))


@pytest.mark.parametrize("row", table(PRICES), ids=lambda row: row[0])
def test_prices_credits_and_validity_are_as_published(row: list[str]) -> None:
    code, price, credits_of_period, months = row
    plan = plan_by_code(code)

    assert (plan.price_cents, plan.currency) == (int(Decimal(price) * 100), "EUR")
    assert (plan.credits, plan.validity_months) == (int(credits_of_period) * MICRO_PER_CREDIT, int(months))
    assert plan.interval == ("MONTH" if code.endswith("monthly") else "YEAR")
    assert (plan.personal, plan.organizations, plan.offered, plan.infrastructures) == (True, True, True, ["*"])


@pytest.mark.parametrize(("name", "percent"), [("starter", 16), ("basic", 17), ("pro", 17)])
def test_a_year_saves_what_is_published(name: str, percent: int) -> None:
    month, year = plan_by_code(f"{name}-monthly"), plan_by_code(f"{name}-yearly")

    assert half_up(100 - Fraction(100 * year.price_cents, 12 * month.price_cents)) == percent
    assert year.credits == 12 * month.credits


def test_what_is_free_is_as_published() -> None:
    free, legacy = plan_by_code("free"), plan_by_code("legacy-free")

    assert (free.credits, free.interval, free.validity_months, free.price_cents) == (500 * MICRO_PER_CREDIT, "MONTH", 1, 0)
    assert (legacy.hits, legacy.credits, legacy.interval, legacy.validity_months) == (2000, 0, "ONCE", 0)
    assert [(plan.personal, plan.organizations, plan.offered) for plan in (free, legacy)] == [(True, False, False)] * 2
    assert legacy.infrastructures == ["AWS SERVERLESS"]


def test_credits_of_january_last_until_july_and_those_of_february_until_august(moving_clock: Clock, settings: Any) -> None:
    settings.PERSONAL_PLAN = ""
    moving_clock.now = datetime(2026, 1, 1, tzinfo=UTC)
    wallet = open_wallet(uuid7(), is_personal=True)
    begin_subscription(wallet=wallet, plan=plan_by_code("starter-monthly"))

    moving_clock.now = datetime(2026, 2, 1, tzinfo=UTC)
    renew_due()

    grants = wallet.grants.order_by("starts_at").values_list("amount", "starts_at", "expires_at")
    months = [
        (datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 7, 1, tzinfo=UTC)),
        (datetime(2026, 2, 1, tzinfo=UTC), datetime(2026, 8, 1, tzinfo=UTC)),
    ]
    assert [tuple(grant) for grant in grants] == [(2000 * MICRO_PER_CREDIT, *month) for month in months]
