"""Tables as GitHub Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from learngene_bench.results.tables import wording
from learngene_bench.results.tables.table import Entry, Row, Table

_META = re.compile(r"([\\`*_{}\[\]<>|#~$&])")


def markdown(tables: Sequence[Table]) -> str:
    """The tables one below the other, each size of a table in a block of its own."""
    return "\n".join(line for table in tables for line in _table(table))


def _table(table: Table) -> Iterable[str]:
    yield f"### {escaped(table.title)}"
    yield ""
    yield escaped(table.subtitle)
    yield ""
    for size, indices in table.sizes().items():
        labels = [table.columns[index].label for index in indices]
        entries = [*_with_axis(table.axis, labels), *wording.mean_titles(table)]
        header = ["", size, "Epoch", "Para.", *entries, "Init. iterations", "Init. seconds"]
        yield line(map(escaped, header))
        yield line(["---", "---", *["--:"] * (len(header) - 2)])
        for group, rows in table.groups(indices).items():
            for position, row in enumerate(rows):
                title = wording.GROUP_TITLES[group] if position == 0 else ""
                yield line([title, *_cells(row, size, indices)])
        yield ""
    for note in [*wording.notes(table, best="Bold", second="underlined"), *wording.footnotes(table)]:
        yield f"- {escaped(note)}"
    yield ""


def _with_axis(axis: str, labels: Sequence[str]) -> list[str]:
    """Numbers need the axis' name beside them; names of tasks stand for themselves."""
    return [label if axis == "task" else f"{axis} {label}" for label in labels]


def _cells(row: Row, size: str, indices: range) -> list[str]:
    costs = row.costs[size]
    return [
        escaped(row.label),
        wording.epochs(row),
        wording.parameters(costs),
        *(_entry(row.entries[index]) for index in indices),
        *(wording.mean(mean) + wording.superscripts(mean) for mean in row.means.get(size, ())),
        escaped(wording.initialize(costs, costs.initialize_iterations)),
        escaped(wording.initialize(costs, costs.initialize_seconds)),
    ]


def _entry(entry: Entry) -> str:
    value = wording.value(entry)
    if entry.mark == "best":
        value = f"**{value}**"
    elif entry.mark == "second":
        value = f"<ins>{value}</ins>"
    return f"{value} {wording.spread(entry)}".rstrip() + wording.superscripts(entry)


def line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def escaped(text: str) -> str:
    """Names come from plugins and settings: they stand as they are, and never open a cell, a link or a tag."""
    return _META.sub(r"\\\1", text)
