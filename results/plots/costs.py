"""Accuracy against what it costs, for one target and for many; and how costs grow with the number of targets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from learngene_bench.results.plots import names, style
from learngene_bench.results.plots.page import Page
from learngene_bench.results.plots.style import GREY, Look
from learngene_bench.results.records.types import Results
from learngene_bench.results.tables.costs import CostTable, MethodCost, cost_tables
from learngene_bench.results.tables.table import Table
from learngene_bench.results.tables.wording import compact

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LETTERS = 18
_LOG_FROM = 4.0
"""How many times the least the most must be for a logarithmic axis."""


def front(results: Results, folder: Path, columns: int = 2) -> list[Path]:
    """Draws accuracy against FLOPs for one target and for all of a size, with the Pareto front, PNG and PDF.

    Arguments, result and errors are those of `accuracy`; each size of a table has two panels.
    """
    written = []
    for table, sizes in _by_table(results):
        drawn = [costs for costs in sizes if costs.comparable(costs.targets)]
        if drawn:
            with style.drawing():
                written += _front_page(table, drawn, columns).save(folder, style.file_name("front", table))
    return written


def targets(results: Results, folder: Path, columns: int = 2) -> list[Path]:
    """Draws the FLOPs that n targets need in all against n, PNG and PDF.

    Arguments, result and errors are those of `accuracy`; each size of a table has a panel.
    """
    written = []
    for table, sizes in _by_table(results):
        drawn = [costs for costs in sizes if _growing(costs)]
        if drawn:
            with style.drawing():
                written += _targets_page(table, drawn, columns).save(folder, style.file_name("targets", table))
    return written


def _by_table(results: Results) -> Iterator[tuple[Table, list[CostTable]]]:
    for _, sizes in groupby(cost_tables(results), key=lambda costs: id(costs.table)):
        found = list(sizes)
        yield found[0].table, found


def _front_page(table: Table, sizes: Sequence[CostTable], columns: int) -> Page:
    looks = style.looks(table.rows)
    panels = [(costs, count) for costs in sizes for count in dict.fromkeys([1, costs.targets])]
    beside, least = _room([[method for method, _, _ in costs.comparable(count)] for costs, count in panels])
    page = Page(
        f"Accuracy against cost, by {table.axis}{style.conditions(table)}",
        _front_caption(sizes),
        count=len(panels),
        across=columns,
        height=max(1.6, least),
        columns=columns,
        beside=beside,
    )
    for number, (costs, count) in enumerate(panels):
        what = "one target" if count == 1 else f"{count} targets"
        _front(page.panel(number, f"{costs.size}: {what}"), costs, count, looks)
    return page


def _front(axes: Axes, costs: CostTable, count: int, looks: Mapping[str, Look]) -> None:
    ends = []
    for method, flops, accuracy in costs.comparable(count):
        look = looks[method.row.label]
        axes.plot([flops / count], [accuracy], linestyle="none", zorder=3, **look.markers)
        ends.append(names.End(method.row.label, look, flops / count, accuracy))
    _scale(axes, "x", [end.x for end in ends])
    best = {method.row.label for method in costs.front(count)}
    steps = sorted((end.x, end.y) for end in ends if end.name in best)
    right = axes.get_xlim()[1]
    axes.set_xlim(right=right)
    x, y = [*(x for x, _ in steps), right], [*(y for _, y in steps), steps[-1][1]]
    axes.step(x, y, where="post", color=GREY, linewidth=0.8, zorder=1)
    axes.set_xlabel("FLOPs per target")
    axes.set_ylabel("Top-1 accuracy (%), mean")
    names.write(axes, ends, _LETTERS)


def _front_caption(sizes: Sequence[CostTable]) -> str:
    sentences = [
        "Means over the targets of a size and the seeds. FLOPs of all that is trained until the targets are tuned, "
        "ancestors and genes included, divided by the number of targets. Steps: the Pareto front; what lies on it is "
        "more accurate than all that costs less.",
    ]
    for costs in sizes:
        drawn = [method for method, _, _ in costs.comparable(costs.targets)]
        if left_out := [method.row.label for method in costs.methods if method not in drawn]:
            sentences.append(f"Not drawn in {costs.size}, without results for all of it: {', '.join(left_out)}.")
    return " ".join(sentences)


def _growing(costs: CostTable) -> list[MethodCost]:
    return [method for method in costs.methods if method.total("flops", 2)]


def _targets_page(table: Table, sizes: Sequence[CostTable], columns: int) -> Page:
    looks = style.looks(table.rows)
    beside, least = _room([_growing(costs) for costs in sizes])
    page = Page(
        f"Cost against the number of targets, by {table.axis}{style.conditions(table)}",
        "FLOPs of all that is trained until n targets are tuned, ancestors and genes included. Left of where two lines "
        "cross, one method is cheaper; right of it the other. Beyond the measured number of targets: more of the same. "
        + style.line_styles(table.rows),
        count=len(sizes),
        across=columns,
        height=max(1.8, least),
        columns=columns,
        beside=beside,
    )
    for number, costs in enumerate(sizes):
        _grow(page.panel(number, f"{costs.size} ({costs.targets} targets measured)"), costs, looks)
    return page


def _grow(axes: Axes, costs: CostTable, looks: Mapping[str, Look]) -> None:
    most = max(10, 2 * costs.targets)
    counts = range(1, most + 1)
    ends, every = [], []
    for method in _growing(costs):
        look = looks[method.row.label]
        flops = [method.total("flops", count) or 0.0 for count in counts]
        every += flops
        axes.plot(counts, flops, linestyle=look.line, markevery=[0, most - 1], **look.markers)
        ends.append(names.End(method.row.label, look, float(most), flops[-1]))
    _scale(axes, "y", every)
    axes.set_xticks([1, *range(2, most + 1, max(1, most // 5))])
    axes.set_xlabel("Number of targets n")
    axes.set_ylabel("FLOPs in all")
    names.write(axes, ends, _LETTERS)


def _room(panels: Sequence[Sequence[MethodCost]]) -> tuple[float, float]:
    """Width and height that the names of the fullest panel take up."""
    rooms = [names.room([method.row.label for method in methods], _LETTERS) for methods in panels]
    return max(width for width, _ in rooms), max(height for _, height in rooms)


def _scale(axes: Axes, which: Literal["x", "y"], values: Sequence[float]) -> None:
    """Logarithmic where the values differ much, and none is nothing; numbers in few characters."""
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

    axis, set_scale = (axes.xaxis, axes.set_xscale) if which == "x" else (axes.yaxis, axes.set_yscale)
    least, most = min(values), max(values)
    if least > 0 and most / least >= _LOG_FROM:
        set_scale("log")
        axis.set_major_locator(LogLocator(subs=(1,) if most / least > 40 else (1, 2, 5)))
        axis.set_minor_formatter(NullFormatter())
    else:
        axis.set_major_locator(MaxNLocator(4))
    axis.set_major_formatter(FuncFormatter(lambda value, _: compact(value).replace(".0", "") if value >= 0 else ""))
