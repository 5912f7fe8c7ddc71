"""`lgbench analyze segmentation`: its pixels are those that the record of the cell was measured on."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from whole_runs import lgbench_here

from learngene_bench.analysis.cells import AnalyzedCell, choose
from learngene_bench.analysis.models import evaluated_images, network_of, samples
from learngene_bench.analysis.segmentation import Pixels, class_colors, count, predictions
from learngene_bench.plugins.registry import Registry
from learngene_bench.runs.store import Runs

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Cells of one method: segmentation with both decoders and of whole photographs, and classification."""
    folder = tmp_path_factory.mktemp("panels")
    options = ["run", "-m", "he", "--executor", "inline", "--quick", "--runs", str(folder / "runs")]
    few = ["--grid", "segmentation", "--set", "grid.sizes=['micro']"]
    photographs(folder / "photographs")
    data = (
        f"{{name='segmentation-folder', root='{folder}/photographs', classes=4, image_size=24, channels=1, stride=8}}"
    )
    lgbench_here(*options, *few, "--set", f"downstream.tasks.mine={{kind='segmentation', data={data}}}")
    lgbench_here(*options, *few, "--set", "downstream.tasks.digit-scenes.data.decoder=mask")
    lgbench_here(*options, "--grid", "depth", "--set", "grid.depths=[4]")
    return folder / "runs"


def photographs(root: Path) -> None:
    """Images of two sizes, neither square, with labels that are twice as large as what evaluation resizes images to."""
    random = np.random.default_rng(0)
    for split, number in {"train": 8, "val": 2, "test": 3}.items():
        for folder, values in {"images": 256, "annotations": 4}.items():
            (root / folder / split).mkdir(parents=True)
            for index in range(number):
                pixels = random.integers(0, values, ((48, 72), (72, 48))[index % 2]).astype(np.uint8)
                Image.fromarray(pixels).save(root / folder / split / f"{index}.png")


def _cell(runs: Path, wanted: str) -> AnalyzedCell:
    """The only cell of this task kind; "photographs": the one with windows."""
    (found,) = [cell for cell in choose(Runs(runs), []) if _what(cell) == wanted]
    return found


def _what(cell: AnalyzedCell) -> str:
    facts = samples([cell], "test", 1, 0).facts
    return "photographs" if facts.windows else facts.kind


@pytest.fixture
def linear(runs: Path) -> AnalyzedCell:
    return _cell(runs, "segmentation")


@pytest.mark.parametrize("what", ["segmentation", "segmentation-mask", "photographs"])
def test_all_images_together_have_the_metrics_of_the_record(runs: Path, what: str) -> None:
    cell = _cell(runs, what)
    shown = evaluated_images([cell], "test", 10_000, 0)
    predicted = predictions(network_of(cell, "finetuned", Registry(), shown.facts), shown)
    pixels = [count(*images, shown.facts.classes) for images in zip(shown.labels, predicted, strict=True)]
    total = Pixels(*(torch.stack(numbers).sum(0) for numbers in zip(*pixels, strict=True)))
    assert cell.record.class_metrics is not None
    ious = cell.record.class_metrics["miou"].values()
    assert total.iou == [value if value is None else pytest.approx(value) for value in ious]
    assert total.accuracy == pytest.approx(cell.record.metrics["pixel-accuracy"])


def test_photographs_are_shown_whole(runs: Path, tmp_path: Path) -> None:
    cell = _cell(runs, "photographs")
    shown = evaluated_images([cell], "test", 3, 0)
    assert sorted(image.shape for image in shown.images) == [(1, 24, 36), (1, 24, 36), (1, 36, 24)]
    assert sorted(labels.shape for labels in shown.labels) == [(48, 72), (48, 72), (72, 48)]
    lgbench_here("analyze", "segmentation", cell.address, "--runs", str(runs), "-o", str(tmp_path))
    assert (tmp_path / "segmentation.png").is_file()


def test_a_damaged_decoder_is_named(runs: Path) -> None:
    cell = _cell(runs, "segmentation-mask")
    path = cell.runs.folder("cell", cell.address).decoder
    kept = path.read_bytes()
    path.write_bytes(kept[:-1] + bytes([kept[-1] ^ 1]))
    try:
        assert str(path) in lgbench_here("analyze", "segmentation", cell.address, "--runs", str(runs), status=2).stderr
    finally:
        path.write_bytes(kept)


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
        drawn = set(map(tuple, np.asarray(picture.convert("RGB")).reshape(-1, 3).tolist()))
    assert len(drawn & set(map(tuple, class_colors(11).tolist()))) > 1


def test_an_analysis_of_another_task_kind_is_refused(runs: Path, linear: AnalyzedCell) -> None:
    def refused(kind: str, cell: AnalyzedCell) -> str:
        return lgbench_here("analyze", kind, cell.address, "--runs", str(runs), status=2).stderr

    assert "not 'classification'" in refused("segmentation", _cell(runs, "classification"))
    assert "for images of one class, not for segmentation" in refused("attention-maps", linear)
