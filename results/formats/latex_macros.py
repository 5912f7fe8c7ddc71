r"""Defines every number of the metric tables as a LaTeX command, so that prose follows the records.

The name is made of the table (its grid, EqualBudget, the metric if it is not the primary one, Initial), the model size,
the method with its options, and the column or Mean: `\lgbenchDepthMicroWaveFour`; Deviation stands behind it for the
deviation. Digits are spelled, as commands have only letters.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence

from learngene_bench.results.formats.latex_text import escaped
from learngene_bench.results.tables.report_table import NOTHING, ReportCell, ReportTable

_DIGITS = ("Zero", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine")

_MISSING = r"\textbf{??}"
"""Text for a missing number: looks like an undefined reference, not like a number."""


def macros(tables: Sequence[ReportTable]) -> str:
    """Returns the definitions, for a preamble.

    Tables that differ in nothing but setting and protocol have these in their names. A name that would still stand for
    several numbers is left undefined, with a comment, so that LaTeX stops where it is used.
    """
    named = [table for table in tables if table.macro_words]
    tables_of_words = Counter(table.macro_words for table in named)
    numbers: dict[str, list[tuple[str, str]]] = {}
    for table in named:
        setting = (str(table.identity["setting"])[:8], f"protocol {table.identity['protocol']}")
        prefix = (*table.macro_words, *(setting if tables_of_words[table.macro_words] > 1 else ()))
        for words, value in _numbers(table):
            name = "lgbench" + "".join(map(_word, [*prefix, *words]))
            numbers.setdefault(name, []).append((" ".join(words), value))
    return "".join(_definition(name, meanings) for name, meanings in numbers.items())


def _definition(name: str, meanings: Sequence[tuple[str, str]]) -> str:
    if len(meanings) == 1:
        return f"\\newcommand{{\\{name}}}{{{meanings[0][1]}}}\n"
    return f"% \\{name} is not defined, it could be: {'; '.join(words for words, _ in meanings)}\n"


def _numbers(table: ReportTable) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yields what each number is, in words, and the number as it stands in the table."""
    for block in table.blocks():
        for row in block.rows:
            for column, cell in zip(block.columns, row.cells, strict=True):
                if column.priority or not cell.text:
                    continue
                # The heading above targets is the axis, which the grid's name says already.
                label = column.label if column.facts else column.text
                words = (block.title, row.facts["method"], row.facts["variant"], label)
                yield words, _value(cell)
                if cell.spread_text:
                    yield (*words, "Deviation"), escaped(cell.spread_text)


def _value(cell: ReportCell) -> str:
    return escaped(cell.text) if cell.value is not None or cell.text == NOTHING else _MISSING


def _word(text: str) -> str:
    """The letters and spelled digits of a name, each word of it with a capital: weight-selection is WeightSelection."""
    words = re.findall(r"[A-Za-z]+|[0-9]", text)
    return "".join(_DIGITS[int(word)] if word.isdigit() else word[0].upper() + word[1:] for word in words)
