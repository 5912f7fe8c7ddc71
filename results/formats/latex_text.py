"""Any text as LaTeX that every engine sets as it was meant: names come from plugins and settings."""

from __future__ import annotations

import re
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
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"{\char34}",
    "`": r"{\`{}}",
    # Not two of them in a row: LaTeX would join them to a dash or a quotation mark.
    "-": "-{}",
    "'": "'{}",
    "—": "---",
    "–": "--",
    "−": "$-$",
    "±": r"$\pm$",
    "×": r"$\times$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "∞": r"$\infty$",
    "•": r"$\bullet$",
    "…": r"\ldots{}",
    "‘": "`{}",
    "’": "'{}",
    "“": "``{}",
    "”": "''{}",
    "\N{NO-BREAK SPACE}": "~",
    "ß": r"\ss{}",
    "æ": r"\ae{}",
    "Æ": r"\AE{}",
    "œ": r"\oe{}",
    "Œ": r"\OE{}",
    "ø": r"\o{}",
    "Ø": r"\O{}",
    "ł": r"\l{}",
    "Ł": r"\L{}",
}

_GREEK = "αβγδεζηθικλμνξπρστυφχψωΓΔΘΛΞΠΣΥΦΨΩ"
"""Those that LaTeX has commands for; the others look like Latin letters."""

_ACCENTS = {
    "\N{COMBINING GRAVE ACCENT}": "`",
    "\N{COMBINING ACUTE ACCENT}": "'",
    "\N{COMBINING CIRCUMFLEX ACCENT}": "^",
    "\N{COMBINING TILDE}": "~",
    "\N{COMBINING DIAERESIS}": '"',
    "\N{COMBINING MACRON}": "=",
    "\N{COMBINING DOT ABOVE}": ".",
    "\N{COMBINING RING ABOVE}": "r ",
    "\N{COMBINING DOUBLE ACUTE ACCENT}": "H ",
    "\N{COMBINING CARON}": "v ",
    "\N{COMBINING BREVE}": "u ",
    "\N{COMBINING CEDILLA}": "c ",
}

_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789")

_TO_CHANGE = re.compile(
    r"[⁰¹²³⁴⁵⁶⁷⁸⁹]+"
    r"|-(?=-)|'(?=')"
    r"|[^ a-zA-Z0-9!()*+,./:;=?@\[\]'-]"
)


def escaped(text: str) -> str:
    """The text for LaTeX's text mode, in ASCII; a letter that plain LaTeX does not have is named by its code point.

    >>> print(escaped("learn_scalers=50% ±0.3¹, Müller"))
    learn\\_scalers=50\\% $\\pm$0.3\\textsuperscript{1}, M\\"{u}ller
    """
    return _TO_CHANGE.sub(lambda match: _changed(match.group()), text)


def _changed(found: str) -> str:
    if found in _SPECIAL:
        return _SPECIAL[found]
    if found in _GREEK:
        name = unicodedata.name(found).split()[-1].lower().replace("lamda", "lambda")
        return rf"$\{name.capitalize() if found.isupper() else name}$"
    digits = found.translate(_SUPERSCRIPTS)
    if digits != found:
        return rf"\textsuperscript{{{digits}}}"
    base, *accents = list(unicodedata.normalize("NFD", found))
    if base.isascii() and len(accents) == 1 and accents[0] in _ACCENTS:
        return rf"\{_ACCENTS[accents[0]]}{{{base}}}"
    return f"[U+{ord(found):04X}]"
