"""Who is ahead only because it trains longer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from learngene_bench.results.tables.table import Row, Table


@dataclass(frozen=True)
class Lead:
    """A method that trains while initializing, and those behind it that it is not ahead of at equal budget.

    Attributes:
        iterations: the equal budget.
        over: labels of the methods that it is ahead of only with iterations on top.
    """

    label: str
    iterations: int
    over: tuple[str, ...]


def lost_leads(table: Table, size: str) -> list[Lead]:
    """The leads in the means over a size's columns that equal budgets take away; the reference, as it is, apart.

    Only complete means over the same columns are compared, as they are printed: a lead that nobody can see is none.
    """
    indices = table.sizes()[size]
    rows = [row for row in table.rows if row.group != "pre-training" and row.means.get(size)]
    leads = []
    for place, iterations in enumerate(table.budgets, start=1):
        for row in rows:
            over = [other.label for other in rows if _loses(row, other, size, indices, place)]
            if over:
                leads.append(Lead(row.label, iterations, tuple(over)))
    return leads


def _loses(row: Row, other: Row, size: str, indices: Sequence[int], place: int) -> bool:
    longer, shorter = row.costs[size].initialize_iterations, other.costs[size].initialize_iterations
    if longer is None or shorter is None or longer <= shorter:
        return False
    if [row.entries[index].expected for index in indices] != [other.entries[index].expected for index in indices]:
        return False
    lead, at_equal_budget = (_difference(row, other, size, position) for position in (0, place))
    return lead is not None and at_equal_budget is not None and lead > 0 >= at_equal_budget


def _difference(row: Row, other: Row, size: str, position: int) -> float | None:
    """Of the means, to the digit that tables print."""
    first, second = (each.means[size][position].value for each in (row, other))
    return None if first is None or second is None else round(first, 1) - round(second, 1)
