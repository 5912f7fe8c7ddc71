"""Test that images are augmented, cut and put into batches as timm and DeiT do it."""

from __future__ import annotations

import os
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from image_folders import CPU, DEIT, EVERYTHING, SIDE, folder, picture, write_images
from PIL import Image
from timm.data import create_transform
from timm.data.distributed_sampler import RepeatAugSampler

from learngene_bench.config.recipe import Augmentation, Recipe
from learngene_bench.data.image_transforms import preserve_rng_state, seed_all, timm_transforms
from learngene_bench.data.sampler import AugmentationRng, BatchSchedule
from learngene_bench.training.inputs import plain_images, training_images
from learngene_bench.util.errors import UserError
from learngene_bench.util.rng import RngStreams


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_images(tmp_path_factory.mktemp("tree"))


@pytest.mark.parametrize("view", ["square", "whole"])
def test_an_image_is_augmented_as_timm_does_it(tree: Path, view: str) -> None:
    """timm's own transform of the file, with the same seed; but for erasing, which is done to a batch."""
    splits = folder(tree, training_view=view).load()
    settings = DEIT.model_copy(update={"random_erasing": 0.0})
    recipe = EVERYTHING.model_copy(update={"augmentation": settings, "mixup": 0.0, "cutmix": 0.0})
    order = BatchSchedule(18, recipe, RngStreams(5), "finetuning")
    draws = AugmentationRng.of(RngStreams(5), "finetuning", "cpu")
    step = 4  # in the second epoch
    [(images, _)] = training_images(splits, recipe, CPU).batches([order.batch(step)], draws)
    transform = create_transform(
        SIDE,
        is_training=True,
        hflip=0.5,
        color_jitter=0.4,
        auto_augment="rand-m9-mstd0.5-inc1",
        interpolation="bicubic",
        mean=splits.mean,
        std=splits.std,
    )
    names = sorted(path for path in (tree / "train").rglob("*.*"))
    held = {os.fsdecode(bytes(name)) for name in splits.train.names}  # type: ignore[union-attr]
    files = [path for path in names if str(path.relative_to(tree)) in held]
    for place, index in enumerate(order.batch(step).index.tolist()):
        number = RngStreams(5).seed_for("finetuning", "image", 1, 7 + place)
        random.seed(number)
        np.random.seed(number % 2**32)  # noqa: NPY002
        torch.manual_seed(number)
        with Image.open(files[index]) as image:
            shown = image.convert("RGB") if view == "whole" else square(image.convert("RGB"))
        torch.testing.assert_close(images[place], transform(shown))


def square(image: Image.Image) -> Image.Image:
    """Crops as timm's evaluation does without a margin."""
    cut = create_transform(SIDE, interpolation="bicubic", crop_pct=1.0, normalize=False)(image)
    return Image.fromarray(cut.permute(1, 2, 0).numpy())


def test_randaugment_at_its_strongest_does_not_fail() -> None:
    """timm posterizes to 0 bits, which Pillow 13 refuses; with Pillow 12 the image came out black."""
    settings = Augmentation(auto_augment="rand-m10-n1-p1-inc1")
    [transform] = timm_transforms(settings, SIDE, (0.5,) * 3)
    image, black = picture(0, SIDE, SIDE), 0
    with preserve_rng_state():
        for number in range(200):
            seed_all(number)
            black += not np.asarray(transform(image)).any()
    assert black > 0


@pytest.mark.parametrize("stream", [True, False])
def test_evaluation_is_cut_as_timm_cuts_it(tree: Path, stream: bool) -> None:
    splits = folder(tree, stream=stream, crop=0.75, normalization="imagenet").load()
    transform = create_transform(SIDE, interpolation="bicubic", crop_pct=0.75)
    images = torch.cat([images for images, _ in plain_images(splits.test, splits, CPU).eval_batches(4)])
    for shown, path in zip(images, sorted((tree / "val").rglob("*.*")), strict=True):
        with Image.open(path) as image:
            torch.testing.assert_close(shown, transform(image.convert("RGB")))


@pytest.mark.parametrize("size", [1, 2, 4])
@pytest.mark.parametrize("images", [100, 700])
def test_repeated_augmentation_is_that_of_deit(images: int, size: int) -> None:
    """A batch here is what the processes of DeiT have together, when each has its share of it."""
    recipe = Recipe(epochs=2, batch_size=16, learning_rate=1, repeated_augmentation=3)
    order = BatchSchedule(images, recipe, SameAsTimm(), "finetuning")  # type: ignore[arg-type]
    samplers = [RepeatAugSampler(range(images), size, rank) for rank in range(size)]
    for epoch in range(2):
        for sampler in samplers:
            sampler.set_epoch(epoch)
        of_rank = [list(sampler) for sampler in samplers]
        assert order.steps_per_epoch == len(of_rank[0]) // (16 // size)
        for step in range(order.steps_per_epoch):
            mine = slice(step * 16 // size, (step + 1) * 16 // size)
            together = sorted(place for places in of_rank for place in places[mine])
            assert order.batch(epoch * order.steps_per_epoch + step).index.sort().values.tolist() == together


class SameAsTimm:
    """RngStreams whose generator for an epoch is that of timm's sampler."""

    def generator(self, *names: str | int) -> torch.Generator:
        return torch.Generator().manual_seed(int(names[-1]))


def test_a_recipe_reads_what_it_writes() -> None:
    assert Recipe.model_validate(EVERYTHING.model_dump(mode="json")) == EVERYTHING


@pytest.mark.parametrize("policy", ["rand-x9", "rand-m", "augmix-m3", "rand-m9-mstd0.5-"])
def test_another_policy_than_timms_randaugment_is_refused(policy: str) -> None:
    with pytest.raises(ValueError, match="timm's string for RandAugment is needed, such as rand-m9"):
        Augmentation(auto_augment=policy)


@pytest.mark.parametrize(("images", "sizes"), [(20, [8, 8, 4]), (16, [8, 8]), (17, [8, 8]), (5, [5])])
def test_the_last_batch_is_kept_on_demand(images: int, sizes: list[int]) -> None:
    """Unless it is one image, where images are mixed in pairs."""
    recipe = Recipe(epochs=2, batch_size=8, learning_rate=1, drop_last=False, mixup=0.8)
    order = BatchSchedule(images, recipe, RngStreams(0), "finetuning")
    assert [len(order.batch(step).index) for step in range(order.steps)] == 2 * sizes
    assert order.images_before(order.steps) == 2 * sum(sizes)
    assert order.images_before(len(sizes) + 1) == sum(sizes) + sizes[0]


def test_a_kept_batch_too_small_for_the_processes_is_refused_before_training() -> None:
    recipe = Recipe(epochs=2, batch_size=8, learning_rate=1, drop_last=False)
    with pytest.raises(UserError, match="a batch of 2 images cannot be shared out among 3 processes: at most 2"):
        BatchSchedule(18, recipe, RngStreams(0), "finetuning", rank=0, size=3)
