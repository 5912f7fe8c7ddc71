"""Shifts of held-out images: the same for everybody, as strong as they say, and labels stay right."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from learngene_bench.contracts.dataset import DATASETS
from learngene_bench.data.corruptions import STRENGTHS, CorruptedImages, corrupted_split, corruptions_of
from learngene_bench.data.splits import Images
from learngene_bench.plugins.registry import dataset
from learngene_bench.util.errors import UserError


def test_shifted_digits_are_the_same_digits_at_the_same_places() -> None:
    plain = dataset({"name": "digits", "noise": 0.0})
    splits = plain.load()
    images = splits.test.take(np.arange(len(splits.test)))
    turned = plain.shifted(splits, "test", "rotated", 45).take(np.arange(len(splits.test)))
    for image, other in list(zip(images, turned, strict=True))[:20]:
        rows, columns = np.nonzero(image[0])
        top, left = max(0, rows.max() - 7), max(0, columns.max() - 7)
        assert abs(np.mean(np.nonzero(other[0])[0]) - rows.mean()) < 2, (top, left)
        assert 0.6 < other.sum() / image.sum() < 1.2
    assert (plain.shifted(splits, "test", "rotated", 0).take(np.arange(9)) == images[:9]).all()
    noisy = dataset({"name": "digits", "noise": 0.4})
    own = noisy.load()
    more = noisy.shifted(own, "validation", "noisy", 0.2).take(np.arange(50))
    as_strong = dataset({"name": "digits", "noise": 0.6000000000000001}).load().validation.take(np.arange(50))
    assert (more == as_strong).all()
    for name in ("rotated", "noisy"):
        assert (plain.shifted(splits, "test", name, 0.4).labels == splits.test.labels).all()


def test_every_data_set_says_which_shifts_leave_its_labels_right() -> None:
    shifts = {name: [shift.name for shift in dataset({"name": name}).shifts()] for name in ("digits", "shapes")}
    assert shifts == {"digits": ["rotated", "noisy"], "shapes": ["noisy"]}  # a turned block is a diamond
    assert [shift.name for shift in dataset({"name": "digits-turned"}).shifts()] == ["noisy"]
    assert dataset({"name": "digit-scenes"}).shifts() == ()
    with pytest.raises(UserError, match="DigitScenes has no shift 'noisy'"):
        dataset({"name": "digit-scenes"}).shifted(dataset({"name": "digits"}).load(), "test", "noisy", 0.1)
    assert DATASETS.get("cifar10").shifts is DATASETS.get("imagenet").shifts


def photographs(side: int = 32, count: int = 6) -> Images:
    random = np.random.default_rng(0)
    coarse = random.integers(0, 256, (count, 4, 4, 3)).astype(np.uint8)
    made = [np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC)) for image in coarse]
    return Images(np.stack(made).transpose(0, 3, 1, 2).copy(), np.arange(count))


@pytest.mark.parametrize("name", [shift.name for shift in corruptions_of(32)])
def test_a_corruption_is_the_same_in_any_batch_and_stronger_with_severity(name: str) -> None:
    plain = photographs()
    distances = []
    for severity in range(1, 6):
        whole = corrupted_split(plain, name, severity)
        assert isinstance(whole, Images)
        alone = CorruptedImages(plain, name, severity).take(np.array([4, 2]))
        assert (whole.images[[4, 2]] == alone).all()
        assert (whole.labels == plain.labels).all()
        assert (
            np.asarray(CorruptedImages(plain, name, severity).image(4)).transpose(2, 0, 1).tolist() == alone[0].tolist()
        )
        distances.append(np.abs(whole.images.astype(float) - plain.images).mean())
    assert distances == sorted(distances)
    assert distances[0] > 0


def test_corruptions_are_those_of_their_authors() -> None:
    """Their formulas, written once more as in make_cifar_c.py, on one image."""
    image = photographs().images[0]
    pixels = image.transpose(1, 2, 0) / 255.0

    def made(name: str, severity: int) -> np.ndarray:
        return CorruptedImages(photographs(), name, severity).take(np.array([0]))[0].transpose(1, 2, 0)

    means = pixels.mean(axis=(0, 1), keepdims=True)
    assert (made("contrast", 3) == np.uint8(np.clip((pixels - means) * 0.4 + means, 0, 1) * 255)).all()
    from matplotlib.colors import hsv_to_rgb, rgb_to_hsv

    hsv = rgb_to_hsv(pixels)
    hsv[:, :, 2] = np.clip(hsv[:, :, 2] + 0.3, 0, 1)
    assert np.abs(made("brightness", 5).astype(int) - hsv_to_rgb(hsv) * 255).max() < 1.001  # rounded down
    noise = made("gaussian-noise", 5) / 255 - pixels
    inside = (pixels > 0.35) & (pixels < 0.65)
    assert noise[inside].std() == pytest.approx(0.10, rel=0.1)
    assert set(STRENGTHS[64]) == set(STRENGTHS[32]) == set(STRENGTHS[224])
    assert [corruptions_of(side)[0].version.split(", ")[1] for side in (28, 40, 64, 96, 160, 384)] == [
        "of 32 pixels",
        "of 32 pixels",
        "of 64 pixels",
        "of 64 pixels",
        "of 224 pixels",
        "of 224 pixels",
    ]


def test_black_and_grey_images_can_be_corrupted() -> None:
    black = Images(np.zeros((1, 1, 32, 32), np.uint8), np.zeros(1, np.int64))
    for shift in corruptions_of(32):
        assert corrupted_split(black, shift.name, 1).take(np.arange(1)).shape == (1, 1, 32, 32)
    assert (corrupted_split(black, "brightness", 5).take(np.arange(1)) == 76).all()
