"""Prints the metric at equal compute, the cost to reach a value, and from how many targets on methods break even."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from learngene_bench.results.records.types import Results
from learngene_bench.results.statistics.break_even import BreakEven
from learngene_bench.results.tables.compute import ComputeChoice, MethodCompute, SizeCompute, size_computes
from learngene_bench.results.tables.metric_table import MetricTable
from learngene_bench.results.tables.numbers import compact
from learngene_bench.results.tables.report_table import (
    NOTHING,
    Footnotes,
    ReportCell,
    ReportColumn,
    ReportTable,
    number,
    slug,
)

WORDS = {"flops": "FLOPs", "seconds": "seconds"}
"""Resources as tables and figures call them."""

NEVER = "never"

LESS = 0.95
"""Share of a budget below which a method that spends it all is said to cost less."""


class Goal(NamedTuple):
    """A value to reach, with its name, and the rows with which the others are compared there.

    Attributes:
        given: the value, if it was asked for; None if it is what the only reference ends with.
    """

    name: str
    value: float
    given: float | None
    references: tuple[MethodCompute, ...]


def compute_reports(
    tables: Sequence[MetricTable], results: Results, choice: ComputeChoice | None = None
) -> list[ReportTable]:
    """Returns for every size of every table the metric at equal compute, and what reaching a value of it costs.

    Args:
        tables: tables of metrics after fine-tuning.
        results: the results that they were made from.
        choice: what the reader asks for.
    """
    choice = choice or ComputeChoice()
    reports = []
    for found in size_computes(tables, results, choice.resource):
        goals = _goals(found, choice)
        if found.references:
            reports.append(_at_equal_compute(found, goals, choice))
        if goals:
            reports.append(_to_reach(found, goals, choice))
    return reports


def _table(found: SizeCompute, kind: str, title: str, choice: ComputeChoice, **more: Any) -> ReportTable:
    table = found.table
    indices = table.sizes()[found.size]
    return ReportTable(
        kind=kind,
        name=slug(kind, table.slug, found.size),
        title=f"{title}, {found.size}, {table.labels(indices)}",
        subtitle=table.subtitle,
        identity={**table.identity, "size": found.size, "resource": choice.resource},
        corner=found.size,
        **more,
    )


def _at_equal_compute(found: SizeCompute, goals: Sequence[Goal], choice: ComputeChoice) -> ReportTable:
    footnotes = Footnotes()
    better = found.table.measure.spec.higher_is_better
    rows = []
    for method in found.rows:
        own = [
            _value_cell(found, method, reference, count, footnotes)
            for reference in found.references
            for count in choice.counts
        ]
        rows.append(method.row.report_row([number(method.mean.values[-1], found.table.measure.text), *own]))
    word = WORDS[choice.resource]
    return _table(
        found,
        "compute",
        f"{found.table.measure.heading} at equal compute",
        choice,
        columns=(
            ReportColumn("in the end", higher_is_better=better),
            *(
                ReportColumn(f"n={count}", f"For the {word} of {reference.row.label}", higher_is_better=better)
                for reference in found.references
                for count in choice.counts
            ),
        ),
        rows=tuple(rows),
        notes=(
            f"Means over the targets and seeds. {word}: preparation (ancestors and gene) divided among n targets as "
            "far as they share it, initialization, and fine-tuning so far, for one target.",
            f"For the {word} of a row: the value on each learning curve at the total that this row spends with its "
            "whole fine-tuning; a straight line between two measurements; the last value where all of a row is "
            "cheaper. Within a schedule the learning rate is still high, so a training planned for that length would "
            "end somewhat better.",
            *_seconds(choice),
            *_excluded(found),
        ),
        footnotes=footnotes.texts,
        data=tuple(_data(found, goals, choice)),
    )


def _value(method: MethodCompute, reference: MethodCompute, count: int) -> float | None:
    budget = reference.mean.total(count)
    return None if budget is None else method.mean.value_for(budget, count)


def _value_cell(
    found: SizeCompute, method: MethodCompute, reference: MethodCompute, count: int, footnotes: Footnotes
) -> ReportCell:
    value, spent, budget = _value(method, reference, count), method.mean.total(count), reference.mean.total(count)
    if value is not None:
        shown = number(value, found.table.measure.text)
        if spent and budget and spent < LESS * budget:
            return replace(shown, footnotes=(footnotes.number("for less: this is all of its fine-tuning"),))
        return shown
    if method.mean.each is None:
        return ReportCell(NOTHING, footnotes=(footnotes.number(_UNKNOWN),))
    return ReportCell(NOTHING, footnotes=(footnotes.number("it costs more before fine-tuning begins"),))


_UNKNOWN = "one target was measured, so nobody can tell what several share"


def _goals(found: SizeCompute, choice: ComputeChoice) -> list[Goal]:
    """Returns the value that is asked for; if none is, what each reference ends with."""
    text = found.table.measure.text
    if choice.goal is not None:
        return [Goal(text(choice.goal), choice.goal, choice.goal, found.references)]
    finals = [(reference, reference.mean.values[-1]) for reference in found.references]
    return [Goal(f"{text(final)} of {reference.row.label}", final, None, (reference,)) for reference, final in finals]


def _to_reach(found: SizeCompute, goals: Sequence[Goal], choice: ComputeChoice) -> ReportTable:
    footnotes = Footnotes()
    word = WORDS[choice.resource]
    columns: list[ReportColumn] = []
    cells: dict[str, list[ReportCell]] = {method.row.label: [] for method in found.rows}
    for goal in goals:
        span = f"To reach {goal.name}"
        for count in choice.counts:
            columns.append(ReportColumn(f"n={count}", span, higher_is_better=False))
            for method in found.rows:
                cells[method.row.label].append(_cost_cell(method, goal.value, count, footnotes))
        for reference in goal.references:
            label = "even" if goal.given is None else f"even with {reference.row.label}"
            columns.append(ReportColumn(label, span))
            for method in found.rows:
                cells[method.row.label].append(_even_cell(method, reference, goal, footnotes))
    return _table(
        found,
        "compute",
        f"{word} to reach {_article(found)}",
        choice,
        columns=tuple(columns),
        rows=tuple(method.row.report_row(cells[method.row.label]) for method in found.rows),
        notes=(
            f"n=: {word} of one of n targets until the mean over targets and seeds reaches the value: preparation "
            "(ancestors and gene) divided among n targets as far as they share it, initialization, and fine-tuning so "
            "far, a straight line between two measurements; >x: not with x, which is all of it.",
            "Even: the least number of targets with which it costs no more than with that row; 'at once', with a "
            "single one; 'never', with no number; 'up to', where it costs less for few targets only. In brackets, "
            "the 95 % interval over the seeds, paired (Fieller's): a test does not tell the two costs apart within it. "
            "To be as good as a row, a seed has to reach what that row has with the same seed. There is no interval "
            "where a seed does not reach the value.",
            *_seconds(choice),
            *_excluded(found),
        ),
        footnotes=footnotes.texts,
        data=() if found.references else tuple(_data(found, goals, choice)),
    )


def _article(found: SizeCompute) -> str:
    title = found.table.measure.spec.title
    return title if title.isupper() else title[:1].lower() + title[1:]


def _cost_cell(method: MethodCompute, goal: float, count: int, footnotes: Footnotes) -> ReportCell:
    total = method.mean.total(count)
    if total is None:
        return ReportCell(NOTHING, footnotes=(footnotes.number(_UNKNOWN),))
    cost = method.to_reach(goal, count)
    return ReportCell(f">{compact(total)}") if cost is None else number(cost, compact)


def _even_cell(method: MethodCompute, reference: MethodCompute, goal: Goal, footnotes: Footnotes) -> ReportCell:
    if method is reference:
        return ReportCell("")
    found = method.breaks_even(reference, goal.given)
    if found is not None:
        return ReportCell(even_text(found), _finite(found.first))
    if method.mean.to_reach(goal.value) is None:
        return ReportCell(NEVER, footnotes=(footnotes.number("it does not reach the value"),))
    if reference.mean.to_reach(goal.value) is None:
        return ReportCell("at once", 1.0, footnotes=(footnotes.number("the other does not reach the value"),))
    return ReportCell(NOTHING, footnotes=(footnotes.number(_UNKNOWN),))


def even_text(found: BreakEven) -> str:
    """Prints numbers of targets for which a method costs no more: "12 (9 to 17)", "at once", "never (20 to never)"."""
    text = _from(found.first) if math.isinf(found.last) else f"up to {math.floor(round(found.last, 9))}"
    if found.interval is None or found.interval.upper - found.interval.lower < 1e-6 * found.interval.upper:
        return text
    ends = [_from(end) for end in found.interval]
    return text if set(ends) == {text} else f"{text} ({' to '.join(dict.fromkeys(ends))})"


def _from(count: float) -> str:
    """Prints the least whole number of targets from a number on."""
    if math.isinf(count):
        return NEVER
    whole = math.ceil(round(count, 9))
    return "at once" if whole <= 1 else f"{whole:,}"


def _seconds(choice: ComputeChoice) -> Iterator[str]:
    if choice.resource == "seconds":
        yield (
            "Seconds are wall clock on machines that may have done other work: they compare only what ran side by "
            "side on one idle machine."
        )


def _excluded(found: SizeCompute) -> Iterator[str]:
    if found.excluded:
        yield f"Left out, as not all targets are done or possible: {', '.join(found.excluded)}."


def _data(found: SizeCompute, goals: Sequence[Goal], choice: ComputeChoice) -> Iterator[dict[str, Any]]:
    """One row for each row, value, reference and number of targets."""
    for goal in goals:
        for method, reference in itertools.product(found.rows, goal.references or (None,)):
            even = method.breaks_even(reference, goal.given) if reference not in (None, method) else None
            ends = even.interval if even else None
            for count in choice.counts:
                yield {
                    **method.row.facts,
                    "reference": reference and reference.row.method,
                    "n": count,
                    "before_finetuning": method.mean.before(count),
                    "total": method.mean.total(count),
                    "last_value": method.mean.values[-1],
                    "budget": reference and reference.mean.total(count),
                    "value_for_budget": reference and _value(method, reference, count),
                    "goal": goal.value,
                    "to_reach": method.to_reach(goal.value, count),
                    "even_from": _finite(even.first if even else None),
                    "even_to": _finite(even.last if even else None),
                    "even_lower": _finite(ends.lower if ends else None),
                    "even_upper": _finite(ends.upper if ends else None),
                }


def _finite(value: float | None) -> float | None:
    return None if value is None or math.isinf(value) else value
