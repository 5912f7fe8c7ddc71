"""Computes the speed-up over pre-training (the WAVE paper, C.2): its epochs over those a method needs to be as good.

Epochs that a method needs can be counted in three ways, each with those of the one before: the epochs of fine-tuning;
those that it trains while initializing; and its share of the epochs that prepared its gene, which all targets of a size
that inherit from it bear alike. The teacher behind a gene is left to the cost table, as in the paper.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from learngene_bench.results.records.grouping import RowKey
from learngene_bench.results.statistics.paired import mean
from learngene_bench.results.tables.learning import MethodCurves, SizeCurves
from learngene_bench.results.tables.metric_table import MethodRow

COUNTS = ("finetuning", "initialize", "gene")
"""Epochs that are counted, each with those before it."""


@dataclass(frozen=True)
class SpeedUp:
    """Speed of one method on one target, compared with pre-training.

    Attributes:
        reference_epochs: epochs of pre-training, and of fine-tuning its result, if it was fine-tuned.
        to_reach: epochs of fine-tuning to the result of pre-training; None if it is not reached within the `last`.
        last: epochs of the whole fine-tuning.
        others: epochs by what is counted, without those of fine-tuning. Those of the gene are missing where not all
            targets of the size are done, because nobody can tell then how many share it.
    """

    reference_epochs: float
    to_reach: float | None
    last: float
    others: Mapping[str, float]

    def needed(self, count: str, finetuning: float) -> float | None:
        """Returns the epochs in all, with so many of fine-tuning; None where they are not known."""
        parts = COUNTS[1 : COUNTS.index(count) + 1]
        if not self.others.keys() >= set(parts):
            return None
        return finetuning + math.fsum(self.others[part] for part in parts)

    def factor(self, count: str) -> float | None:
        """Returns the speed-up, infinite where no epoch is needed; None where the result is not reached."""
        return None if self.to_reach is None else self._over(count, self.to_reach)

    def bound(self, count: str) -> float | None:
        """Returns an upper bound of the speed-up, for results that are not reached."""
        return self._over(count, self.last)

    def _over(self, count: str, finetuning: float) -> float | None:
        needed = self.needed(count, finetuning)
        if needed is None:
            return None
        return self.reference_epochs / needed if needed else math.inf


def speed_reference(curves: SizeCurves) -> MethodRow | None:
    """Returns pre-training; None where it is no reference, and for tasks, whose epochs are of different images."""
    rows = [row for row in curves.references if row.is_reference]
    return rows[0] if rows and curves.table.axis != "task" else None


def speed_ups(curves: SizeCurves) -> dict[tuple[RowKey, int], SpeedUp]:
    """Computes the speed-ups by key of the row and index of the column, where both that and the reference are done."""
    reference = speed_reference(curves)
    if reference is None:
        return {}
    (trained,) = [method for method in curves.rows if method.row is reference]
    return {
        (method.row.key, index): speed_up
        for method in curves.rows
        for index in method.curves
        if method is not trained and (speed_up := _speed_up(curves, trained, method, index)) is not None
    }


def _speed_up(curves: SizeCurves, trained: MethodCurves, method: MethodCurves, index: int) -> SpeedUp | None:
    goal, curve = trained.row.entries[index].mean, method.curves[index]
    if goal is None or index not in trained.curves or curve.last == 0:
        return None
    records = trained.records[index].values()
    epochs = mean([record.cost.ancestors.epochs + record.cost.finetune.epochs for record in records])
    others = {"initialize": mean([record.cost.initialize.epochs for record in method.records[index].values()])}
    if len(method.curves) == len(method.planned(curves.indices)):
        others["gene"] = _gene_share(method, index)
    return SpeedUp(epochs, curve.epochs_to_reach(goal), curve.last, others)


def _gene_share(method: MethodCurves, index: int) -> float:
    """Epochs of preparing the gene over the targets that share it; mean over the seeds."""
    shares = []
    for seed, record in method.records[index].items():
        others = (records.get(seed) for records in method.records.values())
        sharing = sum(other is not None and other.gene == record.gene for other in others)
        shares.append(record.cost.prepare.epochs / sharing if record.gene else 0.0)
    return mean(shares)
