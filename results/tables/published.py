"""The numbers that the WAVE paper prints; published/README.md says what each file holds."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from learngene_bench.util.errors import unknown

TABLES = ("depth", "width", "transfer", "ablation_components", "ablation_templates")

METRIC = "top1"
"""Name of the metric that the paper prints."""

SIZE_TITLES = {"ti": "DeiT-Ti", "s": "DeiT-S", "b": "DeiT-B"}


VARIANTS: dict[str, tuple[str, dict[str, str | float]]] = {
    "parts=attention+projection+mlp": ("ablation_components", {"row": 5.0}),
    "per_position=1": ("ablation_templates", {"variant": "fewer"}),
    "template_divisor=2": ("ablation_templates", {"variant": "smaller"}),
    "per_position=3": ("ablation_templates", {"variant": "more"}),
}
"""WAVE's rows of the ablations (Tables 4 and 5, six layers) by the options that are theirs here.

The check marks of Table 4's rows 2 to 4 are lost, so that nothing can stand beside those.
"""

ABLATED_DEPTH = 6

GHN3_OF_THE_PAPER = re.compile("weights=[0-9a-f]{8}")


@dataclass(frozen=True)
class Series:
    """The part of a published table that a size of a measured one can stand beside.

    Attributes:
        table: number of the table in the paper.
        title: which model.
        values: top-1 by method and then by the value of the axis (a depth, a width, a task); None for a dash.
        variants: likewise, of the ablations, by method and variant.
    """

    table: int
    title: str
    values: Mapping[str, Mapping[object, float | None]]
    variants: Mapping[tuple[str, str], Mapping[object, float | None]] = field(default_factory=dict)

    def of(self, method: str, variant: str) -> Mapping[object, float | None] | None:
        """Returns the paper's numbers of a method or a variant; None if it prints none.

        Its GHN-3 has the authors' weights, which here are a variant of the one that is trained here.
        """
        if method == "ghn3":
            return self.values.get(method) if GHN3_OF_THE_PAPER.fullmatch(variant) else None
        return self.variants.get((method, variant)) if variant else self.values.get(method)


def series(axis: str, size: str) -> Series:
    """The paper's numbers along an axis for the size of this name, else for its smallest model.

    Args:
        axis: depth, width or task.
        size: "ti", "s" and "b" are the paper's; its table of widths has only one model.
    """
    name, number, column = {
        "depth": ("depth", 1, "depth"),
        "width": ("width", 2, "width"),
        "task": ("transfer", 3, "dataset"),
    }[axis]
    rows = [row for row in table(name) if row[column] != "average"]
    chosen, title = size, "DeiT, 6 layers"
    if name != "width":
        chosen = size if any(row["size"] == size for row in rows) else "ti"
        rows = [row for row in rows if row["size"] == chosen]
        title = SIZE_TITLES[chosen]
    values: dict[str, dict[object, float | None]] = {}
    for row in rows:
        values.setdefault(str(row["method"]), {})[row[column]] = _number(row["top1"])
    return Series(number, title, values, _variants(chosen) if axis == "depth" else {})


def _variants(size: str) -> dict[tuple[str, str], dict[object, float | None]]:
    """The paper's ablations of WAVE for one of its sizes."""
    found: dict[tuple[str, str], dict[object, float | None]] = {}
    for variant, (name, wanted) in VARIANTS.items():
        (row,) = (
            row
            for row in table(name)
            if all(row[key] == value for key, value in wanted.items()) and row.get("size", size) == size
        )
        top1 = _number(row["top1"] if "top1" in row else row[size])
        found["wave", variant] = {float(ABLATED_DEPTH): top1}
    return found


def table(name: str) -> list[dict[str, str | float | None]]:
    """The rows of one published table; numbers as floats, None for a dash in the paper.

    Raises:
        UserError: no such table.
    """
    if name not in TABLES:
        raise unknown("published table", name, TABLES)
    path = Path(__file__).parents[1] / "published" / f"{name}.csv"
    with path.open(encoding="utf-8", newline="") as file:
        return [{key: _value(text) for key, text in row.items()} for row in csv.DictReader(file)]


def _number(value: str | float | None) -> float | None:
    return None if value is None else float(value)


def _value(text: str) -> str | float | None:
    if not text:
        return None
    try:
        return float(text)
    except ValueError:
        return text
