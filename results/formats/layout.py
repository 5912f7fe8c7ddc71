"""Small pieces of layout that several formats share."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence

_PIECE = re.compile(r"[^._=,+/]*[._=,+/]+|[^._=,+/]+")
"""A part of a setting, with the sign after it: `condensation.`, `epochs=`, `12`."""

_SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def superscripts(footnotes: Sequence[int]) -> str:
    """Prints references to footnotes: "¹,³"."""
    return ",".join(str(number).translate(_SUPERSCRIPTS) for number in footnotes)


def numbered(footnotes: Sequence[str]) -> list[str]:
    """Prints footnotes, each after its superscript number."""
    return [f"{superscripts([number])} {text}" for number, text in enumerate(footnotes, start=1)]


def wrap_label(label: str, width: int, slack: int = 4) -> list[str]:
    """Breaks a label into lines at spaces; a word longer than by `slack` also after `.`, `_`, `=`, `,`, `+` or `/`.

    What has none of these stays whole, as `condensation.epoc` and `hs` are no words.
    """
    lines: list[str] = []
    for line in textwrap.wrap(label, width, break_long_words=False, break_on_hyphens=False):
        pieces = _PIECE.findall(line) if len(line) > width + slack else [line]
        packed = ""
        for piece in pieces:
            if packed and len(packed) + len(piece) > width + slack:
                lines.append(packed)
                packed = ""
            packed += piece
        lines.append(packed)
    return lines
