"""The parameter column that `lgbench plan` prints against the WAVE paper's, to the printed precision of every cell."""

from __future__ import annotations

import json
from collections import defaultdict
from statistics import mean
from typing import Any

import pytest

from learngene_bench.cli.main import run_command
from learngene_bench.results.tables import published

Row = tuple[Any, Any, Any]
"""Method, variant and size."""

WIDTHS_ARE_OF = "s"
"""Size whose widths Table 2 varies; its rows name none."""

NOT_DECODED = {("ligo", "", "s"): ("7.9", "10.0")}
"""Our column and the paper's where they differ: LiGO's 10.0 of the width table follows from no reading of the paper."""

VARIANTS = {
    row["where"]["variant"]: row["variant"]
    for row in published.paper()["tables"]["depth"]["ablations"]
    if row["file"] == "ablation_templates"
}
"""Options of the rows of Table 5, which are all WAVE's."""


def plan(capsys: pytest.CaptureFixture[str], grid: str, *options: str) -> dict[str, Any]:
    """Returns the plan as `lgbench plan` prints it; the imagenet preset needs neither data nor torch for it."""
    assert run_command(["plan", "--preset", "imagenet", "--grid", grid, *options, "--format", "json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def column(planned: dict[str, Any]) -> dict[Row, str]:
    """Each row's mean over targets, in millions with one decimal; 0 without."""
    stored: dict[Row, list[int]] = defaultdict(list)
    for cell in planned["cells"]:
        stored[cell["method"], cell["variant"], cell["size"]].append(cell["parameters"]["stored"])
    return {key: f"{mean(counts) / 1e6:.1f}" if any(counts) else "0" for key, counts in stored.items()}


def printed(row: dict[str, Any]) -> str:
    """The figure as the paper prints it."""
    return f"{row['params_m']:.1f}" if row["params_m"] else "0"


@pytest.mark.parametrize(
    ("grid", "figures", "different"), [("depth", 3 * 11, {}), ("width", 6, NOT_DECODED), ("transfer", 2 * 11, {})]
)
def test_methods(
    capsys: pytest.CaptureFixture[str], grid: str, figures: int, different: dict[Row, tuple[str, str]]
) -> None:
    """Tables 1 to 3."""
    expected = {((row["method"], "", row.get("size", WIDTHS_ARE_OF)), printed(row)) for row in published.table(grid)}
    assert len(expected) == figures
    measured = column(plan(capsys, grid, "--method", "all"))
    assert {row: (measured[row], figure) for row, figure in expected if measured[row] != figure} == different


@pytest.mark.parametrize("axis", ["depth", "width"])
def test_dashes(capsys: pytest.CaptureFixture[str], axis: str) -> None:
    """Targets that a method cannot make are those for which the paper prints a dash."""
    rows = published.table(axis)
    methods = ",".join({str(row["method"]) for row in rows})
    dashes = plan(capsys, axis, "--method", methods)["dashes"]
    empty = {(row["method"], row.get("size", WIDTHS_ARE_OF), row[axis]) for row in rows if row["top1"] is None}
    assert {(dash["method"], dash["size"], dash["target"][axis]) for dash in dashes} == empty


def test_templates(capsys: pytest.CaptureFixture[str]) -> None:
    """Table 5: number and size of templates."""
    rows = published.table("ablation_templates")
    expected = {("wave", VARIANTS.get(row["variant"], ""), row["size"]): printed(row) for row in rows}
    assert len(expected) == 3 * 4
    assert column(plan(capsys, "templates")) == expected


def test_sws(capsys: pytest.CaptureFixture[str]) -> None:
    """SWS, which the paper's tables lack: three groups of layers, each of its own size."""
    assert column(plan(capsys, "depth", "--method", "sws")) == {
        ("sws", "", "ti"): "2.6",
        ("sws", "", "s"): "9.6",
        ("sws", "", "b"): "37.0",
    }
