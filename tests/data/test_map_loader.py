"""Images with label maps: both change together, squares are filled up, evaluation sees all; the same in any process."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Generator, Tensor, nn
from torch.nn.functional import max_pool2d

from learngene_bench.config.joint import JointAugmentation
from learngene_bench.config.preset import Compute
from learngene_bench.config.recipe import Recipe
from learngene_bench.contracts.dataset import DatasetFacts, Windows
from learngene_bench.contracts.task import task_kind
from learngene_bench.data.batch_augment import Normalization
from learngene_bench.data.joint_augment import joint_view, photometric
from learngene_bench.data.map_files import MapFiles
from learngene_bench.data.map_loader import MapImages
from learngene_bench.data.sampler import AugmentationRng, BatchSchedule
from learngene_bench.tasks.kinds.decoders import over_windows
from learngene_bench.training.evaluation import evaluate
from learngene_bench.util.rng import RngStreams

KIND = task_kind("segmentation")
GEOMETRY = JointAugmentation(photometric=False)
NORMALIZATION = Normalization((0.3, 0.4, 0.5), (0.2, 0.25, 0.3))


def coded(labels: np.ndarray) -> np.ndarray:
    """An image whose grey value is 40 times the label, in three channels."""
    return np.repeat((labels * 40)[..., None], 3, -1)


def read_png(annotation: Path, image: Path) -> np.ndarray:
    return np.array(Image.open(annotation))


def files(root: Path, augmentation: JointAugmentation = GEOMETRY, side: int = 12) -> MapFiles:
    """Images of different sizes; blocks of eight pixels have a label from 0 to 5."""
    random, pairs = np.random.default_rng(0), []
    for index, (height, width) in enumerate([(24, 40), (24, 40), (40, 24), (16, 16), (16, 48), (32, 32), (24, 32)]):
        blocks = random.integers(0, 6, (height // 8, width // 8)).astype(np.uint8)
        labels = np.kron(blocks, np.ones((8, 8), np.uint8))
        pairs.append((root / f"{index}.png", root / f"{index}-labels.png"))
        Image.fromarray(coded(labels)).save(pairs[-1][0])
        Image.fromarray(labels).save(pairs[-1][1])
    return MapFiles(pairs, read_png, 3, side, 16, augmentation)


def batches(split: MapFiles, workers: int = 0, first: int = 0) -> list[tuple[Tensor, Tensor]]:
    recipe = Recipe(iterations=4, batch_size=3, learning_rate=1.0)
    images = MapImages(split, NORMALIZATION, torch.device("cpu"), (), KIND, workers)
    order = BatchSchedule(len(split), recipe, RngStreams(0), "finetuning")
    rng = AugmentationRng.of(RngStreams(0), "finetuning", "cpu")
    return list(images.batches(map(order.batch, range(first, order.steps)), rng))


def test_image_and_labels_change_together_and_what_is_missing_is_ignored() -> None:
    labels = np.kron(np.arange(6, dtype=np.uint8).reshape(2, 3), np.ones((24, 24), np.uint8))
    image, filled, flipped = Image.fromarray(coded(labels)), set(), set()
    for seed in range(40):
        pixels, mask, (height, width) = joint_view(image, labels, 32, 48, GEOMETRY, Generator().manual_seed(seed))
        assert pixels.shape == (3, 32, 32)
        outside = torch.ones(32, 32, dtype=torch.bool)
        outside[:height, :width] = False
        assert (pixels[:, outside] == 0).all()
        assert torch.equal(mask == 255, outside)
        shown, map_ = pixels[0, :height, :width].float(), mask[None, None, :height, :width].float()
        largest, smallest = (sign * max_pool2d(sign * map_, 5, 1, 2)[0, 0] for sign in (1, -1))
        uniform = largest == smallest  # not next to an edge, nor where one may be outside of the crop
        uniform[:2], uniform[-2:], uniform[:, :2], uniform[:, -2:] = False, False, False, False
        assert uniform.any()
        assert torch.equal((shown / 40)[uniform], map_[0, 0][uniform])
        filled.add((height, width))
        row = mask[0, :width].int()
        flipped.add(bool((row.diff() < 0).any()))
    assert min(height for height, _ in filled) < 32
    assert (32, 32) in filled
    assert flipped == {False, True}


def test_a_crop_of_one_class_is_drawn_again() -> None:
    labels = np.zeros((64, 64), np.uint8)
    labels[:, 32:] = 1
    settings = JointAugmentation(scale=(1, 1), flip=False, photometric=False)
    parts = {
        bound: [
            joint_view(Image.fromarray(coded(labels)), labels, 16, 64, changed, Generator().manual_seed(seed))[1]
            .float()
            .mean()
            .item()
            for seed in range(60)
        ]
        for bound, changed in {0.75: settings, 1.0: settings.model_copy(update={"largest_class": 1.0})}.items()
    }
    balanced = {bound: np.mean([0.25 < part < 0.75 for part in found]) for bound, found in parts.items()}
    assert balanced[0.75] > 0.8
    assert balanced[1.0] < 0.4


def test_colours_change_within_their_ranges_and_grey_stays_grey() -> None:
    grey = torch.full((3, 2, 2), 128, dtype=torch.uint8)
    seen = torch.stack([photometric(grey, Generator().manual_seed(seed)) for seed in range(200)]).int()
    assert (seen.amax((1, 2, 3)) - seen.amin((1, 2, 3)) <= 1).all()
    assert (seen == 128).all((1, 2, 3)).float().mean() > 0.15  # neither brightness nor contrast
    assert seen.min() >= 0.5 * (128 - 32) - 1
    assert seen.max() <= 1.5 * (128 + 32) + 1
    assert seen.min() < 70
    assert seen.max() > 190


def test_batches_are_the_same_in_any_process_and_when_training_is_continued(tmp_path: Path) -> None:
    split = files(tmp_path, JointAugmentation(scale=(0.4, 1.2)))
    expected = batches(split)
    for (image, labels), (again, labels_again) in zip(expected, batches(split, workers=2), strict=True):
        assert torch.equal(image, again)
        assert torch.equal(labels, labels_again)
    for (image, labels), (again, labels_again) in zip(expected[2:], batches(split, first=2), strict=True):
        assert torch.equal(image, again)
        assert torch.equal(labels, labels_again)
    assert any((labels == 255).any() for _, labels in expected)
    for image, labels in expected:
        assert (image.permute(0, 2, 3, 1)[labels == 255] == 0).all()


@pytest.mark.parametrize("batch_size", [1, None])
def test_evaluation_sees_whole_images_in_their_order(tmp_path: Path, batch_size: int | None) -> None:
    split = files(tmp_path)
    images = MapImages(split, NORMALIZATION, torch.device("cpu"))
    seen = [pair for batch in images.eval_batches(batch_size) for pair in zip(*batch, strict=True)]
    assert len(seen) == len(split) == 7
    for (image, labels), (file, annotation) in zip(seen, split.files, strict=True):
        stored, truth = Image.open(file), np.array(Image.open(annotation))
        assert min(image.shape[1:]) == 16
        assert (
            image.shape[2] * stored.height == image.shape[1] * stored.width
            or abs(image.shape[2] / image.shape[1] - stored.width / stored.height) < 1 / 16
        )
        np.testing.assert_array_equal(labels, truth)
    small = np.asarray(Image.open(split.files[3][0])).transpose(2, 0, 1) / 255  # is of that size already
    np.testing.assert_allclose(
        seen[3][0], (small - np.array([0.3, 0.4, 0.5])[:, None, None]) / np.array([0.2, 0.25, 0.3])[:, None, None], 1e-4
    )
    assert images.inputs(3).shape == (3, 3, 12, 12)


class Coded(nn.Module):
    """Reads the classes off the grey values, window by window."""

    def forward(self, images: Tensor) -> Tensor:
        def window(images: Tensor) -> Tensor:
            values = (images[:, :1] * NORMALIZATION.std[0] + NORMALIZATION.mean[0]) * 255 / 40
            return -((values - torch.arange(6.0).view(1, -1, 1, 1)) ** 2)

        return over_windows(window, images, 12, 8)


def test_all_of_an_image_is_measured(tmp_path: Path) -> None:
    """Images of two sizes that are not resized: every pixel is right; and of one whose right half is labelled wrong."""
    split = files(tmp_path)
    split = replace(split, files=[*split.files[3:5]])
    images = MapImages(split, NORMALIZATION, torch.device("cpu"))
    measured = evaluate(Coded(), images, Compute(), KIND.metrics())
    assert measured.metrics == dict.fromkeys(measured.metrics, 100.0)
    wrong = np.array(Image.open(split.files[1][1]))
    wrong[:, 40:] = (wrong[:, 40:] + 1) % 6
    Image.fromarray(wrong).save(split.files[1][1])
    measured = evaluate(Coded(), images, Compute(), KIND.metrics())
    assert measured.metrics["pixel-accuracy"] == pytest.approx(100 * (1 - 16 * 8 / (16 * 16 + 16 * 48)))


def test_how_it_was_measured_is_said() -> None:
    facts = DatasetFacts(6, 3, 12, 1, 1, 1, kind="segmentation", windows=Windows(16, 8))
    assert KIND.measured_how(facts) == ("whole images, shorter side 16 pixels, windows of 12 x 12, stride 8, one scale")
