"""The data set of digits, the overrides that choose between data sets, and the examples of the README."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from learngene_bench.config.loader import load_grid, load_preset, parse_override
from learngene_bench.contracts.dataset import Dataset, Splits
from learngene_bench.data.batch_augment import augment
from learngene_bench.data.splits import Images
from learngene_bench.plugins.registry import dataset
from learngene_bench.util.errors import UserError

OVERRIDES = ["data.image_size=4", "data.name=imagefolder", "data.root=here"]


@pytest.mark.parametrize("turn", range(3))
def test_choosing_another_data_set_drops_the_options_of_the_presets_own_in_any_order(turn: int) -> None:
    texts = OVERRIDES[turn:] + OVERRIDES[:turn]
    preset = load_preset("digits", dict(map(parse_override, texts)))
    assert preset.data == {"name": "imagefolder", "root": "here", "image_size": 4}


def test_overriding_options_of_the_presets_own_data_set_keeps_the_others() -> None:
    own = load_preset("digits").data
    assert load_preset("digits", {"data.placements": 2}).data == {**own, "placements": 2}
    assert load_preset("digits", {"data.name": "digits", "data.noise": 0.0}).data == {**own, "noise": 0.0}


def test_mean_and_deviation_may_be_numbers_of_numpy() -> None:
    images = Images(np.zeros((2, 1, 4, 4), np.uint8), np.arange(2))
    splits = Splits(images, images, images, mean=tuple(np.full(1, 0.5)), std=tuple(np.full(1, 0.25, np.float32)))
    assert {type(value) for value in (*splits.mean, *splits.std)} == {float}


def test_the_examples_of_the_readme_work(tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "tasks" / "README.md").read_text(encoding="utf-8")
    preset, grid = re.findall(r"```toml\n(name = .*?)```", text, re.DOTALL)
    for name, example in (("preset.toml", preset), ("grid.toml", grid)):
        (tmp_path / name).write_text(example)
    assert dataset(load_preset(str(tmp_path / "preset.toml")).data).facts().image_size == 12
    assert load_grid(str(tmp_path / "grid.toml")).depths == [2, 3]


def digits(**options: Any) -> Dataset:
    return dataset({"name": "digits", **options})


def test_no_digit_is_in_two_splits_and_every_class_is_in_each_in_proportion() -> None:
    # On a canvas of their own size and without noise, images are the digits themselves; no two of them are equal.
    splits = digits(canvas=8, noise=0.0, placements=1).load()
    seen = [{image.tobytes() for image in split.images} for split in (splits.train, splits.validation, splits.test)]
    assert [len(split) for split in seen] == [1257, 180, 360]
    assert len(set.union(*seen)) == 1797
    for split in (splits.train, splits.validation, splits.test):
        share = np.bincount(split.labels) / len(split.labels)
        np.testing.assert_allclose(share, np.bincount(splits.train.labels) / 1257, atol=1 / 180)


def test_digits_are_the_same_at_every_load_and_as_many_as_announced() -> None:
    data = digits(canvas=12, noise=0.15, placements=4)
    first, second, facts = data.load(), data.load(), data.facts()
    for name in ("train", "validation", "test"):
        one, other = getattr(first, name), getattr(second, name)
        np.testing.assert_array_equal(one.images, other.images)
        np.testing.assert_array_equal(one.labels, other.labels)
        assert one.images.shape == (getattr(facts, f"{name}_images"), facts.channels, *[facts.image_size] * 2)
    assert (facts.train_images, facts.validation_images, facts.test_images) == (1257, 720, 1440)
    assert (first.mean, first.std, first.task) == (second.mean, second.std, second.task)


@pytest.mark.parametrize("canvas", [8, 10, 12])
def test_training_shows_digits_whole_and_at_the_places_of_the_test(canvas: int) -> None:
    splits = digits(canvas=canvas, noise=0.0).load()
    one = torch.from_numpy(splits.train.images[:1]).float().repeat(2000, 1, 1, 1)
    shown = augment(one, splits.task, torch.Generator().manual_seed(0), torch.Generator())
    assert torch.equal(shown.sum((1, 2, 3)), one.sum((1, 2, 3)))
    assert len(shown.flatten(1).unique(dim=0)) == (canvas - 8 + 1) ** 2
    places = splits.test.images.reshape(360, 4, -1)
    sums = places.sum(2, dtype=np.int64)
    assert (sums == sums[:, :1]).all(), "a test digit is whole at each of its places"
    if canvas == 12:
        assert sum(len(np.unique(place, axis=0)) > 1 for place in places) > 350


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"canvas": 13}, "data (digits): canvas: input should be a multiple of 2, not 13"),
        (
            {"test_digits": 1700},
            "data (digits): test_digits and validation_digits leave 0 of 1797 digits for training, at least 100",
        ),
    ],
)
def test_impossible_digits(options: dict[str, int], expected: str) -> None:
    with pytest.raises(UserError, match=re.escape(expected)):
        digits(**options)
