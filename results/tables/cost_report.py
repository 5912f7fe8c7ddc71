"""Prints costs: what a good result costs, each resource by phase, and a paper's claim of savings."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from learngene_bench.results.records.types import Results
from learngene_bench.results.statistics.paired import mean
from learngene_bench.results.tables import published
from learngene_bench.results.tables.costs import RESOURCES, TARGET_PHASES, CostTable, MethodCost, cost_tables
from learngene_bench.results.tables.equal_budget import at_equal_budget, lost_leads
from learngene_bench.results.tables.metric_report import size_mean, trained_cells
from learngene_bench.results.tables.metric_table import MetricTable
from learngene_bench.results.tables.notes import TRAINED, about_trained
from learngene_bench.results.tables.numbers import compact, plural, signed, times
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
from learngene_bench.schema.constants import PHASES

_RESOURCE_TITLES = {"flops": "FLOPs", "epochs": "epochs", "images": "images", "seconds": "seconds"}
_PHASE_COLUMNS = (
    ReportColumn("anc.", "Once"),
    ReportColumn("prepare", "Once"),
    ReportColumn("init.", "Each"),
    ReportColumn("finetune", "Each"),
)

_SUMMARY_NOTES = (
    "A number above a column: of so many targets. They need what their genes cost once, ancestors included, and each "
    "its initializing and fine-tuning. Every method bears the whole cost of its ancestors, though some share them "
    "here; a loaded ancestor costs nothing.",
    "Saving: how many times as many FLOPs pre-training of the same targets needs. Given anc.: the same where a "
    "method's ancestors exist already. Breaks even: the least number of targets with which it needs no more, "
    "whatever its result.",
    "Stored: bytes of the genes. Front: no other method has a better mean for as many FLOPs, or as good a one for "
    "fewer.",
)
_PHASE_NOTES = (
    "Once: preparing one target's gene and training its ancestors (anc.), which all that inherit from it share. Each: "
    "initializing and fine-tuning one target. In all: until so many targets are fine-tuned. Means over targets and "
    "seeds.",
    "Seconds depend on the machine and on what else ran there.",
)


def cost_reports(tables: Sequence[MetricTable], results: Results) -> list[ReportTable]:
    """Returns for every size of every table a summary, which has the data of all, and a table for each resource.

    After those of a table comes the paper's claim of savings, if the method that it is about was measured.
    """
    reports: list[ReportTable] = []
    for table in tables:
        sizes = cost_tables([table], results)
        for costs in sizes:
            reports += [_summary(costs), *(_resource(costs, resource) for resource in _RESOURCE_TITLES)]
        reports += _claims(table, sizes)
    return reports


def _table(
    costs: CostTable, kind: str, names: Sequence[str], title: str, columns: Sequence[ReportColumn], **more: Any
) -> ReportTable:
    table = costs.table
    budget = [at_equal_budget(table.equal_budget)] if table.equal_budget else []
    return ReportTable(
        kind=kind,
        name=slug(*names, table.slug, costs.size),
        title=", ".join([title, costs.size, table.labels(table.sizes()[costs.size]), *budget]),
        subtitle=table.subtitle,
        identity={**table.identity, "size": costs.size},
        corner=costs.size,
        columns=tuple(columns),
        **more,
    )


def _summary(costs: CostTable) -> ReportTable:
    table, n = costs.table, costs.targets
    measure = table.measure
    front = costs.pareto_front(n)
    footnotes = Footnotes()
    rows = []
    for method in costs.methods:
        each = math.fsum(method.phases[phase]["iterations"] for phase in TARGET_PHASES) if method.phases else None
        at_budgets = method.row.means.get(costs.size, ())[1:]
        cells = (
            number(method.mean, measure.text),
            *(replace(size_mean(table, mean), footnotes=()) for mean in at_budgets),
            _amount(method, each),
            *(_amount(method, method.total("flops", count)) for count in _counts(n)),
            *(number(method.saving("flops", count), times) for count in _counts(n)),
            number(method.saving("flops", n, given_ancestors=True), times),
            number(method.break_even, str),
            *(_amount(method, method.stored.total(count) if method.stored else None) for count in _counts(n)),
            number(method.stored_saving(n), times),
            ReportCell("•" if method in front else ""),
            *(trained_cells(method.row.costs[costs.size]) if table.trains_at_initialization else ()),
        )
        rows.append(_row(costs, method, cells, footnotes))
    return _table(
        costs,
        "cost",
        ["cost"],
        "Cost of a good result",
        [
            ReportColumn("mean", measure.spec.title, higher_is_better=measure.spec.higher_is_better),
            *(ReportColumn(f"={budget.amount:,}", measure.spec.title) for budget in table.budgets),
            ReportColumn("each", "Iter."),
            *(ReportColumn(str(count), "FLOPs") for count in _counts(n)),
            *(ReportColumn(str(count), "Saving") for count in _counts(n)),
            ReportColumn(str(n), "Given anc."),
            ReportColumn("even", "Breaks"),
            *(ReportColumn(str(count), "Stored") for count in _counts(n)),
            ReportColumn("saving", "Stored"),
            ReportColumn("Front"),
            *(ReportColumn(label, TRAINED) for label in ("parameters", "iterations") if table.trains_at_initialization),
        ],
        rows=tuple(rows),
        conclusions=tuple(_conclusions(costs, front)),
        notes=(*_SUMMARY_NOTES, *([about_trained(table)] if table.trains_at_initialization else [])),
        footnotes=footnotes.texts,
        data=tuple(_data(costs, method, front) for method in costs.methods),
    )


def _resource(costs: CostTable, resource: str) -> ReportTable:
    """One resource by phase, in all, and what is saved."""
    n = costs.targets
    footnotes = Footnotes()
    rows = []
    for method in costs.methods:
        cells = (
            *(_amount(method, method.phases[phase][resource] if method.phases else None) for phase in PHASES),
            *(_amount(method, method.total(resource, count)) for count in _counts(n)),
            *(number(method.saving(resource, count), times) for count in _counts(n)),
        )
        rows.append(_row(costs, method, cells, footnotes))
    return _table(
        costs,
        f"cost-{resource}",
        ["cost", resource],
        f"Cost in {_RESOURCE_TITLES[resource]}",
        [
            *_PHASE_COLUMNS,
            *(ReportColumn(str(count), "In all") for count in _counts(n)),
            *(ReportColumn(str(count), "Saving") for count in _counts(n)),
        ],
        rows=tuple(rows),
        notes=_PHASE_NOTES,
        footnotes=footnotes.texts,
    )


def _row(costs: CostTable, method: MethodCost, cells: tuple[ReportCell, ...], footnotes: Footnotes) -> ReportRow:
    remarks = []
    if len(method.indices) < costs.targets:
        remarks.append(f"of {costs.table.labels(method.indices)} only")
    if method.genes > 1:
        remarks.append(f"{method.genes:g} genes for {len(method.indices)} targets")
    numbers = tuple(footnotes.number(remark) for remark in remarks)
    return method.row.report_row(cells, numbers)


def _claims(table: MetricTable, sizes: Sequence[CostTable]) -> Iterator[ReportTable]:
    """The paper's claim, what its own table says of it, and what was measured; nothing at equal budget."""
    claim = published.paper()["savings"]
    measured = [
        (costs, method)
        for costs in sizes
        for method in costs.methods
        if (method.row.method, method.row.variant) == (claim["method"], "") and method.amounts
    ]
    if not measured or table.equal_budget:
        return
    group = measured[0][1].row.group
    stated = (claim["targets"], claim["computation"], NOTHING, claim["storage"], claim["difference"])
    yield ReportTable(
        kind="cost-claims",
        name=slug("cost", "claims", table.slug),
        title=f"Savings over pre-training: the paper's claim and what is measured, by {table.axis}",
        subtitle=table.subtitle,
        identity=table.identity,
        corner=measured[0][1].row.label,
        columns=(
            ReportColumn("n"),
            *(ReportColumn(label, "Computation") for label in ("epochs", "FLOPs", "given anc.", "seconds")),
            *(ReportColumn(label, "Storage") for label in ("1 target", "n targets")),
            ReportColumn("diff.", table.measure.spec.title),
        ),
        rows=(
            _text_row(group, "paper's claim", *stated),
            *(_published_rows(group) if table.axis == claim["axis"] else ()),
            *(_measured_row(costs, method) for costs, method in measured),
        ),
        notes=(
            claim["note"],
            claim["table_note"],
            "Here: everything that is spent until n targets are fine-tuned, and the bytes of the genes.",
        ),
    )


def _text_row(
    group: str, label: str, n: str, epochs: str, stored_one: str, stored_n: str, difference: str
) -> ReportRow:
    texts = (n, epochs, NOTHING, NOTHING, NOTHING, stored_one, stored_n, difference)
    return ReportRow(group, label, tuple(map(ReportCell, texts)))


def _published_rows(group: str) -> Iterator[ReportRow]:
    """The savings that follow from the paper's own table, for each of its models."""
    claim, metric = published.paper()["savings"], published.paper()["metric"]
    source = published.paper()["tables"][claim["axis"]]
    for size, model in published.paper()["sizes"].items():
        rows = [row for row in published.table(source["file"]) if row["size"] == size]

        def column(method: str, name: str, rows: Sequence[Mapping[str, Any]] = rows) -> list[float]:
            return [float(row[name] or 0) for row in rows if row["method"] == method]

        ours, reference = claim["method"], claim["reference"]
        n = len(column(ours, metric))
        needed = column(ours, "prepare_epochs")[0] + n * claim["finetuning_epochs"]
        epochs = n * column(reference, "prepare_epochs")[0] / needed
        stored = column(reference, "params_m")[0] / column(ours, "params_m")[0]
        difference = mean(column(ours, metric)) - mean(column(reference, metric))
        texts = (str(n), times(epochs), times(stored), times(n * stored), signed(difference))
        yield _text_row(group, f"Table {source['number']}, {model}", *texts)


def _measured_row(costs: CostTable, method: MethodCost) -> ReportRow:
    n = costs.targets
    reference = method.reference.mean if method.reference else None
    difference = None if reference is None or method.mean is None else method.mean - reference
    cells = (
        number(n, str),
        number(method.saving("epochs", n), times),
        number(method.saving("flops", n), times),
        number(method.saving("flops", n, given_ancestors=True), times),
        number(method.saving("seconds", n), times),
        number(method.stored_saving(1), times),
        number(method.stored_saving(n), times),
        number(difference, lambda value: signed(value, costs.table.measure.spec.decimals)),
    )
    return ReportRow(method.row.group, f"here, {costs.size}", cells, facts=method.row.facts)


def _conclusions(costs: CostTable, front: Sequence[MethodCost]) -> Iterator[str]:
    if front:
        names = ", ".join(method.row.label for method in front)
        yield f"Best for what they cost, with {plural(costs.targets, 'target')}, from the cheapest on: {names}."
    yield from lost_leads(costs.table, costs.size)


def _counts(n: int) -> list[int]:
    return [1, n] if n > 1 else [1]


def _amount(method: MethodCost, amount: float | None) -> ReportCell:
    """A number; how many of the cells are done, if not all."""
    if method.done < method.expected:
        return ReportCell(f"{method.done}/{method.expected}")
    return number(amount, compact)


def _data(costs: CostTable, method: MethodCost, front: Sequence[MethodCost]) -> dict[str, Any]:
    """All that the tables of a size say of a method, unrounded."""
    n = costs.targets
    data: dict[str, Any] = {
        **method.row.facts,
        "n": n,
        "targets": len(method.indices),
        "genes": method.genes,
        "done": method.done,
        "expected": method.expected,
        "mean": method.mean,
        "on_front": method in front,
        "breaks_even": method.break_even,
    }
    for resource in RESOURCES:
        data |= {f"{p}_{resource}": method.phases[p][resource] if method.phases else None for p in PHASES}
        data |= {
            f"one_target_{resource}": method.total(resource, 1),
            f"n_targets_{resource}": method.total(resource, n),
            f"saving_one_{resource}": method.saving(resource, 1),
            f"saving_n_{resource}": method.saving(resource, n),
            f"saving_n_given_ancestors_{resource}": method.saving(resource, n, given_ancestors=True),
        }
    data |= {f"{p}_parameters": method.trained.get(p) for p in PHASES}
    return data | {
        "one_target_stored_bytes": method.stored and method.stored.total(1),
        "n_targets_stored_bytes": method.stored and method.stored.total(n),
        "saving_one_stored_bytes": method.stored_saving(1),
        "saving_n_stored_bytes": method.stored_saving(n),
    }
