"""Rounds in alternating order, and the ratios of two programs' rounds."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TypeVar

Contestant = TypeVar("Contestant")
Result = TypeVar("Result")


def take_turns(
    contestants: Sequence[Contestant], rounds: int, measure: Callable[[Contestant], Result]
) -> list[list[Result]]:
    """The results of each program by round. Every other round runs in reverse order."""
    results: list[list[Result]] = [[] for _ in contestants]
    for number in range(rounds):
        order = range(len(contestants))
        for index in reversed(order) if number % 2 else order:
            results[index].append(measure(contestants[index]))
    return results


@dataclass(frozen=True)
class Ratio:
    """The median, the lowest and the highest of the rounds' ratios."""

    middle: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"**{self.middle:.2f}** ({self.low:.2f}–{self.high:.2f})"


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> Ratio:
    """The ratio of ours to theirs for each round."""
    ratios = [mine / other if other else float("inf") for mine, other in zip(ours, theirs, strict=True)]
    return Ratio(median(ratios), min(ratios), max(ratios))


def spread(figures: Sequence[float], form: str = "{:.2f}") -> str:
    """The median and the extremes of plain figures."""
    low, high = form.format(min(figures)), form.format(max(figures))
    return f"**{form.format(median(figures))}** ({low}–{high})"
