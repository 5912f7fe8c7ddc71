"""Computes what the predictions of methods have in common, and their calibration, at every column of a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from learngene_bench.results.records.predictions import KeptPredictions, predictions_of
from learngene_bench.results.records.types import Results
from learngene_bench.results.statistics.paired import Interval, mean
from learngene_bench.results.statistics.predictions import (
    Calibration,
    Overlap,
    bootstrap_mean,
    by_thing,
    calibration,
    overlap,
    sign_flip_p,
)
from learngene_bench.results.statistics.testing import holm
from learngene_bench.results.tables.metric_table import MethodRow, MetricTable
from learngene_bench.util.errors import DamagedFile
from learngene_bench.util.lazy import np


@dataclass(frozen=True)
class RowPredictions:
    """Predictions of the models of one row in one column.

    Attributes:
        by_seed: predictions by seed, of the seeds that have any.
        expected: number of planned seeds.
        problems: what is wrong with files, in lines.
    """

    row: MethodRow
    by_seed: Mapping[int, KeptPredictions]
    expected: int
    problems: tuple[str, ...] = ()

    def calibrations(self) -> dict[int, Calibration]:
        """Returns the calibration of the model of each seed whose confidences are numbers."""
        found = {seed: kept.predictions for seed, kept in self.by_seed.items()}
        return {
            seed: calibration(one.confidence, one.right)
            for seed, one in found.items()
            if np.isfinite(one.confidence).all()
        }


@dataclass(frozen=True)
class Pair:
    """Two rows and their predictions for the same images.

    Attributes:
        by_seed: overlap of the two models of each seed.
        difference: accuracy of the first minus that of the second, percentage points, mean over seeds.
        interval: 95 % interval of the difference, over other test images.
        p: p of the exact test that no image is told from another by which of the two models is right.
        corrected: the same by Holm over all pairs of the column.
        images, things: numbers of images, and of the things that they show.
    """

    first: MethodRow
    second: MethodRow
    by_seed: Mapping[int, Overlap]
    difference: float
    interval: Interval
    p: float
    corrected: float
    images: int
    things: int

    @property
    def overlap(self) -> Overlap:
        """The mean over seeds."""
        return Overlap(*(mean(shares) for shares in zip(*self.by_seed.values(), strict=True)))


@dataclass(frozen=True)
class ColumnPairs:
    """The rows of one column with predictions, and all pairs of them.

    Attributes:
        rows: rows of the column by what is known of them, also those without predictions.
        pairs: of rows that share seeds and images.
    """

    table: MetricTable
    index: int
    rows: tuple[RowPredictions, ...]
    pairs: tuple[Pair, ...]

    @property
    def best(self) -> RowPredictions:
        """The row with the best mean of the table's metric among those of the pairs."""
        paired = {label for pair in self.pairs for label in (pair.first.label, pair.second.label)}
        rows = [one for one in self.rows if one.row.label in paired]
        sign = self.table.measure.sign
        return max(rows, key=lambda one: sign * (one.row.entries[self.index].mean or -sign * np.inf))

    def of_best(self) -> list[tuple[RowPredictions, Pair | None]]:
        """Returns every other row with its pair with the best; None where they have no seed or image in common."""
        best = self.best.row
        found = {(pair.first.label, pair.second.label): pair for pair in self.pairs}
        others = [one for one in self.rows if one.row is not best]
        return [(one, self._turned(found, best, one.row)) for one in others]

    @staticmethod
    def _turned(found: Mapping[tuple[str, str], Pair], first: MethodRow, second: MethodRow) -> Pair | None:
        """The pair in this order."""
        if pair := found.get((first.label, second.label)):
            return pair
        pair = found.get((second.label, first.label))
        return pair and turned(pair)


def turned(pair: Pair) -> Pair:
    """Returns the same pair with its second row first."""
    return replace(
        pair,
        first=pair.second,
        second=pair.first,
        by_seed={
            seed: one._replace(only_first=one.only_second, only_second=one.only_first)
            for seed, one in pair.by_seed.items()
        },
        difference=-pair.difference,
        interval=Interval(-pair.interval.upper, -pair.interval.lower),
    )


def row_predictions(table: MetricTable, row: MethodRow, index: int, results: Results) -> RowPredictions:
    """Reads the predictions of a row in one column; a damaged file is a line, and its seed is left out."""
    found: dict[int, KeptPredictions] = {}
    problems = []
    cells = table.cells(row, index)
    for seed, cell in cells.items():
        record = results.records.get(cell.folder)
        try:
            kept = predictions_of(record) if record else None
        except DamagedFile as error:
            problems.append(str(error))
            continue
        if kept:
            found[seed] = kept
    return RowPredictions(row, found, len(cells), tuple(problems))


def column_predictions(table: MetricTable, results: Results) -> list[list[RowPredictions]]:
    """Reads the predictions of every row in every column in which anything of the row is planned."""
    return [
        [row_predictions(table, row, index, results) for row in table.rows_in([index])]
        for index in range(len(table.columns))
    ]


def column_pairs(table: MetricTable, index: int, rows: Sequence[RowPredictions]) -> ColumnPairs:
    """Compares the predictions of every two rows of a column, seed by seed."""
    pairs = []
    for first, second in combinations([one for one in rows if one.by_seed], 2):
        seeds = sorted(first.by_seed.keys() & second.by_seed.keys())
        if seeds and all(_same_images(first.by_seed[seed], second.by_seed[seed]) for seed in seeds):
            pairs.append(_pair(first, second, seeds))
    corrected = holm([pair.p for pair in pairs])
    pairs = [replace(pair, corrected=value) for pair, value in zip(pairs, corrected, strict=True)]
    return ColumnPairs(table, index, tuple(rows), tuple(pairs))


def _same_images(first: KeptPredictions, second: KeptPredictions) -> bool:
    same = np.array_equal(first.predictions.label, second.predictions.label)
    return bool(same) and first.evaluation == second.evaluation


def _pair(first: RowPredictions, second: RowPredictions, seeds: Sequence[int]) -> Pair:
    both = {seed: (first.by_seed[seed].predictions, second.by_seed[seed].predictions) for seed in seeds}
    by_seed = {seed: overlap(mine.predicted, other.predicted, mine.label) for seed, (mine, other) in both.items()}
    evaluation = first.by_seed[seeds[0]].evaluation
    more = np.sum([mine.right.astype(np.int64) - other.right for mine, other in both.values()], axis=0)
    sums = by_thing(more, evaluation.views)
    shares = 100 * sums / (len(seeds) * evaluation.views)
    p = sign_flip_p(sums)
    return Pair(
        first=first.row,
        second=second.row,
        by_seed=by_seed,
        difference=float(shares.mean()),
        interval=bootstrap_mean(shares),
        p=p,
        corrected=p,
        images=evaluation.images,
        things=len(sums),
    )
