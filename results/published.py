"""The numbers that the WAVE paper prints; published/README.md says what each file holds."""

from __future__ import annotations

import csv
from pathlib import Path

from learngene_bench.errors import unknown

TABLES = ("depth", "width", "transfer", "ablation_components", "ablation_templates")


def table(name: str) -> list[dict[str, str | float | None]]:
    """The rows of one published table; numbers as floats, None for a dash in the paper.

    Raises:
        UserError: no such table.
    """
    if name not in TABLES:
        raise unknown("published table", name, TABLES)
    path = Path(__file__).parent / "published" / f"{name}.csv"
    with path.open(encoding="utf-8", newline="") as file:
        return [{key: _value(text) for key, text in row.items()} for row in csv.DictReader(file)]


def _value(text: str) -> str | float | None:
    if not text:
        return None
    try:
        return float(text)
    except ValueError:
        return text
