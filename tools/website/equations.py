"""Equations of a page as MathML, which every browser shows without a script."""

from __future__ import annotations

import re
from typing import Any

from latex2mathml.converter import convert

from website.links import outside_blocks

FORMULA = re.compile(r"(?<![\w$`\\])\$([^$\n]+)\$(?![\w$])")
"""A formula in a line of text."""


def fence(source: str, language: str, css_class: str, options: dict[str, Any], markdown: Any, **_: Any) -> str:
    """Renders a block of code of the kind `math`; a line is an equation, as GitHub shows it with a double backslash.

    The arguments are those that `pymdownx.superfences` gives to a format of one's own.
    """
    lines = [line.removesuffix("\\\\").strip() for line in source.splitlines()]
    return "".join(f'<div class="{css_class}">{convert(line, display="block")}</div>' for line in lines if line)


def inline(source: str, language: str, css_class: str, markdown: Any) -> str:
    """Renders a formula in a line of text, which `marked` has made a code of the kind `math`."""
    return convert(source)


def marked(text: str) -> str:
    """Marks the formulas of a line, `$a$` as GitHub reads them, as code of the kind `math`."""
    return outside_blocks(text, lambda part: FORMULA.sub(r"`#!math \1`", part)) if "```math" in text else text
