"""A computed table (a comparison, costs, instincts) as texts in rows and columns, for every format to lay out alike.

Accuracies themselves are a `table.Table`, which knows more about its entries.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any


@dataclass(frozen=True)
class Heading:
    """What stands above a column; neighbours of one span share it."""

    span: str
    label: str

    @property
    def text(self) -> str:
        """In one line."""
        return f"{self.span} {self.label}".strip()


@dataclass(frozen=True)
class Line:
    """A row: the group as in `records.GROUPS`, what it is of, and a text for each column."""

    group: str
    label: str
    cells: tuple[str, ...]


@dataclass(frozen=True)
class Sheet:
    """A computed table.

    Attributes:
        name: what kind it is, such as "instinct"; every sheet of a kind has the same keys in its data.
        slug: names its file and label, made by `table.slug`.
        subtitle: what the numbers are comparable within.
        corner: above the labels of the lines.
        headings: one for each column.
        lines: those of one group one after the other.
        findings: what the numbers say, in sentences.
        notes: what a reader must know of the numbers; the same notes stand once below several sheets.
        footnotes: what superscript numbers in labels and cells refer to, from 1.
        data: the same for programs, and maybe more: unrounded numbers, None where there is none.
    """

    name: str
    slug: str
    title: str
    subtitle: str
    corner: Heading
    headings: tuple[Heading, ...]
    lines: tuple[Line, ...]
    findings: tuple[str, ...]
    notes: tuple[str, ...]
    footnotes: tuple[str, ...]
    data: tuple[Mapping[str, Any], ...]

    def spans(self) -> list[range]:
        """The columns, those of one span together."""
        found = groupby(range(len(self.headings)), key=lambda index: self.headings[index].span)
        every = [list(indices) for _, indices in found]
        return [range(indices[0], indices[-1] + 1) for indices in every]

    def groups(self) -> list[tuple[str, list[Line]]]:
        """The groups from top to bottom, each with its lines."""
        return [(group, list(lines)) for group, lines in groupby(self.lines, key=lambda line: line.group)]
