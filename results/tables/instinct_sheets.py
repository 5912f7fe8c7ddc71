"""Instinct and learning ability as sheets for every format."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from learngene_bench.results.records.selection import RowKey
from learngene_bench.results.records.types import Results
from learngene_bench.results.statistics.paired import mean, standard_deviation
from learngene_bench.results.tables.instinct import EARLY, InstinctTable, Learning, instinct_tables
from learngene_bench.results.tables.sheet import Heading, Line, Sheet
from learngene_bench.results.tables.speedup import COUNTS, SpeedUp, reference_of, speed_ups
from learngene_bench.results.tables.table import Row, slug
from learngene_bench.results.tables.wording import NOTHING, compact, on_axis, printed, superscript


def instinct_sheets(results: Results) -> list[Sheet]:
    """For every size of every table: accuracies by epoch, and the speed-up over pre-training, if that is there.

    The data of the first have both: a row is one target after one epoch.
    """
    sheets = []
    for found in instinct_tables(results):
        speeds = speed_ups(found)
        sheets.append(_sheet(found, speeds))
        if reference := reference_of(found):
            sheets.append(_speed_sheet(found, reference, speeds))
    return sheets


Speeds = Mapping[tuple[RowKey, int], SpeedUp]

_COUNT_TITLES = {"tuning": "Tuning alone", "initialize": "With init.", "gene": "With gene share"}


def _sheet(found: InstinctTable, speeds: Speeds) -> Sheet:
    table = found.table
    footnotes: dict[str, int] = {}
    lines = tuple(
        Line(learning.row.group, _label(found, learning, footnotes), tuple(_cells(found, learning)))
        for learning in found.rows
    )
    return Sheet(
        name="instinct",
        slug=slug("instinct", table.slug, found.size),
        title=f"Instinct: {table.title.replace('after tuning', 'in the first epochs')}",
        subtitle=table.subtitle,
        corner=Heading(found.size, ""),
        headings=(
            Heading("Init.", "epochs"),
            *(Heading("Epoch", f"{epoch:g}") for epoch in found.epochs),
            *([Heading("", "Final")] if found.last > EARLY else []),
            *(
                Heading(f"To {reference.label}", table.columns[index].label)
                for reference in found.references
                for index in found.indices
            ),
        ),
        lines=lines,
        findings=(),
        notes=tuple(_notes(found)),
        footnotes=tuple(footnotes),
        data=tuple(_data(found, speeds)),
    )


def _label(found: InstinctTable, learning: Learning, footnotes: dict[str, int]) -> str:
    planned = learning.planned(found.indices)
    if not planned or len(planned) == len(found.indices):
        return learning.row.label
    labels = [found.table.columns[index].label for index in planned]
    text = f"means over {on_axis(found.table.axis, labels)} only"
    return learning.row.label + superscript(footnotes.setdefault(text, len(footnotes) + 1))


def _cells(found: InstinctTable, learning: Learning) -> Iterator[str]:
    entries = [learning.row.entries[index] for index in learning.planned(found.indices)]
    done, expected = sum(len(entry.values) for entry in entries), sum(entry.expected for entry in entries)
    if done < expected or not expected:
        missing = f"{done}/{expected}" if expected else NOTHING
        yield from [missing] * (1 + len(found.epochs) + (found.last > EARLY))
    else:
        yield NOTHING if learning.initialize_epochs is None else compact(learning.initialize_epochs)
        for epoch in found.epochs:
            value = learning.mean_at(epoch, found.indices)
            yield "" if value is None else printed(value)
        if found.last > EARLY:
            finals = [entry.mean for entry in entries if entry.mean is not None]
            yield printed(mean(finals))
    for reference in found.references:
        for index in found.indices:
            yield _reaches(learning, reference, index)


def _reaches(learning: Learning, reference: Row, index: int) -> str:
    """After how many epochs of tuning one row is where another ends."""
    entry, goal = learning.row.entries[index], reference.entries[index].mean
    if entry.state == "not planned":
        return ""
    if index not in learning.courses:
        return NOTHING if entry.state == "dash" else f"{len(entry.values)}/{entry.expected}"
    course = learning.courses[index]
    if goal is None or course.last == 0:
        return NOTHING
    epochs = course.reaches(goal)
    return f">{round(course.last, 1):g}" if epochs is None else f"{round(epochs, 1):g}"


def _notes(found: InstinctTable) -> Iterator[str]:
    yield (
        "Epoch: top-1 accuracy (%) after so many epochs of tuning, 0 as initialized; mean over seeds and over the "
        "columns of the size. Init.: epochs that the method itself trains before that."
    )
    if found.references:
        names = " and ".join(f"to {reference.label}" for reference in found.references)
        yield (
            f"{names[0].upper()}{names[1:]}: the first epoch of tuning after which the mean over seeds is at least the "
            "mean with which that row ends at the same target; >n: not within the n epochs of tuning. It is not "
            "tested, and may be chance."
        )


def _speed_sheet(found: InstinctTable, reference: Row, speeds: Speeds) -> Sheet:
    table = found.table
    return Sheet(
        name="instinct",
        slug=slug("speedup", table.slug, found.size),
        title=f"Speed-up: epochs of {reference.label} over those to its accuracy, by {table.axis}",
        subtitle=table.subtitle,
        corner=Heading(found.size, ""),
        headings=tuple(
            Heading(_COUNT_TITLES[count], table.columns[index].label) for count in COUNTS for index in found.indices
        ),
        lines=tuple(
            Line(
                learning.row.group,
                learning.row.label,
                tuple(_speed(found, learning, speeds, count, index) for count in COUNTS for index in found.indices),
            )
            for learning in found.rows
            if learning.row is not reference
        ),
        findings=(),
        notes=tuple(_speed_notes(found, reference, speeds)),
        footnotes=(),
        data=(),
    )


def _speed(found: InstinctTable, learning: Learning, speeds: Speeds, count: str, index: int) -> str:
    if learning.row.entries[index].state == "not planned":
        return ""
    speed = speeds.get((learning.row.key, index))
    if speed is None:
        entry = learning.row.entries[index]
        return f"{len(entry.values)}/{entry.expected}" if len(entry.values) < entry.expected else NOTHING
    factor, bound = speed.factor(count), speed.bound(count)
    if factor is None:
        return NOTHING if bound is None else f"<{printed(bound)}"
    return "∞" if math.isinf(factor) else printed(factor)


def _speed_notes(found: InstinctTable, reference: Row, speeds: Speeds) -> Iterator[str]:
    epochs = sorted({speed.reference_epochs for speed in speeds.values()})
    trains = f"{' or '.join(f'{value:g}' for value in epochs)} epochs of {reference.label}" if epochs else "its epochs"
    yield (
        f"Speed-up: {trains} over the epochs that a method needs until its mean over seeds is at least that of "
        f"{reference.label} at the same target. Tuning alone: only those of tuning; with init.: and those that the "
        "method trains while initializing; with gene share: and those of preparing its gene (Epoch), divided by the "
        "targets that share it. <n: not reached within the tuning, so less than n; ∞: reached without any epoch. An "
        "epoch of a small model counts as one of a large model; what all costs in FLOPs, teachers too, is in the cost "
        "table."
    )
    if found.table.axis == "depth":
        yield (
            "The WAVE paper (C.2) quotes 37.5 for DeiT-Ti at depth 4 and around 11 at depth 12, of 150 epochs: 4 and "
            "about 13.6 epochs. It does not say what it counts; it tunes for 10."
        )


def _data(found: InstinctTable, speeds: Speeds) -> Iterator[dict[str, Any]]:
    table = found.table
    names = ("protocol", "setting", "setting_description", "preset", "grid", "axis")
    about = {name: getattr(table, name) for name in names}
    about["equal_budget_iterations"] = table.equal_budget and table.equal_budget.iterations
    for learning in found.rows:
        for index, course in learning.courses.items():
            column, row = table.columns[index], learning.row
            goals = {reference.method: reference.entries[index].mean for reference in found.references}
            speed = speeds.get((row.key, index))
            reached = {method: None if goal is None else course.reaches(goal) for method, goal in goals.items()}
            for epoch, values in course.values.items():
                seeds = list(values.values())
                yield {
                    **about,
                    "size": found.size,
                    "column": column.label,
                    "group": row.group,
                    "method": row.method,
                    "variant": row.variant,
                    "title": row.label,
                    "initialize_epochs": learning.initialize_epochs,
                    "epoch": epoch,
                    "top1": course.at(epoch),
                    "top1_sd": standard_deviation(seeds) if len(seeds) > 1 else None,
                    "seeds": len(seeds),
                    "last_epoch": course.last,
                    "epochs_to_he": reached.get("he"),
                    "epochs_to_direct_pt": reached.get("direct-pt"),
                    "direct_pt_epochs": speed and speed.reference_epochs,
                    **{f"speedup_{count}": speed and speed.factor(count) for count in COUNTS},
                }
