"""Draws a metric against cost, for one target and for many, and the growth of costs with the number of targets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from learngene_bench.results.plots import names, style
from learngene_bench.results.plots.page import Drawing, Page
from learngene_bench.results.plots.style import GREY, Look
from learngene_bench.results.records.types import Results
from learngene_bench.results.tables.costs import CostTable, MethodCost, cost_tables
from learngene_bench.results.tables.metric_table import MetricTable
from learngene_bench.results.tables.numbers import compact
from learngene_bench.results.tables.tabulate import make_tables

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LETTERS = 18
"""Longest line of a name beside a panel, in letters."""
_LOG_RATIO = 4.0
"""Ratio of largest to smallest value from which an axis is logarithmic."""


@Drawing
def front(results: Results, columns: int) -> Iterator[tuple[str, Page]]:
    """Draws the primary metric against FLOPs for one target and for all targets of a size, with the Pareto front.

    Each size of a table has two panels.
    """
    for table in make_tables(results):
        if drawn := [costs for costs in cost_tables([table], results) if costs.comparable(costs.targets)]:
            yield style.file_name("front", table), _front_page(table, drawn, columns)


@Drawing
def targets(results: Results, columns: int) -> Iterator[tuple[str, Page]]:
    """Draws the total FLOPs for n targets against n, with a panel for each size of a table."""
    for table in make_tables(results):
        if drawn := [costs for costs in cost_tables([table], results) if _growing(costs)]:
            yield style.file_name("targets", table), _targets_page(table, drawn, columns)


def _front_page(table: MetricTable, sizes: Sequence[CostTable], columns: int) -> Page:
    looks = style.looks(table.rows)
    panels = [(costs, count) for costs in sizes for count in dict.fromkeys([1, costs.targets])]
    beside, least = _room([[method for method, _, _ in costs.comparable(count)] for costs, count in panels])
    page = Page(
        f"{table.measure.spec.title} against cost, by {table.axis}{style.conditions(table)}",
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
        ends.append(names.LineEnd(method.row.label, look, flops / count, accuracy))
    scale(axes, "x", [end.x for end in ends])
    best = {method.row.label for method in costs.pareto_front(count)}
    steps = sorted((end.x, end.y) for end in ends if end.name in best)
    right = axes.get_xlim()[1]
    axes.set_xlim(right=right)
    x, y = [*(x for x, _ in steps), right], [*(y for _, y in steps), steps[-1][1]]
    axes.step(x, y, where="post", color=GREY, linewidth=0.8, zorder=1)
    axes.set_xlabel("FLOPs per target")
    axes.set_ylabel(f"{costs.table.measure.heading}, mean")
    names.write(axes, ends, _LETTERS)


def _front_caption(sizes: Sequence[CostTable]) -> str:
    sentences = [
        "Means over the targets of a size and the seeds. FLOPs: all training until the targets are fine-tuned, "
        "ancestors and genes included, divided by the number of targets. Steps: the Pareto front; a method on it is "
        "better than every cheaper method.",
    ]
    for costs in sizes:
        drawn = [method for method, _, _ in costs.comparable(costs.targets)]
        if excluded := [method.row.label for method in costs.methods if method not in drawn]:
            sentences.append(f"Not drawn in {costs.size}, as results are missing: {', '.join(excluded)}.")
    return " ".join(sentences)


def _growing(costs: CostTable) -> list[MethodCost]:
    return [method for method in costs.methods if method.total("flops", 2)]


def _targets_page(table: MetricTable, sizes: Sequence[CostTable], columns: int) -> Page:
    looks = style.looks(table.rows)
    beside, least = _room([_growing(costs) for costs in sizes])
    page = Page(
        f"Cost against the number of targets, by {table.axis}{style.conditions(table)}",
        "FLOPs: all training until n targets are fine-tuned, ancestors and genes included. Left of the point where two "
        "lines cross, one method is cheaper; right of it, the other. Beyond the measured number of targets, the lines "
        "are extrapolated. " + style.line_styles(table.rows),
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
    ends, values = [], []
    for method in _growing(costs):
        look = looks[method.row.label]
        flops = [method.total("flops", count) or 0.0 for count in counts]
        values += flops
        axes.plot(counts, flops, linestyle=look.line, markevery=[0, most - 1], **look.markers)
        ends.append(names.LineEnd(method.row.label, look, float(most), flops[-1]))
    scale(axes, "y", values)
    axes.set_xticks([1, *range(2, most + 1, max(1, most // 5))])
    axes.set_xlabel("Number of targets n")
    axes.set_ylabel("Total FLOPs")
    names.write(axes, ends, _LETTERS)


def _room(panels: Sequence[Sequence[MethodCost]]) -> tuple[float, float]:
    """Returns the width and height in inches that the names of the fullest panel need."""
    rooms = [names.room([method.row.label for method in methods], _LETTERS) for methods in panels]
    return max(width for width, _ in rooms), max(height for _, height in rooms)


def scale(axes: Axes, which: Literal["x", "y"], values: Sequence[float]) -> None:
    """Makes an axis logarithmic if its values are positive and differ much; writes its numbers in few characters."""
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

    axis, set_scale = (axes.xaxis, axes.set_xscale) if which == "x" else (axes.yaxis, axes.set_yscale)
    least, most = min(values), max(values)
    if least > 0 and most / least >= _LOG_RATIO:
        set_scale("log")
        axis.set_major_locator(LogLocator(subs=(1,) if most / least > 40 else (1, 2, 5)))
        axis.set_minor_formatter(NullFormatter())
    else:
        axis.set_major_locator(MaxNLocator(4))
    axis.set_major_formatter(FuncFormatter(lambda value, _: compact(value).replace(".0", "") if value >= 0 else ""))
