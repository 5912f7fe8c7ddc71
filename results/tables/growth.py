"""Computes what a start from a trained model saves: FLOPs up to an equal result, against training from scratch.

Papers on growth count the training of the target alone, as the source model is there. For somebody who has none it is a
cost too; so both are computed. Fine-tuning costs the same in every epoch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from learngene_bench.results.records.types import Record, Results
from learngene_bench.results.statistics.paired import mean
from learngene_bench.results.tables.learning import MethodCurves, SizeCurves, size_curves
from learngene_bench.results.tables.metric_table import MethodRow, MetricTable
from learngene_bench.schema.constants import PHASES, Phase

KEPT = 1e-4
"""Largest difference of an output, over the largest output, that float32 makes of a function that is kept."""


@dataclass(frozen=True)
class Saving:
    """FLOPs that a row saves until it is as good as a reference ends, as shares of all that the reference spends.

    Attributes:
        target: share saved if only the target's own initialization and fine-tuning count; below zero for more FLOPs.
        whole: likewise with the gene and the models that it is made of.
        is_reached: False if the result is not reached within the fine-tuning: then both are upper bounds.
    """

    target: float
    whole: float
    is_reached: bool


@dataclass(frozen=True)
class GrownTarget:
    """One target of a grid with a source model.

    Attributes:
        index: its column in the table.
        rows: rows that have anything planned there, or a dash.
        differences: for rows that take their weights from the source model: the largest difference of an output from
            the source's over the largest output of the source, over all seeds.
        savings: by row and reference.
    """

    table: MetricTable
    index: int
    rows: tuple[MethodRow, ...]
    references: tuple[MethodRow, ...]
    differences: Mapping[str, float]
    savings: Mapping[tuple[str, str], Saving]

    @property
    def place(self) -> str:
        """Names the target after its size."""
        return f"{self.table.columns[self.index].size}, {self.table.labels([self.index])}"


def grown_targets(tables: Sequence[MetricTable], results: Results) -> list[GrownTarget]:
    """Computes every target for which some record has a comparison with a source model.

    Args:
        tables: tables of metrics after fine-tuning.
        results: the results that they were made from.
    """
    found = [_grown(curves, index) for curves in size_curves(tables, results) for index in curves.indices]
    return [target for target in found if target.differences]


def _grown(curves: SizeCurves, index: int) -> GrownTarget:
    methods = [method for method in curves.rows if method.row.entries[index].state != "not planned"]
    references = [method for method in methods if any(method.row is row for row in curves.references)]
    differences, savings = {}, {}
    for method in methods:
        compared = [record.result.source_comparison for record in method.records.get(index, {}).values()]
        if found := [each.relative for each in compared if each]:
            differences[method.row.label] = max(found)
        for reference in references:
            if method is not reference and (saving := _saving(reference, method, index)):
                savings[method.row.label, reference.row.label] = saving
    return GrownTarget(
        table=curves.table,
        index=index,
        rows=tuple(method.row for method in methods),
        references=tuple(method.row for method in references),
        differences=differences,
        savings=savings,
    )


def _saving(trained: MethodCurves, method: MethodCurves, index: int) -> Saving | None:
    goal, curve = trained.row.entries[index].mean, method.curves.get(index)
    if goal is None or curve is None or index not in trained.curves or curve.last == 0:
        return None
    spent = mean([_flops(record, *PHASES) for record in trained.records[index].values()])
    if not spent:
        return None
    reached = curve.epochs_to_reach(goal)
    records = method.records[index].values()
    part = (curve.last if reached is None else reached) / curve.last
    target = mean([_flops(record, "initialize") + part * _flops(record, "finetune") for record in records])
    before = mean([_flops(record, "ancestors", "prepare") for record in records])
    return Saving(1 - target / spent, 1 - (target + before) / spent, reached is not None)


def _flops(record: Record, *phases: Phase) -> float:
    return sum(record.cost[phase].flops for phase in phases)
