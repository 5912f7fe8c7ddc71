"""Statistics of predictions against independent computations, and their tables and figures from kept files."""

from __future__ import annotations

import csv
import io
import json
import math
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import cohen_kappa_score

from learngene_bench.cli.main import run_command
from learngene_bench.results.statistics.predictions import (
    bootstrap_mean,
    by_thing,
    calibration,
    mcnemar_p,
    overlap,
    pooled,
    sign_flip_p,
)
from learngene_bench.schema.predictions import PREDICTIONS, Predictions
from learngene_bench.schema.record import Evaluation

RANDOM = np.random.default_rng(0)


@pytest.mark.parametrize(("first", "second"), [(0, 0), (3, 3), (0, 6), (12, 5), (80, 121), (3000, 2800)])
def test_mcnemar_is_a_binomial_test_of_the_images_that_one_model_alone_gets_right(first: int, second: int) -> None:
    expected = stats.binomtest(first, first + second).pvalue if first + second else 1.0
    assert mcnemar_p(first, second) == pytest.approx(expected, rel=1e-9)
    sums = RANDOM.permutation([1] * first + [-1] * second + [0] * 50)
    assert sign_flip_p(sums) == mcnemar_p(first, second)


def test_the_sign_flip_test_of_things_tries_all_signs() -> None:
    for _ in range(5):
        sums = RANDOM.integers(-4, 5, 11)
        ways = [abs(np.dot(signs, sums)) >= abs(sums.sum()) for signs in product((1, -1), repeat=len(sums))]
        assert sign_flip_p(sums) == pytest.approx(np.mean(ways), abs=1e-12)
    drawn = RANDOM.integers(-3, 4, 4000) + (RANDOM.random(4000) < 0.02)
    normal = 2 * stats.norm.sf((abs(drawn.sum()) - 0.5) / math.sqrt((drawn**2).sum()))
    assert sign_flip_p(drawn) == pytest.approx(normal, rel=0.05)


def test_overlap_counts_images_and_its_kappa_is_that_of_scikit_learn() -> None:
    label, first, second = (RANDOM.integers(0, 3, 500) for _ in range(3))
    second = np.where(RANDOM.random(500) < 0.5, first, second)
    found = overlap(first, second, label)
    pairs = list(zip((first == label).tolist(), (second == label).tolist(), strict=True))
    counts = [pairs.count(pair) / 500 for pair in ((True, True), (True, False), (False, True), (False, False))]
    assert list(found[:4]) == counts
    assert found.same == sum(a == b for a, b in zip(first, second, strict=True)) / 500
    assert found.consistency == pytest.approx(cohen_kappa_score(first == label, second == label))
    assert overlap(label, label, label).consistency is None


def test_the_bootstrap_draws_things() -> None:
    values = RANDOM.choice([-100.0, -50.0, 0.0, 0.0, 0.0, 50.0, 100.0], 400)
    found = bootstrap_mean(values)
    draws = RANDOM.choice(values, (4000, 400)).mean(1)
    assert found == pytest.approx(np.quantile(draws, [0.025, 0.975]).tolist(), abs=0.6)
    assert found == pytest.approx(stats.norm.interval(0.95, values.mean(), stats.sem(values)), abs=0.6)
    assert by_thing(np.arange(12), 4).tolist() == [6, 22, 38]


def expected_calibration_error(confidence: np.ndarray, right: np.ndarray) -> float:
    """Computes it by a loop over bins, as the definition reads."""
    error = 0.0
    for low in range(15):
        inside = [i for i, value in enumerate(confidence.tolist()) if low / 15 < value <= (low + 1) / 15]
        if inside:
            gap = np.mean([right[i] for i in inside]) - np.mean([confidence[i] for i in inside])
            error += len(inside) / len(confidence) * abs(gap)
    return error


def test_calibration_error_is_that_of_a_loop_over_bins() -> None:
    confidence = RANDOM.random(700).astype(np.float32)
    confidence[:3] = 1.0, 1e-9, 0.5
    right = RANDOM.random(700) < confidence**2
    found = calibration(confidence, right)
    assert found.error == pytest.approx(expected_calibration_error(confidence, right))
    assert found.mean_confidence == pytest.approx(confidence.mean())
    assert found.mean_accuracy == pytest.approx(right.mean())
    halves = [calibration(confidence[part], right[part]) for part in (slice(0, 300), slice(300, 700))]
    for name in found._fields:
        assert getattr(pooled(halves), name) == pytest.approx(getattr(found, name))


IMAGES, CLASSES = 240, 10


def predicted(accuracy: float, seed: int, method: int) -> Predictions:
    """Predictions of a made-up model: right with this probability, and sure by chance."""
    random = np.random.default_rng([seed, method])
    label = np.arange(IMAGES) % CLASSES
    wrong = (label + random.integers(1, CLASSES, IMAGES)) % CLASSES
    guessed = np.where(random.random(IMAGES) < accuracy, label, wrong)
    confidence = random.uniform(0.3, 1.0, IMAGES).astype(np.float32)
    return Predictions(guessed.astype(np.uint8), confidence, label.astype(np.uint8))


METHODS = {"he": 0.6, "ligo": 0.75, "wave": 0.8}


def keep(runs: Any, cell: dict[str, Any], predictions: Predictions, views: int = 1, **changes: Any) -> None:
    """Writes a cell with its predictions, as a run does."""
    from hashlib import sha256

    content = predictions.content()
    evaluation = Evaluation(split="test", images=IMAGES, views=views).model_dump(mode="json")
    about = {"sha256": sha256(content).hexdigest(), "bytes": len(content)}
    runs.done(cell, 100.0 * float(predictions.right.mean()), evaluation=evaluation, predictions=about, **changes)
    (runs.path(cell).parent / PREDICTIONS).write_bytes(content)


@pytest.fixture
def kept(runs: Any) -> Any:
    """Three methods at depth 4 with predictions, of which four images in a row show one thing, and one without."""
    cells = []
    for number, (method, accuracy) in enumerate(METHODS.items()):
        for seed in range(2):
            cell = runs.cell(method, 4, seed)
            cells.append(cell)
            keep(runs, cell, predicted(accuracy, seed, number), views=4)
    cells += [runs.done(runs.cell("mimetic", 4, seed), 50.0) for seed in range(2)]
    runs.plan(cells)
    return runs


def report(folder: Path, table: str, form: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert run_command(["report", "--runs", str(folder), "--table", table, "--format", form]) == 0
    return capsys.readouterr().out


def test_pairs_with_the_best_and_all_pairs_as_data(kept: Any, capsys: pytest.CaptureFixture[str]) -> None:
    (table,) = json.loads(report(kept.folder, "predictions", "json", capsys))["tables"]
    assert table["title"] == "Predictions of WAVE and the others for the same images, depth 4"
    rows = {row["label"]: row["cells"] for row in table["rows"]}
    assert set(rows) == {"He-Init", "LiGO", "Mimetic"}
    assert "no predictions are kept" in table["footnotes"][0]
    first, second = ([predicted(METHODS[m], seed, n) for seed in range(2)] for m, n in (("wave", 2), ("he", 0)))
    shares = [overlap(a.predicted, b.predicted, a.label) for a, b in zip(first, second, strict=True)]
    assert rows["He-Init"][1]["value"] == pytest.approx(100 * np.mean([one.only_first for one in shares]))
    assert rows["He-Init"][6]["value"] == pytest.approx(
        100 * np.mean([one.only_first - one.only_second for one in shares])
    )
    lines = list(csv.DictReader(io.StringIO(report(kept.folder, "predictions", "csv", capsys))))
    assert len(lines) == 3 * 3  # pairs; two seeds and both
    more = sum(a.right.astype(int) - b.right for a, b in zip(first, second, strict=True))
    (line,) = [one for one in lines if {one["first_method"], one["second_method"]} == {"he", "wave"} and one["p"]]
    assert float(line["p"]) == pytest.approx(sign_flip_p(by_thing(more, 4)))
    assert line["things"] == str(IMAGES // 4)
    holm = sorted(float(one["p"]) for one in lines if one["p"])[0] * 3
    assert min(float(one["p_holm"]) for one in lines if one["p"]) == pytest.approx(holm)


def test_calibration_over_seeds(kept: Any, capsys: pytest.CaptureFixture[str]) -> None:
    (table,) = json.loads(report(kept.folder, "calibration", "json", capsys))["tables"]
    (cells,) = (row["cells"] for row in table["rows"] if row["label"] == "WAVE")
    found = [predicted(METHODS["wave"], seed, 2) for seed in range(2)]
    errors = [100 * expected_calibration_error(one.confidence, one.right) for one in found]
    assert cells[0]["value"] == pytest.approx(np.mean(errors))
    assert cells[0]["spread"] == pytest.approx(np.std(errors, ddof=1))
    assert cells[1]["value"] == pytest.approx(100 * np.mean([one.confidence.mean() for one in found]))
    (missing,) = (row["cells"] for row in table["rows"] if row["label"] == "Mimetic")
    assert [cell["text"] for cell in missing] == ["0/2"] * 3


def test_a_damaged_file_is_a_footnote_and_the_rest_is_there(kept: Any, capsys: pytest.CaptureFixture[str]) -> None:
    (path,) = (kept.path(kept.cell("ligo", 4, seed)).parent / PREDICTIONS for seed in (1,))
    path.write_bytes(path.read_bytes()[:-1])
    for name in ("predictions", "calibration"):
        (table,) = json.loads(report(kept.folder, name, "json", capsys))["tables"]
        assert f"{path}: damaged (its hash differs from the record's)" in table["footnotes"]
        assert {row["label"] for row in table["rows"]} >= {"He-Init", "LiGO"}
    assert "WAVE" in report(kept.folder, "predictions", "table", capsys)


def test_other_images_are_not_compared(runs: Any, capsys: pytest.CaptureFixture[str]) -> None:
    cells = [runs.cell(method, 4, 0) for method in METHODS]
    for number, cell in enumerate(cells):
        found = predicted(0.6 + 0.1 * number, 0, number)
        keep(runs, cell, found if number else replace(found, label=found.label[::-1].copy()))
    runs.plan(cells)
    (table,) = json.loads(report(runs.folder, "predictions", "json", capsys))["tables"]
    (he,) = (row for row in table["rows"] if row["label"] == "He-Init")
    assert table["footnotes"][he["footnotes"][0] - 1] == "no seed with predictions for the same images as the best"
    assert {cell["text"] for cell in he["cells"]} == {"—"}


def test_nothing_kept_is_one_line(example: Any, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("predictions", "calibration", "shifts"):
        assert run_command(["report", "--runs", str(example.folder), "--table", name]) == 2
        assert f"no table '{name}' follows from results of the grids here" in capsys.readouterr().err


def test_hostile_names(runs: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    title = "<script>|$x$ \x1b[31m\\"
    cells = [runs.cell(method, 4, 0, title=f"{method}{title}", task=title, size=title) for method in METHODS]
    for number, cell in enumerate(cells):
        keep(runs, cell, predicted(0.6 + 0.1 * number, 0, number))
    runs.plan(cells, axis="task")
    for name in ("predictions", "calibration"):
        for form in ("table", "markdown", "latex", "html", "csv"):
            text = report(runs.folder, name, form, capsys)
            assert "\x1b" not in text
            assert form not in ("markdown", "html") or "<script>|" not in text
    assert run_command(["plot", "reliability", "--runs", str(runs.folder), "-o", str(tmp_path / "figures")]) == 0
    assert sorted(tmp_path.rglob("*.png")) == sorted((tmp_path / "figures").glob("*.png"))


def test_reliability_diagrams(kept: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["plot", "reliability", "--runs", str(kept.folder), "-o", str(tmp_path)]) == 0
    png, pdf = capsys.readouterr().out.split()
    assert Path(png).name.startswith("reliability-depth-micro-digits-")
    assert Path(pdf).stat().st_size > 1000
