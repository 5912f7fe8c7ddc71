"""Equations of a page as MathML, which every browser shows without a script."""

from __future__ import annotations

from typing import Any

from latex2mathml.converter import convert


def fence(source: str, language: str, css_class: str, options: dict[str, Any], markdown: Any, **_: Any) -> str:
    """Renders a block of code of the kind `math`; a line is an equation, as GitHub shows it with a double backslash.

    The arguments are those that `pymdownx.superfences` gives to a format of one's own.
    """
    lines = [line.removesuffix("\\\\").strip() for line in source.splitlines()]
    return "".join(f'<div class="{css_class}">{convert(line, display="block")}</div>' for line in lines if line)
