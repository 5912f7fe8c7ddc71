"""Speed-up over pre-training (the WAVE paper, C.2): how many times as many epochs direct pre-training takes as a method
needs to be as good.

What a method needs can be counted in three ways, each with what the one before has: the epochs that it tunes the
target; those that it trains while initializing it; and its share of the epochs that prepared its gene, which all
targets of a size that inherit from it bear alike. The teacher behind a gene is left to the cost table, as in the paper.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from learngene_bench.results.records.selection import RowKey
from learngene_bench.results.statistics.paired import mean
from learngene_bench.results.tables.instinct import InstinctTable, Learning
from learngene_bench.results.tables.table import Row

REFERENCE = "direct-pt"

COUNTS = ("tuning", "initialize", "gene")
"""What is counted, each with those before it."""


@dataclass(frozen=True)
class SpeedUp:
    """How fast a method is where direct pre-training ends, on one target.

    Attributes:
        reference_epochs: of pre-training, and of tuning what it gave, if it was tuned.
        to_reach: epochs of tuning to its accuracy; None if it is not reached within the `last`.
        own: epochs by what is counted, without those of tuning; the gene's are missing where not all targets of the
            size are done, as nobody can tell then how many share it.
    """

    reference_epochs: float
    to_reach: float | None
    last: float
    own: Mapping[str, float]

    def needed(self, count: str, tuning: float) -> float | None:
        """Epochs in all, with so many of tuning; None where they are not known."""
        parts = COUNTS[1 : COUNTS.index(count) + 1]
        return tuning + math.fsum(self.own[part] for part in parts) if self.own.keys() >= set(parts) else None

    def factor(self, count: str) -> float | None:
        """The speed-up, infinite where nothing needs to be trained; None where the accuracy is not reached."""
        return None if self.to_reach is None else self._over(count, self.to_reach)

    def bound(self, count: str) -> float | None:
        """What the speed-up is below, if the accuracy is not reached."""
        return self._over(count, self.last)

    def _over(self, count: str, tuning: float) -> float | None:
        needed = self.needed(count, tuning)
        if needed is None:
            return None
        return self.reference_epochs / needed if needed else math.inf


def reference_of(found: InstinctTable) -> Row | None:
    """Direct pre-training; None where there is none, and in a table of tasks, whose epochs are of different images."""
    rows = [row for row in found.references if row.method == REFERENCE]
    return rows[0] if rows and found.table.axis != "task" else None


def speed_ups(found: InstinctTable) -> dict[tuple[RowKey, int], SpeedUp]:
    """By key of the row and index of the column, where it and the reference are done; not of the reference itself."""
    reference = reference_of(found)
    if reference is None:
        return {}
    (trained,) = [learning for learning in found.rows if learning.row is reference]
    return {
        (learning.row.key, index): speed_up
        for learning in found.rows
        for index in learning.courses
        if learning is not trained and (speed_up := _speed_up(found, trained, learning, index)) is not None
    }


def _speed_up(found: InstinctTable, trained: Learning, learning: Learning, index: int) -> SpeedUp | None:
    goal, course = trained.row.entries[index].mean, learning.courses[index]
    if goal is None or index not in trained.courses or course.last == 0:
        return None
    records = trained.records[index].values()
    epochs = mean([record.cost.ancestors.epochs + record.cost.finetune.epochs for record in records])
    own = {"initialize": mean([record.cost["initialize"].epochs for record in learning.records[index].values()])}
    if len(learning.courses) == len(learning.planned(found.indices)):
        own["gene"] = _gene_share(learning, index)
    return SpeedUp(epochs, course.reaches(goal), course.last, own)


def _gene_share(learning: Learning, index: int) -> float:
    """Mean over the seeds."""
    shares = []
    for seed, record in learning.records[index].items():
        others = (records.get(seed) for records in learning.records.values())
        sharing = sum(other is not None and other.gene == record.gene for other in others)
        shares.append(record.cost["prepare"].epochs / sharing if record.gene else 0.0)
    return mean(shares)
