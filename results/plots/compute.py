"""Draws the metric over total compute: what preparation costs one of n targets, then initialization and fine-tuning."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from learngene_bench.results.plots import style
from learngene_bench.results.plots.costs import scale
from learngene_bench.results.plots.page import Drawing, Page
from learngene_bench.results.records.types import Results
from learngene_bench.results.tables.compute import ComputeChoice, MethodCompute, SizeCompute, size_computes
from learngene_bench.results.tables.compute_report import WORDS
from learngene_bench.results.tables.metric_table import MetricTable
from learngene_bench.results.tables.tabulate import make_tables


def compute_of(choice: ComputeChoice) -> Drawing:
    """Returns the drawing of the mean of the metric over total compute, with a panel for each size and number."""

    def compute(results: Results, columns: int) -> Iterator[tuple[str, Page]]:
        """Draws the mean of the metric over total compute: a panel for each size and number of targets."""
        for table in make_tables(results):
            sizes = size_computes([table], results, choice.resource)
            if any(len(method.mean.tuned) > 1 for found in sizes for method in found.rows):
                kind = "compute" if choice.resource == "flops" else f"compute-{choice.resource}"
                yield style.file_name(kind, table), _page(table, sizes, choice, columns)

    return Drawing(compute)


compute = compute_of(ComputeChoice())


def _page(table: MetricTable, sizes: Sequence[SizeCompute], choice: ComputeChoice, columns: int) -> Page:
    panels = [(found, count) for found in sizes for count in choice.counts if _drawn(found, count)]
    drawn = {method.row.label for panel in panels for method in _drawn(*panel)}
    looks = {label: look for label, look in style.looks(table.rows).items() if label in drawn}
    page = Page(
        f"{table.measure.spec.title} over total compute, by {table.axis}{style.conditions(table)}",
        _caption(table, sizes, choice),
        count=len(panels),
        across=3 if columns == 2 else 1,
        height=1.9,
        columns=columns,
        legend=looks,
    )
    for number, (found, count) in enumerate(panels):
        what = "one target" if count == 1 else f"each of {count} targets"
        axes = page.panel(number, f"{found.size}: {what}")
        for method in _drawn(found, count):
            (x, y), look = _points(method, count), looks[method.row.label]
            axes.plot(x, y, linestyle=look.line, markevery=max(1, len(x) // 4), **look.markers)
        # The same axis for all numbers of targets of a size: what moves to the left is what is shared.
        costs = [cost for one in choice.counts for method in _drawn(found, one) for cost in _points(method, one)[0]]
        scale(axes, "x", costs)
        if axes.get_xscale() == "log":
            axes.set_xlim(min(costs) / 1.3, max(costs) * 1.3)
        axes.set_xlabel(f"{WORDS[choice.resource][:1].upper()}{WORDS[choice.resource][1:]} per target")
        axes.set_ylabel(f"{table.measure.heading}, mean")
    return page


def _drawn(found: SizeCompute, count: int) -> list[MethodCompute]:
    """Returns the rows of which the cost for so many targets is known and not zero, as a logarithm needs."""
    return [method for method in found.rows if method.mean.total(count)]


def _points(method: MethodCompute, count: int) -> tuple[list[float], list[float]]:
    """Returns costs and values; without a cost of zero, which a logarithmic axis does not have."""
    before = method.mean.before(count) or 0.0
    points = [(before + cost, value) for cost, value in zip(method.mean.tuned, method.mean.values, strict=True)]
    return [cost for cost, _ in points if cost], [value for cost, value in points if cost]


def _caption(table: MetricTable, sizes: Sequence[SizeCompute], choice: ComputeChoice) -> str:
    sentences = [
        "Means over the targets of a size and the seeds, from the first measurement to the end of fine-tuning. A line "
        "begins at what one of n targets costs before fine-tuning: ancestors and gene, divided among the targets as "
        "far as they share them, and initialization. At one height, the line further left is cheaper."
    ]
    if choice.resource == "seconds":
        sentences.append("Seconds depend on the machine and on what else ran there.")
    if any(len(method.mean.tuned) == 1 for found in sizes for method in found.rows):
        sentences.append("Single markers: models that are not fine-tuned.")
    if any(not method.mean.before(1) for found in sizes for method in found.rows):
        sentences.append("A line that costs nothing before fine-tuning begins at its first measurement in it.")
    sentences += [
        f"Left out in {found.size}, as not all targets are done: {', '.join(found.excluded)}."
        for found in sizes
        if found.excluded
    ]
    sentences.append(style.line_styles(table.rows))
    return " ".join(sentences)
