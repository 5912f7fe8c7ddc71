"""`lgbench evaluate` on a real quick run: metrics on shifted copies, predictions of old records, damaged files."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from whole_runs import lgbench_here

from learngene_bench.results.records.loading import load
from learngene_bench.results.records.predictions import predictions_of
from learngene_bench.schema.base import read
from learngene_bench.schema.evaluation import EvaluationRecord
from learngene_bench.schema.record import CellRecord

QUICK = ["-m", "he,mimetic", "--quick", "--set", "grid.depths=[4]", "--executor", "inline"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two cells of a quick run, of which the first is as an earlier version left it, without predictions."""
    runs = tmp_path_factory.mktemp("evaluated") / "runs"
    lgbench_here("run", *QUICK, "--runs", str(runs))
    old = folder_of(runs, "he")
    (old / "predictions.npz").unlink()
    record = json.loads((old / "result.json").read_text())
    del record["predictions"]
    (old / "result.json").write_text(json.dumps(record))
    return runs


@pytest.fixture
def runs(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "runs"))


def folder_of(runs: Path, method: str) -> Path:
    (found,) = (
        path.parent
        for path in runs.glob("cell/*/result.json")
        if json.loads(path.read_text())["cell"]["method"] == method
    )
    return found


def evaluations(folder: Path) -> dict[Any, EvaluationRecord]:
    found = (read(EvaluationRecord, path) for path in sorted((folder / "evaluations").glob("*.json")))
    return {(one.shift.name, one.shift.level) if one.shift else None: one for one in found}


def test_shifted_copies_are_measured_once_and_records_stay(runs: Path) -> None:
    he, mimetic = (folder_of(runs, method) for method in ("he", "mimetic"))
    before = {path: path.read_bytes() for path in runs.glob("cell/*/result.json")}
    said = lgbench_here("evaluate", "--runs", str(runs)).stdout
    assert "9 measured" in said  # four rotations, four noises; he's predictions too
    assert "8 measured" in said
    assert {path: path.read_bytes() for path in before} == before
    found = evaluations(he)
    assert set(found) - {None} == {("rotated", a) for a in (15, 30, 45, 60)} | {
        ("noisy", s) for s in (0.1, 0.2, 0.4, 0.6)
    }
    assert found[None].metrics == read(CellRecord, he / "result.json").metrics
    assert None not in evaluations(mimetic)
    records = {record.cell.method: record for record in load([runs]).records.values()}
    for method, record in records.items():
        kept = predictions_of(record)
        assert kept is not None
        assert 100 * kept.predictions.right.mean() == pytest.approx(record.metrics["top1"], abs=1e-9), method
        assert kept.evaluation.views == 4
    written = {path: path.stat().st_mtime_ns for path in runs.rglob("evaluations/*")}
    (he / "evaluations" / f"{found[None].address[:20]}.npz").write_bytes(b"cut")
    again = lgbench_here("evaluate", "--runs", str(runs)).stdout
    assert "1 measured, 8 were there" in again
    assert "0 measured, 8 were there" in again
    assert sum(path.stat().st_mtime_ns != then for path, then in written.items()) == 2
    tables = json.loads(lgbench_here("report", "--runs", str(runs), "--table", "shifts", "--format", "json").stdout)
    (table,) = tables["tables"]
    (row,) = (row for row in table["rows"] if row["facts"]["method"] == "he")
    top1 = {key: one.metrics["top1"] for key, one in found.items()}
    shown = dict(zip([(c["span"], c["label"]) for c in table["columns"]], row["cells"], strict=True))
    assert shown["", "as is"]["value"] == top1[None]
    assert shown["Rotated (degrees)", "45"]["value"] == top1["rotated", 45.0]
    means = [np.mean([value for key, value in top1.items() if key and key[0] == name]) for name in ("rotated", "noisy")]
    assert shown["Mean", "all shifts"]["value"] == pytest.approx(np.mean(means))


def test_one_shift_with_probabilities(runs: Path) -> None:
    lgbench_here("evaluate", "method=mimetic", "--runs", str(runs), "--shift", "noisy", "--probabilities")
    found = evaluations(folder_of(runs, "mimetic"))
    assert [key and key[0] for key in found].count("noisy") == 4
    for one in found.values():
        with np.load(folder_of(runs, "mimetic") / "evaluations" / f"{one.address[:20]}.npz") as arrays:
            assert arrays["probabilities"].shape == (one.evaluation.images, 10)
            assert arrays["probabilities"].max(1) == pytest.approx(arrays["confidence"], abs=1e-3)


def test_mistakes_and_what_is_gone_are_one_line(runs: Path) -> None:
    said = lgbench_here("evaluate", "--runs", str(runs), "--shift", "rotate", status=2).stderr
    assert said == "lgbench: unknown shift of digits 'rotate': did you mean 'rotated'? (valid: noisy, none, rotated)\n"
    (folder_of(runs, "he") / "model.safetensors").unlink()
    done = lgbench_here("evaluate", "--runs", str(runs), "--shift", "none", status=1)
    assert done.stderr.count("\n") == 1
    assert "model.safetensors is not there" in done.stderr
    assert "mimetic" in done.stdout.lower()


def test_a_damaged_evaluation_is_a_footnote(runs: Path) -> None:
    lgbench_here("evaluate", "method=mimetic", "--runs", str(runs), "--shift", "rotated")
    mine, other = folder_of(runs, "mimetic") / "evaluations", folder_of(runs, "he") / "evaluations"
    first, second, *_ = sorted(mine.glob("*.json"))
    shutil.copytree(mine, other)  # of another cell
    first.write_text("{")
    second.write_text(second.read_text().replace('"level": ', '"level": 1'))
    report = ["report", "--runs", str(runs), "--table", "shifts", "--format", "json"]
    (table,) = json.loads(lgbench_here(*report).stdout)["tables"]
    assert any(f"{first} is damaged" in line for line in table["footnotes"])
    assert any(f"{second} is damaged" in line and "changed since it was written" in line for line in table["footnotes"])
    assert any("of another cell or of other weights" in line for line in table["footnotes"])
