"""How numbers are printed and what stands below a table: the same words in every format."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from itertools import chain

from learngene_bench.results.statistics.paired import smallest_sign_flip_p
from learngene_bench.results.tables.leads import lost_leads
from learngene_bench.results.tables.table import Costs, Entry, Mean, Row, Table
from learngene_bench.schema.subject import EqualBudget

GROUP_TITLES = {
    "direct": "Direct",
    "transfer": "Transfer",
    "learngene": "Learngene",
    "pre-training": "Pre-training",
    "other": "Other",
}
NOTHING = "—"

_SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def printed(value: float) -> str:
    """A percentage, to the paper's precision."""
    return f"{value:.1f}"


def compact(value: float) -> str:
    """A count or a duration in a few characters: 0, <0.1, 4.2, 96, 61.2k, 3.9M.

    >>> [compact(value) for value in (0, 0.01, 4.2, 96, 61234, 3_900_000)]
    ['0', '<0.1', '4.2', '96', '61.2k', '3.9M']
    """
    if value == 0:
        return "0"
    if value < 0.1:
        return "<0.1"
    if value < 10:
        return f"{value:.1f}"
    if value < 999.5:
        return f"{value:.0f}"
    for unit in ("k", "M", "G", "T", "P"):
        value /= 1000
        if value < 999.95:
            return f"{value:.1f}{unit}"
    return f"{value / 1000:.1f}E"


def wrapped(name: str, width: int) -> list[str]:
    """The name on lines of so many characters; only a word that is longer by more than 4 is broken, first after a =."""
    lines: list[str] = []
    for line in textwrap.wrap(name, width, break_long_words=False, break_on_hyphens=False):
        breakable = line.replace("=", "= ") if len(line) > width + 4 else line
        lines += textwrap.wrap(breakable, width + 4)
    return lines


def value(entry: Entry) -> str:
    """The mean; how many of the seeds are there, if not all; a dash; nothing where nothing is planned."""
    if entry.mean is not None:
        return printed(entry.mean)
    if entry.state == "dash":
        return NOTHING
    return f"{len(entry.values)}/{entry.expected}" if entry.expected else ""


def spread(entry: Entry) -> str:
    return "" if entry.standard_deviation is None else f"±{printed(entry.standard_deviation)}"


def mean(mean: Mean) -> str:
    """The mean; how many cells are there, if not all; nothing where nothing is planned."""
    if mean.value is not None:
        return printed(mean.value)
    return f"{mean.done}/{mean.expected}" if mean.expected else ""


def mean_titles(table: Table) -> list[str]:
    """Headers of the means over a size's columns: ordinary, and at equal budget."""
    if not any(row.means for row in table.rows):
        return []
    if len(table.budgets) < 2:
        return ["Mean", *("Mean =budget" for _ in table.budgets)]
    return ["Mean", *(f"Mean ={iterations}" for iterations in table.budgets)]


def on_axis(axis: str, labels: Sequence[str]) -> str:
    """Columns by name: "depth 4, 6"; names of tasks stand for themselves."""
    return f"{'' if axis == 'task' else f'{axis} '}{', '.join(labels)}"


def at_equal_budget(budget: EqualBudget) -> str:
    return f"at equal budget ({budget.iterations} iterations)"


def superscripts(entry: Entry | Mean) -> str:
    """References to the table's footnotes."""
    return ",".join(superscript(number) for number in entry.footnotes)


def superscript(number: int) -> str:
    return str(number).translate(_SUPERSCRIPTS)


def epochs(row: Row) -> str:
    """The paper's "Epoch"; from the least to the most if its cells differ."""
    ends = dict.fromkeys([*row.prepare_epochs[:1], *row.prepare_epochs[-1:]])
    return "–".join(f"{end:g}" for end in ends) or NOTHING


def parameters(costs: Costs) -> str:
    """The paper's "Para."."""
    return NOTHING if costs.stored_parameters is None else compact(costs.stored_parameters)


def initialize(costs: Costs, amount: float | None) -> str:
    """Iterations or seconds of the phase initialize; how many cells are there, if not all."""
    if not costs.expected:
        return NOTHING
    return f"{costs.done}/{costs.expected}" if amount is None else compact(amount)


def notes(table: Table, best: str, second: str, init: bool = True) -> list[str]:
    """What a reader must know of the numbers above.

    Args:
        table: which table.
        best: how the format shows the best of a column, such as "bold".
        second: how it shows the second.
        init: whether it shows what initializing costs.
    """
    states = {entry.state for row in table.rows for entry in row.entries}
    incomplete = any(mean.value is None and mean.expected for row in table.rows for mean in chain(*row.means.values()))
    lines = [_seeds(table), *_marks(table, best, second)]
    if incomplete or states & {"incomplete", "failed", "pending"}:
        lines.append("k/n: only k of n seeds have a result, so no mean is printed.")
    lines.append(
        "Epoch: epochs spent on preparing, once for all targets. Para.: parameters that are stored and inherited."
    )
    if init:
        lines.append(
            "Init.: what the method itself trains for one target (iterations, seconds), mean over targets and seeds."
        )
    if mean_titles(table):
        lines.append(_means(table))
        lines += [sentence for size in table.sizes() for sentence in leads(table, size)]
    if table.equal_budget:
        lines.append(f"Equal budget: {_equal(table, str(table.equal_budget.iterations))}.")
    if table.other_protocols:
        versions = ", ".join(map(str, table.other_protocols))
        lines.append(
            f"Numbers of other protocol versions (here: {versions}) cannot be compared with these and stand apart."
        )
    if table.superseded:
        lines.append(f"{table.superseded} results of older plans are left out: a newer plan replaces them.")
    return lines


def leads(table: Table, size: str) -> list[str]:
    """Who is ahead only because it trains longer, in the means over the columns of a size."""
    where = f"{size}: " if len(table.sizes()) > 1 else ""
    return [
        f"{where}{lead.label} is ahead of {', '.join(lead.over)} only with more iterations, "
        f"not where all have {lead.iterations}."
        for lead in lost_leads(table, size)
    ]


def footnotes(table: Table) -> list[str]:
    return numbered(table.footnotes)


def numbered(texts: Sequence[str]) -> list[str]:
    """Footnotes as superscript numbers refer to them."""
    return [f"{superscript(number)} {text}" for number, text in enumerate(texts, start=1)]


def _means(table: Table) -> str:
    """What the means over a size's columns are, in one sentence."""
    if not table.budgets:
        return "Mean: over the columns of the size."
    titles = " and ".join(mean_titles(table)[1:])
    many = f"{table.budgets[0]}" if len(table.budgets) == 1 else "that many"
    return f"Mean: over the columns of the size; {titles}: of the same targets and seeds where {_equal(table, many)}."


def _marks(table: Table, best: str, second: str) -> Iterator[str]:
    """What the marks mean, if there are any; `marks.py` has the rule."""
    entries = [entry for row in table.rows for entry in row.entries]
    if not any(entry.mark for entry in entries):
        return
    seeds = {entry.expected for entry in entries if entry.expected}
    test = "a paired t-test over the seeds (two-sided, 5 %, taking differences to be normal)"
    rule, others = (
        f"{best}: best of its column, and those below down to the first that {test} tells from it",
        "the next",
    )
    unmarked = ["columns in which nothing can be told apart"]
    if seeds == {1}:
        rule, others = f"With one seed no difference can be tested. {best}: highest of its column", "second"
        unmarked = []
    elif 1 in seeds:
        unmarked.append("rows with one seed")
    unmarked.append("columns with planned cells missing")
    if any(row.group == "pre-training" for row in table.rows):
        unmarked.append("pre-training, which is a reference")
    seconds = f"; {second}: {others}" if any(entry.mark == "second" for entry in entries) else ""
    yield f"{rule}{seconds}. Without marks: {', '.join(unmarked)}."


def _equal(table: Table, many: str) -> str:
    apart = " (pre-training apart)" if any(row.group == "pre-training" for row in table.rows) else ""
    return f"every method{apart} has {many} iterations in all, those of initializing (Init.) and of tuning together"


def _seeds(table: Table) -> str:
    """Over what the mean and the spread are, and what so few seeds cannot say."""
    counts = {row.label: sorted({entry.expected for entry in row.entries if entry.expected}) for row in table.rows}
    every = sorted({n for values in counts.values() for n in values})
    if not every:
        return "No method of this table supports any of its targets."
    images = f" Each on {_range(table.test_images)} test images." if table.test_images else ""
    if every == [1]:
        return f"One seed: nothing can be said of the spread.{images}"
    seeds = f"{_range(every)} seeds"
    if len(every) > 1:
        seeds += " (" + ", ".join(f"{label}: {_range(values)}" for label, values in counts.items() if values) + ")"
    p = smallest_sign_flip_p(every[-1])
    power = f"with {every[-1]} seeds no two-sided sign-flip test gets below p = {p:.2g}"
    return f"Mean ± standard deviation (n - 1) over {seeds}; {power}.{images}"


def _range(values: list[int] | tuple[int, ...]) -> str:
    return str(values[0]) if len(values) == 1 else f"{values[0]} to {values[-1]}"
