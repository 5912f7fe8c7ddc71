"""Writes the notes below a metric table: what a reader must know of its numbers, in plain sentences."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from learngene_bench.results.statistics.paired import smallest_sign_flip_p
from learngene_bench.results.tables import reruns
from learngene_bench.results.tables.equal_budget import lost_leads
from learngene_bench.results.tables.length_notes import finetuning_length
from learngene_bench.results.tables.metric_table import MetricTable
from learngene_bench.results.tables.numbers import span
from learngene_bench.results.tables.report_table import Highlight
from learngene_bench.schema.subject import EqualBudget

TRAINED = "Trained at initialization"
"""Heading of the columns of what a method itself trains for one target, before that is fine-tuned."""


def about_trained(table: MetricTable, length: str = "iterations") -> str:
    """Explains the columns of what is trained at initialization.

    Args:
        length: what stands beside the parameters.
    """
    costs = [costs for row in table.rows for costs in row.costs.values()]
    unknown = any(each.initialize_parameters is None and each.initialize_iterations is not None for each in costs)
    return (
        f"{TRAINED}: numbers that the method itself trains for one target before fine-tuning (least to most where "
        f"targets differ), and in how many {length} (mean over targets and seeds). The command lgbench info METHOD "
        f"says which numbers{'; —: not recorded, as under protocol 2' if unknown else ''}."
    )


def mean_labels(table: MetricTable) -> list[str]:
    """Returns what stands below "Mean" above a row's means over a size: its own, and those at equal budgets."""
    if not any(row.means for row in table.rows):
        return []
    if len(table.budgets) < 2:
        return ["", *("=budget" for _ in table.budgets)]
    return ["", *(f"={budget.amount:,}" for budget in table.budgets)]


def notes(table: MetricTable) -> Iterator[str]:
    """Yields the notes."""
    states = {entry.state for row in table.rows for entry in row.entries}
    incomplete = any(mean.value is None and mean.expected for row in table.rows for mean in chain(*row.means.values()))
    missing = bool(states & {"incomplete", "failed", "pending"})
    yield _seeds(table)
    if table.source.crossed:
        yield (
            "Seeds of genes and of targets are crossed. This table has the runs with the same seed for both, which are "
            "independent of each other; the table variance has all runs."
        )
    for how, tasks in table.measured_how.items():
        yield f"Evaluation of {' and '.join(tasks)}: {how}."
    if not table.measure.initial and (length := finetuning_length(table)):
        yield length
    yield from (f"{doubt}." for doubt in table.doubts)
    yield from _without_highlights(table, missing)
    if incomplete or missing:
        yield "k/n: only k of n seeds have a result, so no mean is printed."
    yield "Epoch: epochs spent on preparing, once for all targets. Para.: parameters that are stored and inherited."
    if table.trains_at_initialization:
        yield about_trained(table)
    if mean_labels(table):
        yield _means(table)
        yield from chain(*(lost_leads(table, size) for size in table.sizes()))
    if table.equal_budget:
        yield f"Equal budget: {_equal(table, table.equal_budget)}."
        yield (
            "FLOPs each: of initializing and fine-tuning one target, mean over targets and seeds. Equal images need "
            "not be equal FLOPs: initialization may train more than the target alone, and images of the source may be "
            "larger than those of the target's task."
        )
    if table.reruns:
        yield reruns.note(table.reruns)
    if table.other_protocols:
        versions = ", ".join(map(str, table.other_protocols))
        yield f"Numbers of other protocol versions (here: {versions}) cannot be compared with these and stand apart."
    if table.replaced:
        yield f"{table.replaced} results of older plans are left out: a newer plan replaces them."


def legend(table: MetricTable) -> dict[Highlight, str]:
    """Says what the highlights mean, if there are any; `highlight.py` has the rule."""
    used = {entry.highlight for row in table.rows for entry in row.entries}
    meanings: dict[Highlight, str] = {
        "best": "best of its column, and those below down to the first that a paired t-test over the seeds (two-sided, "
        "5 %, assuming normal differences) tells from it",
        "second": "the next",
    }
    if _seed_counts(table) == {1}:
        meanings = {
            "best": f"{table.measure.better} of its column (with one seed no difference can be tested)",
            "second": "second",
        }
    return {name: meaning for name, meaning in meanings.items() if name in used}


def _without_highlights(table: MetricTable, missing: bool) -> Iterator[str]:
    """Says what has no highlight; with one seed only what is the case here, so that a first table has few notes."""
    if not legend(table):
        return
    counts = _seed_counts(table)
    plain = [] if counts == {1} else ["columns in which nothing can be told apart"]
    if len(counts) > 1 and 1 in counts:
        plain.append("rows with one seed")
    if missing or counts != {1}:
        plain.append("columns with planned cells missing")
    if any(row.is_reference for row in table.rows):
        plain.append("pre-training, which is a reference")
    if plain:
        yield f"Never highlighted: {', '.join(plain)}."


def _seed_counts(table: MetricTable) -> set[int]:
    return {entry.expected for row in table.rows for entry in row.entries if entry.expected}


def _means(table: MetricTable) -> str:
    if not table.budgets:
        return "Mean: over the columns of the size."
    labels = " and ".join(f"Mean {label}" for label in mean_labels(table)[1:])
    equal = _equal(table, *table.budgets)
    return f"Mean: over the columns of the size; {labels}: of the same targets and seeds where {equal}."


def _equal(table: MetricTable, first: EqualBudget, *others: EqualBudget) -> str:
    """Says what is equal; for several budgets, that it is so in each."""
    apart = " (pre-training apart)" if any(row.is_reference for row in table.rows) else ""
    most = "that many" if others else f"{first.amount:,}"
    return (
        f"every method{apart} has the same number of {first.unit} for a target, at most {most}: those of initializing "
        "and of fine-tuning together"
    )


def _seeds(table: MetricTable) -> str:
    """Says over what mean and spread are, and what so few seeds cannot show."""
    counts = {row.label: sorted({entry.expected for entry in row.entries if entry.expected}) for row in table.rows}
    every = sorted(_seed_counts(table))
    if not every:
        return "No method of this table supports any of its targets."
    images = f" Each on {span(table.test_images)} test images." if table.test_images else ""
    if every == [1]:
        return f"One seed: nothing can be said of the spread.{images}"
    seeds = f"{span(every)} seeds"
    if len(every) > 1:
        seeds += f" ({', '.join(f'{label}: {span(values)}' for label, values in counts.items() if values)})"
    p = smallest_sign_flip_p(every[-1])
    power = f"with {every[-1]} seeds no two-sided sign-flip test gets below p = {p:.2g}"
    return f"Mean ± standard deviation (n - 1) over {seeds}; {power}.{images}"
