r"""Every number of the tables as a LaTeX command, so that prose follows the records: \lgbenchDepthMicroWaveFour.

A name is made of the table (its grid, EqualBudget, Initial for accuracies as initialized), the size, the method with
its options, and the column or Mean; the deviation's ends with Deviation. Digits are spelled, as commands have only
letters. Where two would be the same, each ends with letters made from what it stands for: none depends on the order.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from learngene_bench.results.formats.latex_text import escaped
from learngene_bench.results.tables import wording
from learngene_bench.results.tables.table import Entry, Row, Table

_DIGITS = ("Zero", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine")

_MISSING = r"\textbf{??}"
"""As LaTeX prints a reference to nothing: a number that is not there must not look like one."""


def macros(tables: Sequence[Table]) -> str:
    """The definitions, for a preamble; tables that nothing else tells apart are by their setting and protocol."""
    prefixes = _distinct({_identity(table): _prefix(table) for table in tables})
    stems: dict[tuple[str, ...], str] = {}
    values: dict[tuple[str, ...], str] = {}
    for table in tables:
        for words, value in _numbers(table):
            identity = (*_identity(table), *words)
            stems[identity] = prefixes[_identity(table)] + "".join(map(_word, words))
            values[identity] = value
    names = _distinct(stems)
    return "".join(f"\\newcommand{{\\{names[identity]}}}{{{value}}}\n" for identity, value in values.items())


def _identity(table: Table) -> tuple[str, ...]:
    return table.grid, table.axis, table.metric, table.setting, str(table.protocol)


def _prefix(table: Table) -> str:
    budget = "EqualBudget" if table.equal_budget else ""
    return f"lgbench{_word(table.grid)}{budget}{'' if table.metric == 'top1' else 'Initial'}"


def _numbers(table: Table) -> Iterator[tuple[tuple[str, ...], str]]:
    """What each number is, in words, and the number as it stands in the table."""
    for size, indices in table.sizes().items():
        for rows in table.groups(indices).values():
            for row in rows:
                for index in indices:
                    words = (size, row.method, row.variant, table.columns[index].label)
                    yield from ((words + more, value) for more, value in _entry(row.entries[index]))
                yield from _means(table, row, size)


def _entry(entry: Entry) -> Iterator[tuple[tuple[str, ...], str]]:
    if entry.state != "not planned":
        done = entry.mean is not None or entry.state == "dash"
        yield (), escaped(wording.value(entry)) if done else _MISSING
    if entry.standard_deviation is not None:
        yield ("Deviation",), wording.printed(entry.standard_deviation)


def _means(table: Table, row: Row, size: str) -> Iterator[tuple[tuple[str, ...], str]]:
    for title, mean in zip(wording.mean_titles(table), row.means.get(size, ()), strict=False):
        if mean.expected:
            yield (size, row.method, row.variant, title), _MISSING if mean.value is None else wording.mean(mean)


def _word(text: str) -> str:
    """The letters and spelled digits of a name, each word of it with a capital: weight-selection is WeightSelection."""
    words = re.findall(r"[A-Za-z]+|[0-9]", text)
    return "".join(_DIGITS[int(word)] if word.isdigit() else word[0].upper() + word[1:] for word in words)


def _distinct(names: Mapping[tuple[str, ...], str]) -> dict[tuple[str, ...], str]:
    """The names, those that are not the only one of their kind with six letters of their identity's hash."""
    counts = Counter(names.values())
    return {
        identity: name if counts[name] == 1 else name + _letters("\n".join(identity))
        for identity, name in names.items()
    }


def _letters(text: str) -> str:
    digits = hashlib.sha256(text.encode()).hexdigest()[:6]
    return "".join(chr(ord("A") + int(digit, 16)) for digit in digits)
