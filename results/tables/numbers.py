"""Prints numbers, the same in every format. Values of metrics print themselves (`Measure.text`)."""

from __future__ import annotations

from collections.abc import Sequence

from learngene_bench.results.statistics.paired import Interval
from learngene_bench.results.tables.report_table import NOTHING
from learngene_bench.schema.base import Scalar


def compact(value: float) -> str:
    """Prints a count or a duration in a few characters.

    >>> [compact(value) for value in (0, 0.01, 4.2, 96, 61234, 3_900_000)]
    ['0', '<0.1', '4.2', '96', '61.2k', '3.9M']
    """
    if value == 0:
        return "0"
    if value < 0.1:
        return "<0.1"
    if value < 10:
        return f"{value:.1f}"
    if value < 999.5:
        return f"{value:.0f}"
    for unit in ("k", "M", "G", "T", "P"):
        value /= 1000
        if value < 999.95:
            return f"{value:.1f}{unit}"
    return f"{value / 1000:.1f}E"


def signed(value: float, decimals: int = 1, trim: bool = False) -> str:
    """Prints a difference with its sign; zero has none.

    Args:
        trim: True to leave out zeros after the point, as of ranks.
    """
    value = round(value, decimals) or 0.0
    return f"{value:{'+' if value else ''}{'g' if trim else f'.{decimals}f'}}".replace("-", "−")


def times(ratio: float) -> str:
    """Prints how many times as much something is, to two digits or more."""
    return f"{ratio:.{0 if ratio >= 9.95 else 1 if ratio >= 0.95 else 2}f}×"


def probability(p: float | None) -> str:
    """Prints a p-value to two digits."""
    if p is None:
        return NOTHING
    return "<0.001" if p < 0.001 else f"{p:.2g}"


def interval(ends: Interval | None, decimals: int) -> str:
    """Prints the ends of an interval; zero has no sign."""
    if ends is None:
        return NOTHING
    return " to ".join(f"{round(end, decimals) or 0.0:.{decimals}f}" for end in ends)


def plural(count: int, noun: str) -> str:
    """Counts things: "1 target", "5 targets"."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def span(values: Sequence[float]) -> str:
    """Prints the least and the greatest of ascending values, once if they are the same."""
    return " to ".join(f"{end:g}" for end in dict.fromkeys([*values[:1], *values[-1:]]))


def on_axis(axis: str, labels: Sequence[str]) -> str:
    """Names columns: "depth 4, 6"; names of tasks stand for themselves."""
    return f"{'' if axis == 'task' else f'{axis} '}{', '.join(labels)}"


def way(axis: str, value: Scalar) -> str:
    """Prints how a target is fine-tuned: so many times as long ("×3"), on so much of the images ("10 %")."""
    assert isinstance(value, int | float)
    return f"×{value:g}" if axis == "horizon" else f"{value:g} %"
