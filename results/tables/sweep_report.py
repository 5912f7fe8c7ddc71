"""Prints sweeps: each method at the default and at its best, how wide its plateau is, and all trials."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from learngene_bench.results.records.sweeps import Choice, Trial, as_number, words
from learngene_bench.results.records.types import Results
from learngene_bench.results.tables.measure import Measure
from learngene_bench.results.tables.metric_report import entry_cell
from learngene_bench.results.tables.metric_table import Entry, MethodRow, MetricTable
from learngene_bench.results.tables.notes import legend
from learngene_bench.results.tables.numbers import plural
from learngene_bench.results.tables.report_table import (
    NOTHING,
    Footnotes,
    ReportCell,
    ReportColumn,
    ReportTable,
    slug,
)
from learngene_bench.results.tables.sweep import SweepTable, sweep_tables

_SETTING, _PLATEAU = 1, 2
"""Priorities: the plateau is left out first where there is no room, then the settings."""

_SHORTEN = 24
"""Letters of the settings of a trial that stand in a table; a footnote has longer ones."""


def sweep_reports(tables: Sequence[MetricTable], results: Results) -> list[ReportTable]:
    """Returns two tables for every size of every sweep: what is selected on test images, and the trials."""
    reports = []
    for sweep in sweep_tables(tables, results):
        for size, indices in sweep.best.sizes().items():
            reports.append(_selected(sweep, size, indices))
            reports.append(_trials(sweep, size, indices))
    return reports


def _selected(sweep: SweepTable, size: str, indices: range) -> ReportTable:
    best, footnotes = sweep.best, Footnotes()
    better = best.measure.spec.higher_is_better
    labels = [best.columns[index].label for index in indices]
    keys = " and ".join(key.rpartition(".")[2] for key in sweep.cells.keys)
    rows = list(best.rows_in(indices))
    return ReportTable(
        kind="sweep",
        name=slug("sweep", best.slug, size),
        title=f"{best.measure.title}, at the default and at its best of {sweep.trials} trials, by {best.axis}",
        subtitle=best.subtitle,
        identity={**best.identity, "size": size},
        corner=size,
        columns=(
            *(ReportColumn(label, "At the default", higher_is_better=better) for label in labels),
            *(ReportColumn(label, "At its best", higher_is_better=better) for label in labels),
            *(ReportColumn(label, f"Selected {keys}", priority=_SETTING) for label in labels),
            *(ReportColumn(label, "Plateau", priority=_PLATEAU) for label in labels),
        ),
        rows=tuple(row.report_row(_selected_cells(sweep, row, indices, footnotes)) for row in rows),
        conclusions=tuple(_conclusions(sweep, rows, indices)),
        notes=tuple(_selected_notes(sweep)),
        legend=_legend(sweep),
        footnotes=footnotes.texts,
        data=tuple(_selected_data(sweep, row, index) for row in rows for index in indices),
    )


def _legend(sweep: SweepTable) -> dict[Any, str]:
    return {**(legend(sweep.default) if sweep.default else {}), **legend(sweep.best)}


def _selected_cells(sweep: SweepTable, row: MethodRow, indices: range, footnotes: Footnotes) -> Iterator[ReportCell]:
    for index in indices:
        entry = sweep.default_entry(row, index)
        yield ReportCell("") if entry is None else entry_cell(sweep.best.measure, entry)
    for index in indices:
        addresses = tuple(cell.address for cell in sweep.best.cells(row, index).values())
        texts = (sweep.best.footnotes[n - 1] for n in row.entries[index].footnotes)
        yield entry_cell(sweep.best.measure, row.entries[index], tuple(map(footnotes.number, texts)), addresses)
    for index in indices:
        yield _setting(sweep, row, index, footnotes)
    for index in indices:
        choice = sweep.choices.get((row.key, index))
        plateau = choice.plateau if choice else None
        is_number = plateau is not None and sweep.is_swept(row, index)
        yield ReportCell(f"{len(plateau or ())} of {sweep.trials}" if is_number else NOTHING)


def _setting(sweep: SweepTable, row: MethodRow, index: int, footnotes: Footnotes) -> ReportCell:
    choice = sweep.choices.get((row.key, index))
    if choice is None or choice.selected is None:
        return ReportCell(NOTHING)
    if not sweep.is_swept(row, index):
        return ReportCell(NOTHING, footnotes=(footnotes.number("does not depend on what is swept"),))
    settings = choice.selected.settings
    value = as_number(settings[0][1]) if len(settings) == 1 else None
    text = ", ".join(value for _, value in settings)
    notes = [footnotes.number(words(settings))] if len(text) > _SHORTEN else []
    for key, end in _borders(sweep, row, index):
        notes.append(footnotes.number(f"the {end} {key} that was tried: the best may lie beyond"))
    return ReportCell(text if len(text) <= _SHORTEN else f"{text[:_SHORTEN]}...", value, footnotes=tuple(notes))


def _borders(sweep: SweepTable, row: MethodRow, index: int) -> list[tuple[str, str]]:
    """Returns the swept settings whose selected value is the lowest or the highest one tried."""
    choice = sweep.choices.get((row.key, index))
    if choice is None or not sweep.is_swept(row, index):
        return []
    return [(key, end) for key in sweep.keys_of(row) if (end := choice.border(key))]


def _conclusions(sweep: SweepTable, rows: Sequence[MethodRow], indices: range) -> Iterator[str]:
    measure, axis = sweep.best.measure, sweep.best.axis
    compared = [row for row in rows if not row.is_reference]
    for index in indices:
        where = f"{'' if axis == 'task' else f'{axis} '}{sweep.best.columns[index].label}"
        before = {row.label: entry for row in compared if (entry := sweep.default_entry(row, index))}
        after = {row.label: row.entries[index] for row in compared}
        waiting = any(label in before and before[label].state != after[label].state for label in after)
        if waiting or not (_is_complete(before.values()) and _is_complete(after.values())):
            continue
        first, second = (_leader(entries, measure) for entries in (before, after))
        lead = f"At {where}, {first} is first at the default ({_mean(before, first, measure)})"
        if first == second:
            yield f"{lead}, and at each method's best ({_mean(after, second, measure)})."
        else:
            own = f"; {first}: {_mean(after, first, measure)}"
            yield f"{lead}, {second} at each method's best ({_mean(after, second, measure)}{own})."
    if listed := "; ".join(_on_the_border(sweep, rows, indices)):
        yield f"On the border of what was tried, so that the best may lie beyond: {listed}."


def _is_complete(entries: Iterable[Entry]) -> bool:
    """Returns whether two rows or more, and all that are planned, have a mean."""
    planned = [entry for entry in entries if entry.state not in ("dash", "not planned")]
    return len(planned) > 1 and all(entry.mean is not None for entry in planned)


def _leader(entries: Mapping[str, Entry], measure: Measure) -> str:
    means = {label: entry.mean for label, entry in entries.items() if entry.mean is not None}
    return max(means, key=lambda label: measure.sign * means[label])


def _mean(entries: Mapping[str, Entry], label: str, measure: Measure) -> str:
    found = entries[label].mean if label in entries else None
    return NOTHING if found is None else measure.text(found)


def _on_the_border(sweep: SweepTable, rows: Sequence[MethodRow], indices: range) -> Iterator[str]:
    for row in rows:
        ends = {index: _borders(sweep, row, index) for index in indices}
        for key, end in dict.fromkeys(border for borders in ends.values() for border in borders):
            there = sweep.best.labels(index for index in indices if (key, end) in ends[index])
            yield f"{row.label}, {end} {key} at {there}"


def _selected_notes(sweep: SweepTable) -> Iterator[str]:
    cells = sweep.cells.sweep
    listed = "; ".join(f"{swept.key}={swept.values}" for swept in cells.swept)
    drawn = "" if cells.trial_seed is None else f", drawn at random with seed {cells.trial_seed}"
    yield (
        f"Trials: {cells.trials} of each method{drawn} ({listed}). Selected: for each method and {sweep.best.axis} the "
        "trial with the best mean over the seeds on validation images; test images are measured at the default and at "
        "what is selected, never at another trial."
    )
    yield (
        "Plateau: trials whose mean on validation images is within one standard deviation (over the seeds) of the "
        "selected one's, itself included. One trial: a narrow peak; all of them: the setting hardly matters."
    )


def _selected_data(sweep: SweepTable, row: MethodRow, index: int) -> dict[str, Any]:
    entry, default = row.entries[index], sweep.default_entry(row, index)
    choice = sweep.choices.get((row.key, index), Choice((), None))
    selected, plateau = choice.selected, choice.plateau
    return {
        "column": sweep.best.columns[index].label,
        **row.facts,
        "default": default and default.mean,
        "default_sd": default and default.standard_deviation,
        "best": entry.mean,
        "best_sd": entry.standard_deviation,
        "seeds": len(entry.values),
        "selected": selected and words(selected.settings),
        "validation": selected and selected.mean,
        "trials": sweep.trials,
        "plateau": None if plateau is None else len(plateau),
        "plateau_settings": None if plateau is None else "; ".join(words(trial.settings) for trial in plateau),
        "border": "; ".join(f"{end} {key}" for key, end in _borders(sweep, row, index)),
    }


def _trials(sweep: SweepTable, size: str, indices: range) -> ReportTable:
    best = sweep.best
    better = best.measure.spec.higher_is_better
    values = sweep.values
    heads = values if values is not None else ["worst", "median", "selected"]
    rows = list(best.rows_in(indices))
    by = f" by {sweep.cells.keys[0]}" if values is not None else ""
    return ReportTable(
        kind="trials",
        name=slug("trials", best.slug, size),
        title=f"Trials on validation images: {_spec_title(sweep)} after fine-tuning{by}",
        subtitle=sweep.subtitle,
        identity={**best.identity, "size": size},
        corner=size,
        columns=tuple(
            ReportColumn(head, best.labels([index]), higher_is_better=better) for index in indices for head in heads
        ),
        rows=tuple(
            row.report_row(cell for index in indices for cell in _trial_cells(sweep, row, index, heads)) for row in rows
        ),
        notes=tuple(_trial_notes(sweep)),
        legend={"best": "selected"},
        data=tuple(data for row in rows for index in indices for data in _trial_data(sweep, row, index)),
    )


def _trial_notes(sweep: SweepTable) -> Iterator[str]:
    yield (
        "Mean over the seeds of the primary metric on validation images, which no number of another table is measured "
        "on; k/n: only k of n seeds have a result."
    )
    if sweep.values is None:
        yield f"Of {plural(sweep.trials, 'trial')}, the worst, the median and the selected one; the CSV has all."


def _spec_title(sweep: SweepTable) -> str:
    specs = [trial.spec for choice in sweep.choices.values() for trial in choice.trials if trial.spec]
    spec = specs[0] if specs else sweep.best.measure.spec
    return f"{spec.title} ({spec.unit})" if spec.unit else spec.title


def _trial_cells(sweep: SweepTable, row: MethodRow, index: int, heads: Sequence[str]) -> Iterator[ReportCell]:
    choice = sweep.choices.get((row.key, index))
    if choice is None:
        yield from [ReportCell(NOTHING)] * len(heads)
        return
    if sweep.values is not None:
        found: dict[str, Trial | None] = {trial.settings[0][1]: trial for trial in choice.trials}
    else:
        done = sorted((trial for trial in choice.trials if trial.state == "done"), key=lambda trial: trial.merit)
        middle = done[(len(done) - 1) // 2] if done else None
        found = {"worst": done[0] if done else None, "median": middle, "selected": choice.selected}
    for head in heads:
        trial = found.get(head)
        if trial is None:
            yield ReportCell(NOTHING)
        elif trial.mean is None or trial.spec is None:
            yield ReportCell(f"{len(trial.values)}/{len(trial.cells)}")
        else:
            decimals, spread = trial.spec.decimals, trial.standard_deviation
            yield ReportCell(
                f"{trial.mean:.{decimals}f}",
                trial.mean,
                spread,
                "" if spread is None else f"{spread:.{decimals}f}",
                "best" if trial is choice.selected and sweep.is_swept(row, index) else "",
                addresses=tuple(cell.address for cell in trial.cells.values()),
            )


def _trial_data(sweep: SweepTable, row: MethodRow, index: int) -> Iterator[dict[str, Any]]:
    choice = sweep.choices.get((row.key, index))
    for trial in choice.trials if choice else ():
        yield {
            "column": sweep.best.columns[index].label,
            **row.facts,
            "trial": words(trial.settings),
            "state": trial.state,
            "validation": trial.mean,
            "validation_sd": trial.standard_deviation,
            "seeds": len(trial.values),
            "selected": choice is not None and trial is choice.selected,
            "on_plateau": choice is not None and trial in (choice.plateau or ()),
        }
