"""Sweeps: the trials of every row and column on validation images, and what is selected by them.

The selection is computed anew from the records of the trials each time, by `lgbench run` before it measures on test
images and by every report; nothing stores it. Only records on validation images take part in it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from learngene_bench.results.records.grouping import CellKey, TableCells, merged
from learngene_bench.results.records.types import Record, Results
from learngene_bench.results.statistics.paired import mean, standard_deviation
from learngene_bench.schema.manifest import Manifest
from learngene_bench.schema.metric import MetricSpec
from learngene_bench.schema.record import Failure
from learngene_bench.schema.subject import EqualBudget, PlannedCell, Subject, UnsupportedSubject
from learngene_bench.schema.sweep import Role, Sweep
from learngene_bench.util.errors import DamagedFile

TrialSettings = tuple[tuple[str, str], ...]
"""Keys and values of a trial, sorted by key."""

TrialState = Literal["done", "unusable", "pending"]


@dataclass(frozen=True)
class Trial:
    """One trial of a row in a column: cells of all seeds on validation images.

    Attributes:
        settings: what sets it apart from the other trials.
        cells: its cells by seed.
        state: "unusable" cannot be selected, as some seed failed or gave no number; "pending" has seeds to be computed.
        values: the primary metric by seed, where there is a usable one.
        spec: description of the metric; None where no seed is done.
    """

    settings: TrialSettings
    cells: Mapping[int, PlannedCell]
    state: TrialState
    values: Mapping[int, float]
    spec: MetricSpec | None

    @property
    def mean(self) -> float | None:
        """Mean over seeds; None unless all are there."""
        return mean(list(self.values.values())) if self.state == "done" else None

    @property
    def standard_deviation(self) -> float | None:
        """Standard deviation over seeds, with n - 1; None with a single one."""
        several = self.state == "done" and len(self.values) > 1
        return standard_deviation(list(self.values.values())) if several else None

    @property
    def merit(self) -> float:
        """The mean, with the sign that makes a higher one better."""
        assert self.spec is not None
        assert self.mean is not None
        return self.mean if self.spec.higher_is_better else -self.mean


@dataclass(frozen=True)
class Choice:
    """All trials of a row in a column, and what is selected.

    Attributes:
        trials: in the order of their values.
        selected: the trial with the best mean over the seeds, of equal ones the first; None while trials are pending,
            or if no trial is usable.
        reason: why none is selected.
    """

    trials: tuple[Trial, ...]
    selected: Trial | None
    reason: str = ""

    @property
    def plateau(self) -> tuple[Trial, ...] | None:
        """Trials within one standard deviation of the selected one, itself included; None with a single seed."""
        if self.selected is None or self.selected.standard_deviation is None:
            return None
        least = self.selected.merit - self.selected.standard_deviation
        return tuple(trial for trial in self.trials if trial.state == "done" and trial.merit >= least)

    def border(self, key: str) -> Literal["", "lowest", "highest"]:
        """Says if the selected value of a setting is the lowest or highest of those tried; only numbers have ends."""
        if self.selected is None:
            return ""
        numbers = {dict(trial.settings).get(key): as_number(dict(trial.settings).get(key)) for trial in self.trials}
        values = {value for value in numbers.values() if value is not None}
        chosen = numbers[dict(self.selected.settings).get(key)]
        if chosen is None or len(values) < max(2, len(numbers)):
            return ""
        return "lowest" if chosen == min(values) else "highest" if chosen == max(values) else ""


@dataclass(frozen=True)
class SweepCells:
    """The cells of a sweep on one grid.

    Attributes:
        sweep: of its newest plan, rows apart.
        plan: its newest plan of trials.
        trials: cells on validation images by their settings; rows have the variants of the default.
        selected: cells on test images likewise, of all that was ever selected.
    """

    sweep: Sweep
    plan: Manifest
    trials: Mapping[TrialSettings, TableCells]
    selected: Mapping[TrialSettings, TableCells] = field(default_factory=dict)

    @property
    def keys(self) -> tuple[str, ...]:
        """The swept settings."""
        return tuple(swept.key for swept in self.sweep.swept)

    @property
    def tables(self) -> list[TableCells]:
        """All cells, as tables."""
        return [*self.trials.values(), *self.selected.values()]

    def places(self) -> list[CellKey]:
        """Lists the rows and columns that have trials."""
        return list(dict.fromkeys(place for table in self.trials.values() for place in table.cells))

    def choice(self, place: CellKey, results: Results) -> Choice:
        """Selects a trial of a row in a column, by the records of validation images alone."""
        tables = {settings: table for settings, table in self.trials.items() if place in table.cells}
        trials = [_trial(settings, tables[settings].cells[place], results) for settings in sorted(tables, key=_order)]
        seeds = {seed for trial in trials for seed in trial.cells}
        trials = [trial if trial.cells.keys() == seeds else replace(trial, state="pending") for trial in trials]
        done = [trial for trial in trials if trial.state == "done"]
        finished = sum(trial.state != "pending" for trial in trials)
        if finished < self.sweep.trials:
            reason = f"nothing is selected yet: {finished} of {self.sweep.trials} trials on validation images are done"
            return Choice(tuple(trials), None, reason)
        if not done:
            return Choice(tuple(trials), None, f"no trial of {self.sweep.trials} gave a usable number")
        return Choice(tuple(trials), max(done, key=lambda trial: trial.merit))

    def best(self, results: Results) -> TableCells:
        """Returns the table of the test cells of what is selected, which is one more table of the grid."""
        cells: list[PlannedCell] = []
        waiting = list(next(iter(self.trials.values())).dashes.values()) if self.trials else []
        for place in self.places():
            choice = self.choice(place, results)
            if choice.selected is None:
                waiting.append(_waiting(next(iter(choice.trials[0].cells.values())), choice.reason))
                continue
            table = self.selected.get(choice.selected.settings)
            measured = table.cells.get(place, {}) if table else {}
            found = [measured[seed] for seed in choice.selected.cells if seed in measured]
            if len(found) < len(choice.selected.cells):
                first = next(iter(choice.selected.cells.values()))
                reason = f"selected ({words(choice.selected.settings)}), not planned on test images yet: run again"
                waiting.append(_waiting(first, reason))
            else:
                cells += found
        keys = " and ".join(self.keys)
        described = f"{self.sweep.of_description}, each method at its best of {self.sweep.trials} trials of {keys}"
        budget = self.plan.equal_budget
        made = merged(
            [
                self.plan.model_copy(
                    update={
                        "setting": self.sweep.address,
                        "setting_description": described,
                        "cells": tuple(cells),
                        "unsupported": tuple(waiting),
                        "methods": tuple(dict.fromkeys(m for table in self.trials.values() for m in table.methods)),
                        "equal_budget": budget
                        and self.sweep.ordinary
                        and EqualBudget(images=budget.amount, of=self.sweep.ordinary),
                    }
                )
            ]
        )
        made.best_of = self.sweep
        return made


def sweeps(manifests: Iterable[Manifest]) -> list[SweepCells]:
    """Returns one for each protocol, sweep and grid, the oldest first.

    Args:
        manifests: from old to new; those that are no part of a sweep are passed over.
    """
    together: dict[tuple[object, ...], list[Manifest]] = {}
    for manifest in manifests:
        if manifest.sweep:
            key = manifest.protocol, manifest.sweep.address, manifest.grid, manifest.axis
            together.setdefault(key, []).append(manifest)
    return [_cells_of(found) for found in together.values()]


def words(settings: TrialSettings) -> str:
    """Prints the settings of a trial, as one types them."""
    return ", ".join(f"{key}={value}" for key, value in settings)


def as_number(text: str | None) -> float | None:
    """Returns the number that a value is; None for other values."""
    try:
        return float(text or "")
    except ValueError:
        return None


def _cells_of(manifests: Sequence[Manifest]) -> SweepCells:
    trials = [manifest for manifest in manifests if manifest.sweep and manifest.sweep.role == "trials"]
    newest = (trials or manifests)[-1]
    assert newest.sweep is not None
    return SweepCells(newest.sweep, newest, _by_trial(manifests, "trials"), _by_trial(manifests, "selected"))


def _by_trial(manifests: Iterable[Manifest], role: Role) -> dict[TrialSettings, TableCells]:
    """Returns the cells of plans of one role by their trials, as rows of the default."""
    together: dict[TrialSettings, list[Manifest]] = {}
    for manifest in manifests:
        if manifest.sweep is None or manifest.sweep.role != role:
            continue
        for settings, update in _split(manifest, manifest.sweep).items():
            together.setdefault(settings, []).append(manifest.model_copy(update=update))
    return {settings: merged(found) for settings, found in together.items()}


def _split(manifest: Manifest, sweep: Sweep) -> dict[TrialSettings, dict[str, tuple[Subject, ...]]]:
    """Splits a plan into its trials: cells and cells that cannot exist, with the variants of the default."""
    rows = {(row.method, row.variant, row.size): row for row in sweep.rows}
    found: dict[TrialSettings, dict[str, tuple[Subject, ...]]] = {}
    for name, subjects in (("cells", manifest.cells), ("unsupported", manifest.unsupported)):
        for subject in subjects:
            row = rows.get((subject.method, subject.variant, subject.size))
            if row is None:
                raise DamagedFile(f"plans/{manifest.file_name} does not say which trial {subject.method} is: delete it")
            parts = found.setdefault(tuple(sorted(row.trial.items())), {"cells": (), "unsupported": ()})
            parts[name] += (subject.model_copy(update={"variant": row.default}),)
    return found


def _trial(settings: TrialSettings, cells: Mapping[int, PlannedCell], results: Results) -> Trial:
    outcomes = {seed: results.outcome(cell) for seed, cell in sorted(cells.items())}
    values: dict[int, float] = {}
    spec = None
    states: set[TrialState] = set()
    for seed, outcome in outcomes.items():
        if isinstance(outcome, Record):
            if outcome.result.evaluation.split != "validation":
                raise DamagedFile(f"{outcome.path}: a trial that was not measured on validation images")
            spec = outcome.result.metric_specs[outcome.result.primary_metric]
            value = outcome.metrics[spec.name]
            if math.isfinite(value) and spec.holds(value):
                values[seed] = value
            else:
                states.add("unusable")
        else:
            # What died may be tried again, and is by the next run.
            failed = isinstance(outcome, Failure) and not outcome.died
            states.add("unusable" if failed else "pending")
    state: TrialState = "pending" if "pending" in states else "unusable" if states else "done"
    return Trial(settings, dict(sorted(cells.items())), state, values, spec)


def _order(settings: TrialSettings) -> tuple[tuple[bool, float, str], ...]:
    """Orders trials by their values, numbers by their size."""
    numbers = [(as_number(value), value) for _, value in settings]
    return tuple((True, 0.0, text) if number is None else (False, number, "") for number, text in numbers)


def _waiting(cell: PlannedCell, reason: str) -> UnsupportedSubject:
    """Returns the dash of a row in a column for which there is no number yet."""
    own = {name: getattr(cell, name) for name in UnsupportedSubject.model_fields if name != "reason"}
    return UnsupportedSubject(**own, reason=reason)
