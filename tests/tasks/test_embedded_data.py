"""The downstream tasks that need no download: what is asked in each, and that no test picture was ever trained on."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from learngene_bench.contracts.dataset import Dataset
from learngene_bench.data.splits import Images
from learngene_bench.plugins.registry import dataset
from learngene_bench.tasks.datasets.shapes import SHAPES, _drawn, _picture
from learngene_bench.util.errors import UserError

TASKS = ["digits-parity", "digits-turned", "digits-inverted", "shapes"]


def bare(name: str, **options: Any) -> Dataset:
    """Makes a data set whose images are the pictures themselves: no margin, no noise."""
    return dataset({"name": name, "canvas": 8, "noise": 0.0, "placements": 1, **options})


def splits(data: Dataset) -> list[Images]:
    loaded = data.load()
    return [loaded.train, loaded.validation, loaded.test]


@pytest.mark.parametrize("name", TASKS)
def test_a_task_is_the_same_at_every_load_and_as_large_as_announced(name: str) -> None:
    data = dataset({"name": name, "noise": 0.15})
    facts, first, second = data.facts(), data.load(), data.load()
    for split in ("train", "validation", "test"):
        one, other = getattr(first, split), getattr(second, split)
        np.testing.assert_array_equal(one.images, other.images)
        np.testing.assert_array_equal(one.labels, other.labels)
        assert one.images.shape == (getattr(facts, f"{split}_images"), facts.channels, *[facts.image_size] * 2)
        assert one.labels.shape == one.images.shape[:1]
        assert np.unique(one.labels).tolist() == list(range(facts.classes))
    assert (first.mean, first.std, first.task) == (second.mean, second.std, second.task)
    assert (facts.channels, facts.image_size) == (1, 12)
    assert len({dataset({"name": other}).fingerprint() for other in ["digits", *TASKS]}) == 5


def undone(name: str, pixels: NDArray[np.uint8], labels: NDArray[np.int64]) -> NDArray[np.uint8]:
    """The digits that a task was made of."""
    if name == "digits-turned":
        return np.stack([np.rot90(image[0], -turn) for image, turn in zip(pixels, labels, strict=True)])[:, None]
    return 255 - pixels if name == "digits-inverted" else pixels


@pytest.mark.parametrize("name", TASKS[:3])
@pytest.mark.parametrize("options", [{}, {"test_digits": 500, "validation_digits": 100}])
def test_tasks_made_of_digits_keep_their_split(name: str, options: dict[str, int]) -> None:
    for own, source in zip(splits(bare(name, **options)), splits(bare("digits", **options)), strict=True):
        np.testing.assert_array_equal(undone(name, own.images, own.labels), source.images)
        if name == "digits-parity":
            np.testing.assert_array_equal(own.labels, source.labels % 2)
        if name == "digits-inverted":
            np.testing.assert_array_equal(own.labels, source.labels)


def test_each_turn_is_as_frequent_and_says_nothing_of_the_digit() -> None:
    turned, digits = bare("digits-turned").load().train.labels, bare("digits").load().train.labels
    table = np.zeros((4, 10))
    np.add.at(table, (turned, digits), 1)
    expected = table.sum(1, keepdims=True) * table.sum(0) / len(turned)
    assert ((table - expected) ** 2 / expected).sum() < 40.1  # chi-squared, 27 degrees of freedom: 5 in 100 are above


def test_no_shape_is_in_two_splits_and_all_are_equally_frequent() -> None:
    seen = [{image.tobytes() for image in split.images} for split in splits(bare("shapes"))]
    assert [len(split) for split in seen] == [800, 160, 360]
    assert len(set.union(*seen)) == 1320
    assert np.bincount(bare("shapes").load().train.labels).tolist() == [100] * 8


HALF_STRIP = (0.25 * np.sqrt(1 - 0.25**2) + np.arcsin(0.25)) / 2
SLANTED = 0.35 / np.sqrt(2)
HALF_SLANTED = (SLANTED * np.sqrt(1 - SLANTED**2) + np.arcsin(SLANTED)) / 2
AREAS = {
    "disc": np.pi,
    "ring": np.pi * (1 - 0.5**2),
    "block": 1.56**2,
    "frame": 1.56**2 - 0.78**2,
    "diamond": 2.0,
    "triangle": 1.6 * 1.6 / 2,
    "plus": 8 * HALF_STRIP - 0.5**2,
    "cross": 8 * HALF_SLANTED - (2 * SLANTED) ** 2,
}
"""Areas of shapes of radius 1, by geometry."""


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("degrees", [-20, 7, 13])
def test_a_shape_covers_its_area_and_is_not_cut_at_the_border(shape: str, degrees: float) -> None:
    for centre in ((4.0, 4.0), (3.5, 4.5)):
        pixels = _picture(shape, np.array(centre), 3.5, np.deg2rad(degrees), 1.0)
        assert pixels.sum() / 255 == pytest.approx(AREAS[shape] * 3.5**2, rel=0.03)
    assert pixels.max() == 255 or shape in ("frame", "plus", "cross", "ring")


def test_shapes_differ_in_brightness_size_and_place() -> None:
    pictures = _drawn(800, 0).pixels.astype(float)
    brightest = pictures.max((1, 2))
    assert brightest.min() < 0.65 * 255 < 0.95 * 255 < brightest.max() <= 255
    mass = pictures.sum((1, 2))
    rows = (pictures.sum(2) @ np.arange(8)) / mass
    assert rows.min() < 2.5
    assert rows.max() > 4.5


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("shapes", {"train_shapes": 8}, "data (shapes): train_shapes: input should be greater than or equal to 80"),
        ("shapes", {"test_digits": 8}, "data (shapes): unknown key 'test_digits'"),
        ("digits-turned", {"canvas": 9}, "data (digits-turned): canvas: input should be a multiple of 2, not 9"),
    ],
)
def test_impossible_options(name: str, options: dict[str, int], expected: str) -> None:
    with pytest.raises(UserError, match=re.escape(expected)):
        dataset({"name": name, **options})
