"""Reads the numbers that a paper prints, and what it says of them; published/README.md describes the files."""

from __future__ import annotations

import csv
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from learngene_bench.util.errors import unknown

FOLDER = Path(__file__).parents[1] / "published"

TABLES = tuple(sorted(path.stem for path in FOLDER.glob("*.csv")))

Numbers = Mapping[object, float | None]
"""Value of the metric by the value of the axis (a depth, a width, a task); None for a dash in the paper."""


@dataclass(frozen=True)
class Series:
    """The part of a published table that one size of a measured table can stand beside.

    Attributes:
        table: number of the table in the paper.
        title: name of the model.
        values: numbers by method.
        ablations: numbers of the ablations, by method and variant.
    """

    table: int
    title: str
    values: Mapping[str, Numbers]
    ablations: Mapping[tuple[str, str], Numbers] = field(default_factory=dict)

    def of(self, method: str, variant: str) -> Numbers | None:
        """Returns what the paper prints of a method, or of a variant of it; None if it prints nothing."""
        default = paper()["default_variants"].get(method, "")
        if re.fullmatch(default, variant):
            return self.values.get(method)
        return self.ablations.get((method, variant))


@cache
def paper() -> dict[str, Any]:
    """Returns the content of `paper.toml`: names of the paper, its tables and claims."""
    return tomllib.loads((FOLDER / "paper.toml").read_text(encoding="utf-8"))


def series(axis: str, size: str) -> Series:
    """Returns the paper's numbers along an axis for the size of this name, else for its smallest model.

    Args:
        axis: depth, width or task.
        size: name of a size of the preset.
    """
    about, sizes, metric = paper()["tables"][axis], paper()["sizes"], paper()["metric"]
    rows = [row for row in table(about["file"]) if row[about["column"]] != "average"]
    chosen = size if any(row.get("size") == size for row in rows) else next(iter(sizes))
    values: dict[str, dict[object, float | None]] = {}
    for row in rows:
        if row.get("size", chosen) == chosen:
            values.setdefault(str(row["method"]), {})[row[about["column"]]] = _number(row[metric])
    ablations = _ablations(about.get("ablations", ()), chosen)
    return Series(about["number"], about.get("model", sizes[chosen]), values, ablations)


def _ablations(ablations: Sequence[Mapping[str, Any]], size: str) -> dict[tuple[str, str], Numbers]:
    """The paper's ablations along an axis for one of its sizes."""
    metric = paper()["metric"]
    found: dict[tuple[str, str], Numbers] = {}
    for ablation in ablations:
        wanted = ablation["where"].items()
        rows = [row for row in table(ablation["file"]) if row.get("size", size) == size]
        (row,) = (row for row in rows if all(row[key] == value for key, value in wanted))
        value = _number(row[metric] if metric in row else row[size])
        found[ablation["method"], ablation["variant"]] = {float(ablation["at"]): value}
    return found


def table(name: str) -> list[dict[str, str | float | None]]:
    """Returns the rows of one published table; numbers as floats, None for a dash in the paper.

    Raises:
        UserError: there is no such table.
    """
    if name not in TABLES:
        raise unknown("published table", name, TABLES)
    with (FOLDER / f"{name}.csv").open(encoding="utf-8", newline="") as file:
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
