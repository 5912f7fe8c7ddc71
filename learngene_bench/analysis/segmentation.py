"""Shows what models of semantic segmentation predict: image, truth and prediction side by side."""

from __future__ import annotations

import colorsys
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import interpolate

from learngene_bench.analysis.attention_structure import names_of
from learngene_bench.analysis.cells import AnalyzedCell
from learngene_bench.analysis.models import EvaluatedImages
from learngene_bench.analysis.report import Analysis, rounded
from learngene_bench.analysis.tiles import Tiles
from learngene_bench.contracts.dataset import DatasetFacts
from learngene_bench.data.map_files import IGNORED
from learngene_bench.results.plots.page import Page
from learngene_bench.results.plots.style import SMALL_SIZE, Look
from learngene_bench.util.errors import UserError

KINDS = ("segmentation", "segmentation-mask")
"""The task kinds that give a class to every pixel."""
_NOTE = 0.14
"""Height below a prediction for its accuracy, in inches."""
_IMAGES_AT_A_TIME = 16


def check_kind(facts: DatasetFacts) -> None:
    """Raises `UserError` if a data set has no class for every pixel."""
    if facts.kind not in KINDS:
        raise UserError(
            f"the analysis segmentation is for cells of the task kinds {' and '.join(KINDS)}, not {facts.kind!r}"
        )


def predictions(network: nn.Module, shown: EvaluatedImages) -> list[Tensor]:
    """Predicts the class of every labelled pixel of each image: maps (h, w), as large as the labels.

    Args:
        network: maps images (B, C, H, W) to logits (B, classes, H, W).
    """
    maps: list[Tensor] = []
    with torch.no_grad():
        for _, group in groupby(
            zip(shown.inputs, shown.labels, strict=True), key=lambda pair: (pair[0].shape, pair[1].shape)
        ):
            inputs, labels = zip(*group, strict=True)
            for some in torch.stack(inputs).split(_IMAGES_AT_A_TIME):
                logits = network(some)
                if logits.shape[-2:] != labels[0].shape:  # as the metrics do
                    logits = interpolate(logits, labels[0].shape, mode="bilinear")
                maps.extend(logits.argmax(1))
    return maps


class Pixels(NamedTuple):
    """Numbers of pixels by class, each (classes,); those that are not labelled do not count.

    Attributes:
        labelled: pixels that have the class.
        predicted: pixels that are predicted to have it.
        right: pixels for which both is so.
    """

    labelled: Tensor
    predicted: Tensor
    right: Tensor

    @property
    def iou(self) -> list[float | None]:
        """Intersection over union in percent; None for a class that is neither there nor predicted."""
        unions = (self.labelled + self.predicted - self.right).tolist()
        return [
            100.0 * right / union if union else None for right, union in zip(self.right.tolist(), unions, strict=True)
        ]

    @property
    def accuracy(self) -> float | None:
        """Percentage of the labelled pixels that are right; None if there are none."""
        labelled = int(self.labelled.sum())
        return 100.0 * int(self.right.sum()) / labelled if labelled else None


def count(truth: Tensor, predicted: Tensor, classes: int) -> Pixels:
    """Counts the pixels of one image (H, W)."""
    labelled = truth != IGNORED
    truth, predicted = truth[labelled].long(), predicted[labelled]
    return Pixels(*(torch.bincount(some, minlength=classes) for some in (truth, predicted, truth[truth == predicted])))


def analyse(models: Sequence[tuple[AnalyzedCell, str, nn.Module]], shown: EvaluatedImages) -> Analysis:
    """Draws the predictions of every model for every image, and counts their pixels.

    Args:
        models: cells, which weights, and their networks, decoder included.
    """
    names, classes = names_of(models), shown.facts.classes
    maps = [predictions(model, shown) for _, _, model in models]
    found = [[count(*images, classes) for images in zip(shown.labels, each, strict=True)] for each in maps]
    rows = [row for model, each in zip(models, found, strict=True) for row in _rows(*model[:2], shown, each)]
    header = ("", "images", "mean IoU (%)", "pixel accuracy (%)")
    summary = [_summary(name, each) for name, each in zip(names, found, strict=True)]
    return Analysis("segmentation", _page(names, shown, maps, found), tuple(rows), (header, *summary))


def _class_name(shown: EvaluatedImages, label: int) -> str:
    return shown.facts.class_names[label] if shown.facts.class_names else str(label)


def _rows(
    cell: AnalyzedCell, weights: str, shown: EvaluatedImages, found: Sequence[Pixels]
) -> Iterator[dict[str, Any]]:
    """Makes a row for each class that an image has or is predicted to have."""
    about = {"cell": cell.full_label, "address": cell.address, "weights": weights, "split": shown.split}
    for image, pixels in zip(shown.indices, found, strict=True):
        for label, iou in enumerate(pixels.iou):
            if iou is not None:
                numbers = {name: int(values[label]) for name, values in pixels._asdict().items()}
                yield {**about, "image": image, "class": _class_name(shown, label), **numbers, "iou": iou}


def _summary(name: str, found: Sequence[Pixels]) -> tuple[str, ...]:
    """Measures all images of a model together, as the metrics of a cell do."""
    total = Pixels(*(torch.stack(numbers).sum(0) for numbers in zip(*found, strict=True)))
    ious = [iou for iou in total.iou if iou is not None]
    mean = sum(ious) / len(ious) if ious else None
    return (name, str(len(found)), rounded(mean, 1), rounded(total.accuracy, 1))


def class_colors(classes: int) -> NDArray[np.uint8]:
    """Chooses colours of classes, (classes, 3): neighbours are far apart in hue, and there are three brightnesses."""
    colors = []
    for label in range(classes):
        hue = (0.55 + 0.618034 * label) % 1  # steps of the golden ratio never come back to a hue
        colors.append(colorsys.hsv_to_rgb(hue, (0.85, 0.55)[label % 2], (0.85, 0.6, 1.0)[label % 3]))
    return np.round(255 * np.array(colors)).astype(np.uint8)


def _page(
    names: Sequence[str], shown: EvaluatedImages, maps: Sequence[Sequence[Tensor]], found: Sequence[Sequence[Pixels]]
) -> Page:
    facts = shown.facts
    colors = np.concatenate([class_colors(facts.classes), np.full((256 - facts.classes, 3), 255, np.uint8)])
    occur = sorted({n for each in found for pixels in each for n, iou in enumerate(pixels.iou) if iou is not None})
    looks = {_class_name(shown, label): _swatch(colors[label]) for label in occur}
    if any(bool((labels == IGNORED).any()) for labels in shown.labels):
        looks["not labelled"] = _swatch(colors[IGNORED])
    tallest = max(height / width for height, width in (labels.shape for labels in shown.labels))
    columns = ["image", "truth", *names]
    tiles = Tiles([f"image {index}" for index in shown.indices], columns, note=_NOTE, ratio=tallest)
    page = Page(
        f"Semantic segmentation of images of the {shown.split} split",
        "Image, labels, and what each model predicts, with the percentage of this image's labelled pixels that are "
        "right.",
        count=1,
        across=1,
        height=tiles.height,
        columns=2,
        left=tiles.left,
        below=0.05,
        wide=True,
        legend=looks,
    )
    for row, line in enumerate(tiles.place(page.panel(0, ""))):
        image = shown.images[row].transpose(1, 2, 0)
        line[0].imshow(image if image.shape[-1] == 3 else image.mean(-1), cmap="gray", vmin=0, vmax=255)
        line[1].imshow(colors[shown.labels[row].numpy()], interpolation="nearest")
        for axes, predicted, pixels in zip(line[2:], maps, found, strict=True):
            axes.imshow(colors[predicted[row].numpy()], interpolation="nearest")
            axes.set_xlabel(f"{rounded(pixels[row].accuracy, 0)} %", size=SMALL_SIZE, labelpad=1.5)
    return page


def _swatch(color: NDArray[np.uint8]) -> Look:
    """A square of this colour in the legend."""
    code = "#{:02x}{:02x}{:02x}".format(*color.tolist())
    return Look(color=code if code != "#ffffff" else "#999999", marker="s", face=code, line="none")
