"""Polling advice: when a run will probably end and how its client should ask for it.

Clients poll at most 100 times and sleep as they are told, so advice is latency: a long poll at once costs a client under a millisecond over
the run's own time, a guessed pause costs half of it. Only when very many clients wait, or the end is far, are they told to come back later.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass

SAMPLES = 100
DEPLOYMENTS = 10_000
RESORT_AFTER = 10
CROWDED = 0.6
FAR_MS = 10_000
LONGEST_PAUSE_MS = 10_000
CROWDED_PAUSE_MS = 1000


@dataclass(frozen=True, slots=True)
class Advice:
    """`eta` in ms from now, the lower and the upper bound (None: nothing is known yet); `next_poll_in` in ms, never None."""

    eta: tuple[int | None, int | None]
    next_poll_in: int
    next_poll_long: bool = True


ENDED = Advice((0, 0), 0)


def advise(times: list[float], elapsed_ms: float, crowding: float) -> Advice:
    """Advise on a run that was accepted `elapsed_ms` ago.

    `times` are recent runs' times from acceptance to end in ms, sorted; `crowding` is the share of file descriptors in use (0 to 1).
    """
    if not times:
        return Advice((None, None), 0)
    low = max(0, round(times[len(times) // 10] - elapsed_ms))
    high = max(low, round(times[(len(times) * 9) // 10] - elapsed_ms))
    pause = 0
    if low > FAR_MS or crowding > CROWDED:
        pause = min(low // 2, LONGEST_PAUSE_MS)
    return Advice((low, high), pause)


def unknown_end(crowding: float) -> Advice:
    """Advise on a run that waits for a deployment to wake: nobody knows how long, and its client should learn of the end at once."""
    return Advice((None, None), CROWDED_PAUSE_MS if crowding > CROWDED else 0)


class Durations:
    """How long recent runs took, waiting included, for each deployment (the last 100 that this gateway saw end)."""

    def __init__(self) -> None:
        self._series: OrderedDict[str, _Series] = OrderedDict()

    def add(self, deployment: str, milliseconds: float) -> None:
        """Note a run's time; the deployments that were idle longest are forgotten."""
        series = self._series.get(deployment)
        if series is None:
            series = self._series[deployment] = _Series()
            if len(self._series) > DEPLOYMENTS:
                self._series.popitem(last=False)
        self._series.move_to_end(deployment)
        series.times.append(milliseconds)
        series.unsorted += 1

    def recent(self, deployment: str) -> list[float]:
        """Return recent times in ms, sorted; at most nine runs out of date, since sorting at each answer would cost more than the answer."""
        series = self._series.get(deployment)
        if series is None:
            return []
        if series.unsorted >= min(len(series.times), RESORT_AFTER):
            series.ordered = sorted(series.times)
            series.unsorted = 0
        return series.ordered


class _Series:
    __slots__ = ("ordered", "times", "unsorted")

    def __init__(self) -> None:
        self.times: deque[float] = deque(maxlen=SAMPLES)
        self.ordered: list[float] = []
        self.unsorted = 0
