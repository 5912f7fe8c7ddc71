"""Small pieces of layout that several formats share."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

_SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def superscripts(footnotes: Sequence[int]) -> str:
    """Prints references to footnotes: "¹,³"."""
    return ",".join(str(number).translate(_SUPERSCRIPTS) for number in footnotes)


def numbered(footnotes: Sequence[str]) -> list[str]:
    """Prints footnotes, each after its superscript number."""
    return [f"{superscripts([number])} {text}" for number, text in enumerate(footnotes, start=1)]


def wrap_label(label: str, width: int, slack: int = 4) -> list[str]:
    """Breaks a label into lines; words are broken only if they are longer by more than `slack`, first after "="."""
    lines: list[str] = []
    for line in textwrap.wrap(label, width, break_long_words=False, break_on_hyphens=False):
        breakable = line.replace("=", "= ") if len(line) > width + slack else line
        lines += textwrap.wrap(breakable, width + slack)
    return lines
