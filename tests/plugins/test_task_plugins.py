"""A task kind, a metric and a data set are one file each: cells are measured by them, and nothing else changes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from learngene_bench.config.loader import shipped_files

PIXELS = {
    "learngene_bench.datasets": {"squares": "toy_pixels:Squares"},
    "learngene_bench.tasks": {"pixels": "toy_pixels:Pixels"},
    "learngene_bench.metrics": {"mean-iou": "toy_pixels:MeanIou"},
}
STRIPES = {"learngene_bench.datasets": {"stripes": "toy_stripes:Stripes"}}
CONFIDENCE = {"learngene_bench.metrics": {"confidence": "toy_confidence:Confidence"}}


def preset(folder: Path, data: str) -> str:
    """The preset of the digits with other data; returns its file."""
    text = shipped_files("preset")["digits"].read_text()
    text = text[: text.index("\n[downstream.recipe]")]
    text = re.sub(r"\[data\].*?\n\n", f"[data]\n{data}\n\n", text, flags=re.DOTALL).replace("epochs = 60", "epochs = 2")
    path = folder / "toy.toml"
    path.write_text(text.replace('name = "digits"\ntitle', 'name = "toy"\ntitle'))
    return str(path)


def records_of(runs: Path, kind: str = "cell") -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in runs.glob(f"{kind}/*/result.json")]


def run(lgbench: Callable[..., Any], preset: str, *arguments: str, status: int = 0) -> Any:
    common = ("--preset", preset, "--grid", "depth", "--runs", "runs", "--set", "grid.depths=[2]")
    return lgbench("run", "--executor", "inline", *common, *arguments, status=status)


@pytest.mark.slow
def test_a_task_kind_is_one_file(installed: Callable[..., Any], tmp_path: Path) -> None:
    """Per-pixel labels that move with the image, a decoder, and a metric that is no mean over images."""
    lgbench, file = installed(PIXELS), preset(tmp_path, 'name = "squares"')
    settings = ("--set", "finetuning.augmentation.shift=1", "--set", "finetuning.augmentation.flip=true")
    run(lgbench, file, "--method", "he,direct-pt,share", *settings, "--set", "finetuning.epochs=8")
    records = records_of(tmp_path / "runs")
    assert {record["cell"]["method"] for record in records} == {"he", "direct-pt"}
    for record in records:
        assert record["metrics"].keys() == record["metric_specs"].keys() == {"mean-iou"}
        assert record["primary_metric"] == "mean-iou"
        assert record["metrics"]["mean-iou"] >= record["initial_metrics"]["mean-iou"]
    (he,) = (record for record in records if record["cell"]["method"] == "he")
    assert he["metrics"]["mean-iou"] > 40
    assert all(record["metrics"].keys() == {"mean-iou"} for record in records_of(tmp_path / "runs", "ancestor"))
    report = lgbench("report", "--runs", "runs").stdout
    assert "Mean IoU" in report
    assert "He-Init" in report
    assert "models of the task kind 'pixels' cannot be distilled" in report


def test_a_recipe_that_does_not_suit_a_task_kind_is_refused_in_one_line(
    installed: Callable[..., Any], tmp_path: Path
) -> None:
    lgbench, file = installed(PIXELS), preset(tmp_path, 'name = "squares"')
    for setting, error in {
        "finetuning.mixup=0.8": "labels of the task kind 'pixels' cannot be mixed or smoothed: set mixup to 0",
        "finetuning.augmentation.auto_augment=rand-m9": "move with the image, which random_crop and auto_augment",
    }.items():
        done = run(lgbench, file, "--method", "he", "--set", setting, status=2)
        assert error in " ".join(done.stderr.split())


@pytest.mark.slow
def test_a_metric_is_one_file(installed: Callable[..., Any], tmp_path: Path) -> None:
    lgbench = installed(CONFIDENCE)
    lgbench("run", "--executor", "inline", "--method", "he", "--grid", "depth", "--quick", "--runs", "runs")
    for record in records_of(tmp_path / "runs"):
        assert {"top1", "top5", "nll", "confidence"} == record["metrics"].keys() == record["initial_metrics"].keys()
        assert 0.1 < record["metrics"]["confidence"] < 1
        assert all("confidence" in point["metrics"] for point in record["curve"] if point["metrics"])
    report = lgbench("report", "--runs", "runs", "--metric", "confidence").stdout
    assert "Mean confidence" in report


@pytest.mark.slow
def test_a_data_set_is_one_file(installed: Callable[..., Any], tmp_path: Path) -> None:
    lgbench = installed(STRIPES)
    run(lgbench, preset(tmp_path, 'name = "stripes"\ncontrast = 90'), "--method", "he")
    (record,) = records_of(tmp_path / "runs")
    assert record["evaluation"]["images"] == 96
    assert record["metrics"]["top5"] == 100
    assert "He-Init" in lgbench("report", "--runs", "runs").stdout


def test_an_unknown_task_kind_is_named(installed: Callable[..., Any], tmp_path: Path) -> None:
    lgbench = installed({"learngene_bench.datasets": PIXELS["learngene_bench.datasets"]})
    done = run(lgbench, preset(tmp_path, 'name = "squares"'), "--method", "he", status=2)
    assert "unknown task kind 'pixels' (valid: classification, segmentation, segmentation-mask)" in done.stderr
