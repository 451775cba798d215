"""Figures as a table: what was measured, the goal, whether it is met."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """One measured value; a goal of None is for orientation."""

    name: str
    value: float
    unit: str
    goal: float | None = None
    remark: str = ""
    higher_is_better: bool = False

    @property
    def verdict(self) -> str:
        """Return whether the goal is met."""
        if self.goal is None:
            return ""
        met = self.value >= self.goal if self.higher_is_better else self.value <= self.goal
        return "met" if met else "MISSED"


def print_figures(figures: Iterable[Figure]) -> None:
    """Print the table."""
    sys.stdout.write(f"{'':<66}{'measured':>12}  {'goal':>10}\n")
    for figure in figures:
        goal = "" if figure.goal is None else f"{'≥' if figure.higher_is_better else '≤'} {figure.goal:g} {figure.unit}"
        sys.stdout.write(f"{figure.name:<66}{figure.value:>9.2f} {figure.unit:<3}{goal:>10}  {figure.verdict:<7} {figure.remark}\n")
    sys.stdout.flush()
