"""Prints how much of the variance of a run is of the gene, of the target and of both together, over crossed seeds."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from learngene_bench.results.records.types import Results
from learngene_bench.results.statistics.paired import Interval, mean
from learngene_bench.results.statistics.variance import Component, VarianceSplit
from learngene_bench.results.tables.metric_table import MetricTable
from learngene_bench.results.tables.numbers import interval, plural, probability, signed
from learngene_bench.results.tables.report_table import (
    NOTHING,
    Footnotes,
    ReportCell,
    ReportColumn,
    ReportRow,
    ReportTable,
    number,
    slug,
)
from learngene_bench.results.tables.samples import places
from learngene_bench.results.tables.variance import (
    CrossedDifference,
    CrossedEntry,
    crossed_differences,
    crossed_entries,
)

PARTS = ("gene", "target", "residual")

_ALONE = {
    "gene": "no seed decides a gene of this method: all variance is of the target",
    "target": "the target's seed decides nothing, as the gene is the finished model: all variance is of the gene",
}
_SINGLE = {
    "gene": "one gene seed: nothing can be said of the gene, and the residual is in the target",
    "target": "one target seed: nothing can be said of the target, and the residual is in the gene",
}
_BELOW_ZERO = "estimated below zero, as happens where there is little or none, and shown as 0"


def variance_reports(tables: Sequence[MetricTable], results: Results) -> list[ReportTable]:
    """Returns the split of the variance of every table that has crossed seeds, then differences to the references.

    Args:
        tables: tables of metrics after fine-tuning.
        results: the results that they were made from.
    """
    made = []
    for table in tables:
        entries = crossed_entries(table, results)
        if entries:
            made.append(_split_report(table, entries))
            differences = crossed_differences(table, entries)
            made += [_difference_report(table, entries, differences)] if differences else []
    return made


@dataclass(frozen=True)
class _Design:
    """Numbers of seeds for which the standard error is told."""

    genes: int
    targets: int

    @property
    def text(self) -> str:
        return f"{self.genes}x{self.targets}"


def _designs(entries: Sequence[CrossedEntry]) -> list[_Design]:
    """Returns what there is, by the entry of the most seeds, then twice the genes, twice the targets, and both."""
    genes = max(len({seeds.gene for seeds in entry.values}) for entry in entries)
    targets = max(len({seeds.target for seeds in entry.values}) for entry in entries)
    return [_Design(g * genes, t * targets) for g, t in ((1, 1), (2, 1), (1, 2), (2, 2))]


def _split_report(table: MetricTable, entries: Sequence[CrossedEntry]) -> ReportTable:
    footnotes, designs = Footnotes(), _designs(entries)
    return ReportTable(
        kind="variance",
        name=slug("variance", table.slug),
        title=f"Variance over seeds of genes and targets: {table.measure.heading}, by {table.axis}",
        subtitle=table.subtitle,
        identity=table.identity,
        corner="Method",
        columns=tuple(_split_columns(table, designs)),
        rows=tuple(
            ReportRow(
                entry.row.group,
                _label(table, entry, entries),
                tuple(_split_cells(table, entry, designs, footnotes)),
                facts=entry.row.facts,
            )
            for entry in entries
        ),
        conclusions=tuple(_conclusions(table, entries, designs)),
        notes=tuple(_split_notes(designs)),
        footnotes=footnotes.texts,
        data=tuple(_split_data(table, entry, designs) for entry in entries),
    )


def _label(table: MetricTable, entry: CrossedEntry, entries: Sequence[CrossedEntry]) -> str:
    """Names a method, and the target where there are several."""
    several = len({other.index for other in entries}) > 1
    return f"{entry.row.label}, {places(table, [entry.index])}" if several else entry.row.label


def _split_columns(table: MetricTable, designs: Sequence[_Design]) -> Iterator[ReportColumn]:
    yield ReportColumn("Seeds", priority=2)
    yield ReportColumn("Mean", higher_is_better=table.measure.spec.higher_is_better)
    yield ReportColumn("95 %", priority=2)
    for part in PARTS:
        yield ReportColumn("sd", part.capitalize())
        yield ReportColumn("95 %", part.capitalize(), priority=3)
    for place, design in enumerate(designs):
        yield ReportColumn(design.text, "SE of mean", priority=0 if place < 3 else 1)


def _split_cells(
    table: MetricTable, entry: CrossedEntry, designs: Sequence[_Design], footnotes: Footnotes
) -> Iterator[ReportCell]:
    split, decimals = entry.split, table.measure.spec.decimals
    yield ReportCell(_seeds(entry))
    if split is None:
        missing = ReportCell(f"{len(entry.values)}/{entry.expected}", addresses=entry.addresses)
        yield from [missing] * (2 + 2 * len(PARTS) + len(designs))
        return
    yield ReportCell(table.measure.text(split.mean), split.mean, addresses=entry.addresses)
    yield _ends(split.interval, decimals)
    for part in PARTS:
        component = _part(split, part)
        notes = (footnotes.number(text),) if (text := _remark(split, part)) else ()
        if component is None:
            yield from (ReportCell(NOTHING, footnotes=notes), ReportCell(NOTHING))
        else:
            value = component.standard_deviation
            yield ReportCell(f"{value:.{decimals + 1}f}", value, footnotes=notes)
            roots = Interval(math.sqrt(component.interval.lower), math.sqrt(component.interval.upper))
            yield _ends(roots, decimals + 1)
    for design in designs:
        error = split.standard_error(design.genes, design.targets)
        yield number(error, lambda value: f"{value:.{decimals + 1}f}")


def _seeds(entry: CrossedEntry) -> str:
    """Prints the numbers of gene and target seeds; a dash for one that decides nothing."""
    counts = [{seeds[place] for seeds in entry.values} for place in (0, 1)]
    return "x".join(NOTHING if found == {None} else str(len(found)) for found in counts) if entry.values else NOTHING


def _part(split: VarianceSplit, name: str) -> Component | None:
    found: Component | None = getattr(split, name)
    return found


def _remark(split: VarianceSplit, part: str) -> str:
    """Says why a component is not there, or not what it is elsewhere; empty if there is nothing to say."""
    component = _part(split, part)
    if component and component.estimate < 0:
        return _BELOW_ZERO
    if component is None and part in _ALONE:
        return _ALONE[part] if getattr(split, f"{part}s") is None else _SINGLE[part]
    return ""


def _ends(found: Interval | None, decimals: int) -> ReportCell:
    return ReportCell(interval(found, decimals))


def _conclusions(table: MetricTable, entries: Sequence[CrossedEntry], designs: Sequence[_Design]) -> Iterator[str]:
    """Says for each method how its variance is shared out and which seeds would help, over its targets."""
    by_row: dict[str, list[VarianceSplit]] = {}
    for entry in entries:
        if (split := entry.split) and split.residual and split.run_variance:
            by_row.setdefault(entry.row.label, []).append(split)
    for label, splits in by_row.items():
        total = mean([split.run_variance for split in splits])
        shares = [f"{part} {100 * mean([_variance(split, part) for split in splits]) / total:.0f} %" for part in PARTS]
        errors = [math.sqrt(mean([_squared_error(split, design) for split in splits])) for design in designs[:3]]
        decimals = table.measure.spec.decimals + 1
        now, genes, targets = (f"{error:.{decimals}f}" for error in errors)
        over = f" (mean over {plural(len(splits), 'target')})" if len(splits) > 1 else ""
        yield (
            f"{label}: of the variance of a run {', '.join(shares)}{over}; standard error of the mean {now}, with "
            f"twice the genes {genes}, with twice the targets {targets}."
        )


def _variance(split: VarianceSplit, part: str) -> float:
    component = _part(split, part)
    return component.variance if component else 0.0


def _squared_error(split: VarianceSplit, design: _Design) -> float:
    return (split.standard_error(design.genes, design.targets) or 0.0) ** 2


def _split_notes(designs: Sequence[_Design]) -> Iterator[str]:
    yield (
        "Every gene seed meets every target seed. Gene: what the seed of the gene and of its ancestors changes, the "
        "same for all targets. Target: what the seed of base initialization and fine-tuning changes, the same for all "
        "genes. Residual: what only this gene and this target do together."
    )
    yield (
        "sd: standard deviation, by the method of moments of the two-way analysis of variance. Its 95 % intervals: "
        "chi-square for the residual and for a single component, else Williams' approximate one. With few seeds they "
        "are wide."
    )
    yield (
        f"SE of mean: its standard error now ({designs[0].text}), and what other numbers of genes x targets would give "
        "if the components are as estimated. Mean, 95 %: Student's t with Satterthwaite's degrees of freedom, which "
        "takes runs of one gene, or of one target seed, to be alike."
    )


def _split_data(table: MetricTable, entry: CrossedEntry, designs: Sequence[_Design]) -> dict[str, Any]:
    split = entry.split
    column = table.columns[entry.index]
    row: dict[str, Any] = {
        **entry.row.facts,
        "size": column.size,
        "column": column.label,
        "genes": split and split.genes,
        "targets": split and split.targets,
        "runs": len(entry.values),
        "expected": entry.expected,
        "mean": split and split.mean,
        **_interval_data("mean", split.interval if split else None),
        "se": split and split.standard_error(),
        "degrees": split and split.degrees,
    }
    for part in PARTS:
        component = _part(split, part) if split else None
        row[f"{part}_variance"] = component.estimate if component else None
        row |= _interval_data(f"{part}_variance", component.interval if component else None)
    for name, design in zip(("genes", "targets", "both"), designs[1:], strict=True):
        row[f"se_twice_{name}"] = split and split.standard_error(design.genes, design.targets)
    return row


def _interval_data(name: str, found: Interval | None) -> Mapping[str, float | None]:
    return {f"{name}_lower": found and found.lower, f"{name}_upper": found and found.upper}


def _difference_report(
    table: MetricTable, entries: Sequence[CrossedEntry], differences: Sequence[CrossedDifference]
) -> ReportTable:
    order = list(table.source.references)
    known = {difference.reference.label: order.index(difference.reference.method) for difference in differences}
    references = sorted(known, key=known.__getitem__)
    found = {(d.entry.row.key, d.entry.index, d.reference.label): d.split for d in differences}
    decimals = table.measure.spec.decimals

    def cells(entry: CrossedEntry) -> Iterator[ReportCell]:
        for reference in references:
            split = found.get((entry.row.key, entry.index, reference))
            if split is None:
                yield from [ReportCell("" if entry.row.label == reference else NOTHING)] * 4
                continue
            yield ReportCell(signed(split.mean, decimals), split.mean)
            yield _ends(split.interval, decimals)
            yield number(split.standard_error(), lambda value: f"{value:.{decimals + 1}f}")
            yield ReportCell(probability(split.p), split.p)

    return ReportTable(
        kind="crossed-difference",
        name=slug("crossed-difference", table.slug),
        title=f"Differences over seeds of genes and targets: {table.measure.heading}, by {table.axis}",
        subtitle=table.subtitle,
        identity=table.identity,
        corner="Method",
        columns=tuple(
            ReportColumn(label, f"minus {reference}", priority=priority, higher_is_better=better)
            for reference in references
            for label, priority, better in (("mean", 0, True), ("95 %", 0, None), ("se", 2, None), ("p", 1, None))
        ),
        rows=tuple(
            ReportRow(entry.row.group, _label(table, entry, entries), tuple(cells(entry)), facts=entry.row.facts)
            for entry in entries
            if any((entry.row.key, entry.index, reference) in found for reference in references)
        ),
        notes=(
            "Row minus reference at equal seeds, over all runs; above zero the row is better. A seed that decides "
            "nothing of one of the two is the same for all of its runs.",
            "se, 95 % and p: two-way random effects of gene and target on the differences, Student's t with "
            "Satterthwaite's degrees of freedom. Where one of the two makes no difference beyond the residual, this is "
            "the paired t-test over means of the other. p is not corrected for the number of rows.",
        ),
        data=tuple(
            {
                **difference.entry.row.facts,
                "size": table.columns[difference.entry.index].size,
                "column": table.columns[difference.entry.index].label,
                "reference": difference.reference.method,
                "genes": difference.split.genes,
                "targets": difference.split.targets,
                "difference": difference.split.mean,
                **_interval_data("difference", difference.split.interval),
                "se": difference.split.standard_error(),
                "degrees": difference.split.degrees,
                "p": difference.split.p,
            }
            for difference in differences
        ),
    )
