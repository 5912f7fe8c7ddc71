"""Sweeps beside the default: each method at the setting that its trials on validation images select."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from learngene_bench.results.records.grouping import RowKey
from learngene_bench.results.records.sweeps import Choice, SweepCells, as_number, sweeps
from learngene_bench.results.records.types import Results
from learngene_bench.results.tables.metric_table import Entry, MethodRow, MetricTable


@dataclass(frozen=True)
class SweepTable:
    """One metric of a sweep.

    Attributes:
        cells: the trials.
        best: test results at what is selected.
        default: test results of the same rows where nothing is swept; None where they were not planned.
        choices: trials and selection of each row and column, by the row's key and the column's index in `best`.
    """

    cells: SweepCells
    best: MetricTable
    default: MetricTable | None
    choices: Mapping[tuple[RowKey, int], Choice]

    @property
    def trials(self) -> int:
        """Number of trials of every method."""
        return self.cells.sweep.trials

    @property
    def subtitle(self) -> str:
        """The setting that the trials are changes of, in words."""
        sweep = self.cells.sweep
        keys = " and ".join(self.cells.keys)
        return f"{sweep.of_description}, {sweep.trials} trials of {keys} (sweep {sweep.address[:8]})"

    def default_entry(self, row: MethodRow, index: int) -> Entry | None:
        """Returns the entry of a row of `best` in the table of the default; None where there is none."""
        if self.default is None:
            return None
        place = next((n for n, column in enumerate(self.default.columns) if column.key == self.column(index)), None)
        found = next((other for other in self.default.rows if other.key == row.key), None)
        return None if found is None or place is None else found.entries[place]

    def column(self, index: int) -> object:
        """Returns the key of a column of `best`."""
        return self.best.columns[index].key

    def keys_of(self, row: MethodRow) -> tuple[str, ...]:
        """Returns the settings that differ between the trials of a row."""
        own = [
            dict(trial.settings)
            for (key, _), choice in self.choices.items()
            if key == row.key
            for trial in choice.trials
        ]
        return tuple(key for key in self.cells.keys if any(key in settings for settings in own))

    def is_swept(self, row: MethodRow, index: int) -> bool:
        """Returns False where all trials are one cell, as the row does not depend on what is swept."""
        choice = self.choices.get((row.key, index))
        if choice is None:
            return True
        cells = [tuple(cell.address for cell in trial.cells.values()) for trial in choice.trials]
        return len(set(cells)) > 1 or len(cells) < 2

    @property
    def values(self) -> list[str] | None:
        """The values in ascending order, if one setting with a list of values is swept for all; else None."""
        swept = self.cells.sweep.swept
        found = {trial.settings for choice in self.choices.values() for trial in choice.trials}
        if len(swept) != 1 or self.cells.sweep.trial_seed is not None or any(len(settings) != 1 for settings in found):
            return None
        texts = list({settings[0][1] for settings in found})
        return sorted(texts, key=lambda text: (as_number(text) is None, as_number(text) or 0.0, text))


def sweep_tables(tables: Sequence[MetricTable], results: Results) -> list[SweepTable]:
    """Returns the sweeps behind those of the tables that show methods at their best.

    Args:
        tables: tables of a metric after fine-tuning.
    """
    found: dict[tuple[str, str, str, int], SweepCells] = {
        (s.sweep.address, s.plan.grid, s.plan.axis, s.plan.protocol): s for s in sweeps(results.manifests)
    }
    made = []
    for best in tables:
        source = best.source
        if source.best_of is None:
            continue
        cells = found[source.best_of.address, source.name, source.axis, source.protocol]
        default = next((other for other in tables if source.is_best_of(other.source)), None)
        places = dict.fromkeys(cells.places())
        choices = {
            (row.key, index): cells.choice((row.key, column.key), results)
            for row in best.rows
            for index, column in enumerate(best.columns)
            if (row.key, column.key) in places
        }
        made.append(SweepTable(cells, best, default, choices))
    return made
