"""Escapes text for LaTeX, which reads UTF-8: names come from plugins and settings."""

from __future__ import annotations

import unicodedata

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    # In the old font encoding, which is still the default, these three are other signs.
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    # Signs of our own that LaTeX has only in mathematics.
    "−": "$-$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "∞": r"$\infty$",
}

_GREEK = "αβγδεζηθικλμνξπρστυφχψωΓΔΘΛΞΠΣΥΦΨΩ"

_KNOWN = frozenset(
    [chr(code) for code in [*range(0x20, 0x7F), *range(0xA0, 0x17F)] if chr(code) not in "«»ÐÞðþĄąĐđĘęĦħĮįĸĿŀŉŊŋŦŧŲų"]
    + list("‐‑‒–—―‘’“”†‡•…‰")
)
"""Letters that pdflatex sets without any package. One that it lacks would stop the whole document."""


def escaped(text: str) -> str:
    r"""Returns the text for LaTeX's text mode; a letter that needs further packages is named by its code point.

    >>> escaped("learn_scalers=50%, Müller, 中")
    'learn\\_scalers=50\\%, Müller, [U+4E2D]'
    """
    return "".join(map(_escaped_letter, text))


def _escaped_letter(letter: str) -> str:
    if letter in _SPECIAL:
        return _SPECIAL[letter]
    if letter in _GREEK:
        name = unicodedata.name(letter).split()[-1].lower().replace("lamda", "lambda")
        return rf"$\{name.capitalize() if letter.isupper() else name}$"
    return letter if letter in _KNOWN else f"[U+{ord(letter):04X}]"
