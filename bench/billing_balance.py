"""What the balance of a wallet with a million postings costs: now, at moments of the past, and as the API answers.

`python -m bench.billing_balance [POSTINGS]`, by default 1,000,000. Every balance is compared with the sum of the postings alone.
"""

from __future__ import annotations

import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import django

from bench.engine_processes import engine_servers
from bench.report import Figure, print_figures

GOAL_MS = 2.0
CALLS = 1000


def main(postings: int) -> None:
    """Start a database of its own, fill it, measure, print the table."""
    with tempfile.TemporaryDirectory() as name, engine_servers(Path(name)) as engine:
        os.environ.update(engine.environment)
        django.setup()
        from bench import billing_rows as rows

        figures: list[Figure] = []
        for kind, months, lasting in (("12 monthly grants", 1, 6), ("a yearly grant", 12, 24)):
            payer = rows.fill(postings, months=months, lasting=lasting)
            figures += balance_figures(payer, f"{postings:,} postings, {kind}")
        figures += rows.answer_figures(payer)
    print_figures(figures)


def balance_figures(payer: Any, name: str) -> list[Figure]:
    """Ask for the balance now and at moments all over the year, and for it by the sum of all postings."""
    from billing.balances import balance_at, balance_from_postings, standing_of
    from controlplane.common import clock

    now, chance = clock.now(), random.Random(1)
    moments = [now - timedelta(seconds=chance.randrange(365 * 86_400)) for _ in range(CALLS)]
    for moment in [*moments[:5], now, now + timedelta(days=30)]:
        assert balance_at(payer.wallet.pk, moment) == balance_from_postings(payer.wallet.pk, moment)
    assert standing_of(payer.wallet.pk).balance == balance_from_postings(payer.wallet.pk, now)
    wallet = payer.wallet.pk
    return [
        figure(f"balance now, {name}", timed(lambda _: standing_of(wallet), moments), GOAL_MS),
        figure(f"balance at a moment, {name}", timed(lambda moment: balance_at(wallet, moment), moments), GOAL_MS),
        figure("  the same by the sum of its postings", timed(lambda moment: balance_from_postings(wallet, moment), moments[:5]), None),
    ]


def timed(call: Callable[[Any], Any], given: Sequence[Any]) -> list[float]:
    """Return the milliseconds of the call for each of what is given."""
    found = []
    for one in given:
        began = time.perf_counter()
        call(one)
        found.append((time.perf_counter() - began) * 1000)
    return found


def figure(name: str, milliseconds: list[float], goal: float | None) -> Figure:
    """Return the median, with the 99th hundredth beside it."""
    p99 = statistics.quantiles(milliseconds, n=100)[98] if len(milliseconds) > 1 else milliseconds[0]
    return Figure(name, statistics.median(milliseconds), "ms", goal, f"p99 {p99:.2f} ms")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
