"""How long credits last: exact, whatever begins and ends on the way."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from billing.forecast import Burn, Pocket, burn_of, lasts_until, pockets_of
from billing.models import Wallet
from billing.models.ledger import FOR_EVER
from tests.billing.spending import CREDIT, make_billed, run_instance, spend
from tests.deployments.conftest import Clock

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
PAST = NOW - timedelta(days=1)
HOUR = timedelta(hours=1)


def at(burn: int, *pockets: Pocket, reserve: int = 0, owed: int = 0) -> datetime | None:
    return lasts_until(pockets, Burn(1, burn, owed), since=NOW, reserve=reserve)


def pocket(left: int, *, begins: timedelta | None = None, ends: timedelta | None = None) -> Pocket:
    return Pocket(left, PAST if begins is None else NOW + begins, FOR_EVER if ends is None else NOW + ends)


def test_nothing_burns_and_nothing_ends() -> None:
    assert at(0, pocket(1)) is None


def test_one_grant_lasts_as_long_as_it_pays() -> None:
    assert at(10, pocket(36_000)) == NOW + HOUR


def test_what_expires_on_the_way_is_lost() -> None:
    assert at(10, pocket(36_000 * 5, ends=HOUR), pocket(36_000)) == NOW + 2 * HOUR


def test_the_first_to_expire_is_spent_first() -> None:
    assert at(10, pocket(36_000, ends=3 * HOUR), pocket(36_000, ends=HOUR)) == NOW + 2 * HOUR


def test_a_grant_that_begins_in_time_counts_and_one_that_begins_too_late_does_not() -> None:
    assert at(10, pocket(36_000), pocket(36_000, begins=HOUR / 2)) == NOW + 2 * HOUR
    assert at(10, pocket(36_000), pocket(36_000, begins=HOUR * 2)) == NOW + HOUR


def test_it_stops_where_only_the_reserve_is_left() -> None:
    assert at(10, pocket(72_000), reserve=36_000) == NOW + HOUR
    assert at(10, pocket(72_000), reserve=72_000) == NOW


def test_what_is_owed_goes_first() -> None:
    assert at(10, pocket(72_000), owed=36_000) == NOW + HOUR
    assert at(10, pocket(72_000), owed=99_000) == NOW


def test_no_credits_last_until_now() -> None:
    assert at(10) == NOW


def test_a_fraction_of_a_second_counts() -> None:
    assert at(3, pocket(1)) == NOW + timedelta(microseconds=333_334)


def test_a_pocket_that_is_empty_just_when_the_next_one_begins_ends_nothing() -> None:
    pockets = [Pocket(10, NOW, NOW + timedelta(seconds=1)), Pocket(10, NOW + timedelta(seconds=1), NOW + timedelta(seconds=9))]

    assert lasts_until(pockets, Burn(1, 10, 0), since=NOW) == NOW + timedelta(seconds=2)


def test_more_than_all_dates_is_for_ever() -> None:
    assert at(1, pocket(10**16)) == FOR_EVER


@given(
    st.lists(st.tuples(st.integers(1, 40), st.integers(-3, 6), st.integers(1, 12)), max_size=6),
    st.integers(1, 4),
    st.integers(0, 30),
    st.integers(0, 20),
)
def test_it_says_what_spending_second_by_second_comes_to(grants: list[tuple[int, int, int]], rate: int, owed: int, reserve: int) -> None:
    pockets = [
        Pocket(left, NOW + timedelta(seconds=begins), NOW + timedelta(seconds=max(begins, 0) + length)) for left, begins, length in grants
    ]

    found = lasts_until(pockets, Burn(1, rate, owed), since=NOW, reserve=reserve)

    assert found is not None
    assert found == NOW + spent_by_hand(pockets, rate, owed, reserve)


def spent_by_hand(pockets: list[Pocket], rate: int, owed: int, reserve: int) -> timedelta:
    """Spend a twelfth of a second at a time: with rates of 1 to 4 the end lies on one."""
    ordered = sorted(pockets, key=lambda one: one.expires_at)
    left = [one.left * 12 for one in ordered]

    def valid(moment: datetime) -> list[int]:
        return [place for place, one in enumerate(ordered) if one.starts_at <= moment < one.expires_at]

    def take(amount: int, moment: datetime) -> None:
        for place in valid(moment):
            taken = min(left[place], amount)
            left[place] -= taken
            amount -= taken

    take(owed * 12, NOW)
    for number in range(12 * 60):
        moment = NOW + timedelta(seconds=number) / 12
        if sum(left[place] for place in valid(moment)) <= reserve * 12:
            return timedelta(microseconds=-(-number * 1_000_000 // 12))
        take(rate, moment)
    raise AssertionError("it never ended")


def test_what_burns_is_what_runs_and_was_of_use(wallet: Wallet, moving_clock: Clock) -> None:
    deployment = make_billed(wallet)
    run_instance(deployment)
    run_instance(deployment, billable=False)
    run_instance(deployment, closed_at=moving_clock.now)
    run_instance(deployment, ending_at=moving_clock.now)
    moving_clock.advance(10.5)

    burn = burn_of(wallet.pk)

    assert burn == Burn(instances=1, rate=4770, owed=10 * 4770)
    assert burn.micro_credits_an_hour == 17_172_000


def test_the_free_plan_pays_an_instance_until_its_credits_or_its_month_end(wallet: Wallet, moving_clock: Clock) -> None:
    deployment = make_billed(wallet)
    spend(deployment, 1000)
    run_instance(deployment)
    left = 500 * CREDIT - 1000 * 4770

    found = lasts_until(pockets_of(wallet.pk), burn_of(wallet.pk), since=moving_clock.now)

    assert found is not None
    assert found - moving_clock.now == timedelta(microseconds=-(-left * 1_000_000 // 4770))
