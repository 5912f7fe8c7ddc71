"""`lgbench analyze segmentation`: its pixels are those that the record of the cell was measured on."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import torch
from PIL import Image
from whole_runs import lgbench_here

from learngene_bench.analysis.cells import AnalyzedCell, choose
from learngene_bench.analysis.models import model_of, samples
from learngene_bench.analysis.segmentation import Pixels, class_colors, count, predictions
from learngene_bench.plugins.registry import Registry
from learngene_bench.runs.store import Runs

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Cells of one method: segmentation with both decoders, and classification."""
    folder = tmp_path_factory.mktemp("panels") / "runs"
    options = ["run", "-m", "he", "--executor", "inline", "--quick", "--runs", str(folder)]
    few = ["--set", "grid.sizes=['micro']"]
    lgbench_here(*options, "--grid", "segmentation", *few)
    lgbench_here(*options, "--grid", "segmentation", *few, "--set", "downstream.tasks.digit-scenes.data.decoder=mask")
    lgbench_here(*options, "--grid", "depth", "--set", "grid.depths=[4]")
    return folder


@pytest.fixture
def linear(runs: Path) -> AnalyzedCell:
    """The cell of the linear decoder."""
    (found,) = [cell for cell in choose(Runs(runs), []) if _kind(cell) == "segmentation"]
    return found


def _kind(cell: AnalyzedCell) -> str:
    return samples([cell], "test", 1, 0).facts.kind


def test_all_images_together_have_the_metrics_of_the_record(linear: AnalyzedCell) -> None:
    shown = samples([linear], "test", 10_000, 0)
    predicted = predictions(model_of(linear, "finetuned", Registry()), shown)
    pixels = [count(*images, shown.facts.classes) for images in zip(shown.labels, predicted, strict=True)]
    total = Pixels(*(torch.stack(numbers).sum(0) for numbers in zip(*pixels, strict=True)))
    assert linear.record.class_metrics is not None
    ious = linear.record.class_metrics["miou"]
    assert dict(zip(shown.facts.class_names, total.iou, strict=True)) == {n: pytest.approx(v) for n, v in ious.items()}
    assert total.accuracy == pytest.approx(linear.record.metrics["pixel-accuracy"])


def test_a_picture_a_table_and_rows(runs: Path, linear: AnalyzedCell, tmp_path: Path) -> None:
    printed = lgbench_here(
        *("analyze", "segmentation", linear.address, "--weights", "both", "--images", "3"),
        *("--runs", str(runs), "-o", str(tmp_path)),
    ).stdout
    assert "He-Init, finetuned" in printed
    with (tmp_path / "segmentation.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert {row["weights"] for row in rows} == {"initial", "finetuned"}
    pixels = {(row["weights"], row["image"]): 0 for row in rows}
    assert len(pixels) == 6
    for row in rows:
        pixels[row["weights"], row["image"]] += int(row["labelled"])
    assert set(pixels.values()) == {24 * 24}
    with Image.open(tmp_path / "segmentation.png") as picture:
        assert len(set(picture.convert("RGB").getdata()) & set(map(tuple, class_colors(11).tolist()))) > 1


def test_what_has_no_prediction_for_each_pixel_is_refused(runs: Path, linear: AnalyzedCell) -> None:
    def refused(*arguments: str) -> str:
        return lgbench_here("analyze", *arguments, "--runs", str(runs), status=2).stderr

    others = {_kind(cell): cell.address for cell in choose(Runs(runs), []) if cell.address != linear.address}
    assert "not 'classification'" in refused("segmentation", others["classification"])
    assert "whose decoder is not kept" in refused("segmentation", others["segmentation-mask"])
    assert "for images of one class, not for segmentation" in refused("attention-maps", linear.address)
