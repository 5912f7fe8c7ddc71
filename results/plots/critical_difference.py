"""Draws the mean ranks of the methods on one axis, with bars that join ranks without a significant difference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from learngene_bench.results.plots import names, style
from learngene_bench.results.plots.page import Page, saved_by_sample
from learngene_bench.results.plots.style import SMALL_SIZE
from learngene_bench.results.statistics.ranking import cliques
from learngene_bench.results.tables import inference_notes
from learngene_bench.results.tables.inference import Inference

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_AXIS, _BAR = 0.42, 0.075
"""Distance of the axis from the panel's top, height of one level of bars, in inches."""
_LETTERS = 20
"""Longest line of a name beside the panel, in letters."""
_MAX_TICKS = 16

GENERALIZES = "Both tests generalize over targets and tasks, for these seeds only: other seeds may give another order."
"""Sentence on what Friedman's and Nemenyi's tests are about."""


@saved_by_sample("ranks")
def critical_difference(found: Inference, columns: int) -> Page:
    """Draws the mean ranks of the methods over targets and tasks, with Nemenyi's critical difference (Demšar, 2006)."""
    sample, bars = found.sample, _bars(found)
    beside, least = names.room([row.label for row in sample.rows], _LETTERS)
    start = _AXIS + 0.1 + _BAR * len(bars)
    page = Page(
        f"Mean ranks of {len(sample.rows)} methods over {inference_notes.columns(sample)}"
        f"{style.conditions(sample.table)}",
        _caption(found),
        count=1,
        across=1,
        height=start + least,
        columns=columns,
        beside=beside,
        below=0.1,
        left=0.12,
    )
    axes = page.panel(0, "")
    # Ranks from left to right, the best last, so that its name can stand on top; inches from top to bottom.
    axes.set_xlim(len(sample.rows) + 0.3, 0.7)
    axes.set_ylim(start + least, 0)
    axes.axis("off")
    _draw_axis(axes, found, bars)
    _draw_methods(axes, found, start)
    return page


def _bars(found: Inference) -> list[tuple[float, float]]:
    """Returns the first and last mean rank of each clique.

    One bar is over all methods if a test found no difference; there is none where too little was measured for a test.
    """
    ranks = [standing.rank for standing in found.methods]
    if found.critical_difference is None:
        return [] if _is_untested(found) else [(min(ranks), max(ranks))]
    return [(ranks[group[0]], ranks[group[-1]]) for group in cliques(ranks, found.critical_difference)]


def _is_untested(found: Inference) -> bool:
    """True if the ranks differ, and there is too little for any test of them."""
    return found.friedman.statistic is not None and found.friedman.p is None


def _draw_axis(axes: Axes, found: Inference, bars: Sequence[tuple[float, float]]) -> None:
    line: dict[str, Any] = {"color": "black", "lw": 0.8, "solid_capstyle": "butt"}
    last = len(found.methods)
    axes.plot([1, last], [_AXIS] * 2, **line)
    for rank in range(1, last + 1) if last <= _MAX_TICKS else [1, *range(5, last + 1, 5)]:
        axes.plot([rank] * 2, [_AXIS - 0.05, _AXIS], **line)
        axes.text(rank, _AXIS - 0.08, str(rank), ha="center", va="bottom", size=SMALL_SIZE)
    for level, (best, worst) in enumerate(bars):
        axes.plot([best, worst], [_AXIS + 0.1 + _BAR * level] * 2, color="black", lw=2.2, zorder=3)
    if found.critical_difference is not None:
        length = min(found.critical_difference, last - 1)
        axes.plot([last, last - length], [0.16] * 2, marker="|", markersize=4, **line)
        text = f"critical difference {found.critical_difference:.2f}"
        axes.text(last, 0.1, text, va="bottom", size=SMALL_SIZE)


def _draw_methods(axes: Axes, found: Inference, start: float) -> None:
    """Draws a line from each mean rank down to the height of its name."""
    looks = style.looks(found.sample.table.rows)
    top = start
    ends = []
    for standing in sorted(found.methods, key=lambda standing: standing.rank):
        label, rank = standing.row.label, standing.rank
        height = names.room([label], _LETTERS)[1]
        y = top + height / 2
        axes.plot([rank] * 2, [_AXIS, y], color=looks[label].color, lw=0.7, zorder=1)
        axes.plot([rank], [_AXIS], clip_on=False, zorder=4, **looks[label].markers)
        ends.append(names.LineEnd(label, looks[label], rank, y))
        top += height
    names.write(axes, ends, _LETTERS)


def _caption(found: Inference) -> str:
    if _is_untested(found):
        bars = "No bars: nothing says which ranks differ."
    elif found.critical_difference is None:
        bars = "The bar joins all methods: no two ranks differ significantly."
    else:
        bars = "Bars join methods without a significant difference (Nemenyi's test, 5 %)."
    return " ".join(
        [
            "Rank 1 is the best.",
            bars,
            *inference_notes.ranking(found)[:1],
            *[GENERALIZES] * (not _is_untested(found)),
            inference_notes.over(found.sample),
            *inference_notes.excluded(found.sample),
        ]
    )
