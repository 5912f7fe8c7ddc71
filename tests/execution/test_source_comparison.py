"""Cells of grids with a source model: their records say how far the target's outputs are from the source's."""

from __future__ import annotations

import json
from pathlib import Path

from whole_runs import lgbench_here as lgbench

METHODS = "he,stack:rule=zero-block,net2net,lemon,heru-lg"


def test_records_tell_which_targets_compute_what_their_source_does(tmp_path: Path) -> None:
    settings = ["--set", "data.placements=1", "--set", "grid.depths=[2,4]", "--set", "grid.source_model.depth=2"]
    lgbench(
        "run", "--executor", "inline", "--grid", "growth", "--method", METHODS, "--quick", *settings,
        "--set", "heru-lg.blocks=2", "--runs", str(tmp_path / "runs"),
    )  # fmt: skip
    found = {}
    for path in tmp_path.glob("runs/cell/*/result.json"):
        record = json.loads(path.read_text())
        cell, comparison = record["cell"], record.get("source_comparison")
        key = cell["method"], cell["target"]["depth"], cell["target"]["width"]
        found[key] = comparison and comparison["difference"] / comparison["magnitude"]
        assert comparison is None or comparison["images"] == 180
    assert found.pop(("stack", 4, 48)) == 0.0
    exact = [("lemon", 4, 48), ("lemon", 2, 96), ("lemon", 4, 96), ("net2net", 2, 96)]
    assert all(found.pop(key) < 1e-5 for key in exact)
    assert [found.pop(("he", *size)) for size in ((4, 48), (2, 96), (4, 96))] == [None] * 3
    # Stacked as they are, or above blocks without a learngene, layers compute something else.
    assert found.keys() == {("net2net", 4, 48), ("net2net", 4, 96), ("heru-lg", 4, 48)}
    assert all(difference > 1e-2 for difference in found.values())
