"""Polling advice keeps its promises for any history."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.advice import DEPLOYMENTS, LONGEST_PAUSE_MS, SAMPLES, Durations, advise

milliseconds = st.floats(min_value=0, max_value=3_600_000, allow_nan=False)


@given(times=st.lists(milliseconds, max_size=SAMPLES), elapsed=milliseconds, crowding=st.floats(min_value=0, max_value=1))
def test_advice_is_always_usable(times: list[float], elapsed: float, crowding: float) -> None:
    advice = advise(sorted(times), elapsed, crowding)
    low, high = advice.eta
    assert isinstance(advice.next_poll_in, int)
    assert 0 <= advice.next_poll_in <= LONGEST_PAUSE_MS
    assert advice.next_poll_long is True
    if not times:
        assert (low, high) == (None, None)
        return
    assert low is not None
    assert high is not None
    assert 0 <= low <= high <= max(times) + 1
    assert advice.next_poll_in <= low / 2
    if crowding <= 0.6 and low <= 10_000:
        assert advice.next_poll_in == 0


@given(times=st.lists(milliseconds, min_size=1, max_size=SAMPLES), sooner=milliseconds, later=milliseconds)
def test_the_end_comes_closer_as_time_passes(times: list[float], sooner: float, later: float) -> None:
    sooner, later = sorted((sooner, later))
    first, second = advise(sorted(times), sooner, 0).eta, advise(sorted(times), later, 0).eta
    assert first[1] is not None
    assert second[1] is not None
    assert second[1] <= first[1]


def test_many_waiting_callers_are_told_to_come_back() -> None:
    assert advise([4000.0], 0, 0.7).next_poll_in == 2000
    assert advise([4000.0], 0, 0.5).next_poll_in == 0
    assert advise([60_000.0], 0, 0.0).next_poll_in == 10_000


@given(st.lists(milliseconds, min_size=1, max_size=300))
def test_recent_times_are_the_newest_hundred_but_for_a_few(times: list[float]) -> None:
    durations = Durations()
    for time in times:
        durations.add("d", time)
        assert durations.recent("d") == sorted(durations.recent("d"))
    assert len(durations.recent("d")) <= SAMPLES
    assert set(durations.recent("d")) <= set(times[-SAMPLES - 10 :])


def test_idle_deployments_are_forgotten() -> None:
    durations = Durations()
    for number in range(DEPLOYMENTS + 1):
        durations.add(str(number), 1.0)
    assert durations.recent("0") == []
    assert durations.recent("1") == [1.0]
