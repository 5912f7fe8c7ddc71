"""Batched augmentation against the same augmentation of one image at a time, in plain loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from timm.data.random_erasing import RandomErasing
from torch import Tensor

from learngene_bench.config.recipe import Augmentation
from learngene_bench.data.batch_augment import DeviceImages, Normalization, augment, erase_to_noise
from learngene_bench.data.image_transforms import preserve_rng_state, seed_all
from learngene_bench.data.splits import Images

BATCH, HEIGHT, WIDTH = 24, 9, 7  # not square, so that rows and columns cannot be confused
EVERYTHING = Augmentation(shift=3, flip=True, color_jitter=0.9, random_erasing=0.7)
EACH = {
    "shift": Augmentation(shift=3),
    "flip": Augmentation(flip=True),
    "color jitter": Augmentation(color_jitter=0.9),
    "erasing": Augmentation(random_erasing=0.7),
    "noise": Augmentation(noise=0.3),
}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def some_images(channels: int = 3) -> Tensor:
    """Images with many black and white pixels, so that jitter must clip."""
    return (torch.rand(BATCH, channels, HEIGHT, WIDTH, generator=generator(7)) * 1.6 - 0.3).clamp(0, 1)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", ["shift", "flip", "color jitter", "erasing", "everything"])
def test_a_batch_is_augmented_as_its_images_one_by_one(kind: str, channels: int) -> None:
    settings = EACH.get(kind, EVERYTHING)
    images = some_images(channels)
    batched = augment(images, settings, generator(1), generator(2))
    expected = one_by_one(images.numpy(), settings, generator(1))
    assert not np.array_equal(expected, images.numpy()), "the reference must have changed something"
    np.testing.assert_allclose(batched.numpy(), expected, atol=1e-6)


def one_by_one(images: np.ndarray, settings: Augmentation, drawn_from: torch.Generator) -> np.ndarray:
    """Draws the numbers of a batch in the documented order, then treats each image alone."""
    count = len(images)
    margin = settings.shift
    offsets = torch.randint(2 * margin + 1, (count, 2), generator=drawn_from).tolist() if margin else [[0, 0]] * count
    flips = torch.rand(count, generator=drawn_from).tolist() if settings.flip else [1.0] * count
    jitter = torch.rand(3, count, generator=drawn_from).tolist() if settings.color_jitter else None
    erasing = torch.rand(5, count, generator=drawn_from).tolist() if settings.random_erasing else None
    results = []
    for i, image in enumerate(images.astype(np.float64)):
        image = shifted(image, offsets[i][0] - margin, offsets[i][1] - margin)
        if flips[i] < 0.5:
            image = image[:, :, ::-1].copy()
        if jitter:
            image = jittered(image, *(1 + settings.color_jitter * (2 * row[i] - 1) for row in jitter))
        if erasing and erasing[0][i] < settings.random_erasing:
            image = erased(image, *(row[i] for row in erasing[1:]))
        results.append(image)
    return np.stack(results)


def shifted(image: np.ndarray, down: int, right: int) -> np.ndarray:
    """Reads every pixel from `down` and `right` of its place; black from outside."""
    result = np.zeros_like(image)
    for y in range(HEIGHT):
        for x in range(WIDTH):
            if 0 <= y + down < HEIGHT and 0 <= x + right < WIDTH:
                result[:, y, x] = image[:, y + down, x + right]
    return result


def jittered(image: np.ndarray, brightness: float, contrast: float, saturation: float) -> np.ndarray:
    def grey_of(pixel: np.ndarray) -> float:
        return float(np.dot(pixel, (0.299, 0.587, 0.114))) if len(pixel) == 3 else float(pixel.mean())

    places = [(y, x) for y in range(HEIGHT) for x in range(WIDTH)]
    image = np.clip(image * brightness, 0, 1)
    mean = sum(grey_of(image[:, y, x]) for y, x in places) / len(places)
    image = np.clip(mean + contrast * (image - mean), 0, 1)
    for y, x in places:
        grey = grey_of(image[:, y, x])
        image[:, y, x] = np.clip(grey + saturation * (image[:, y, x] - grey), 0, 1)
    return image


def erased(image: np.ndarray, area: float, aspect: float, top: float, left: float) -> np.ndarray:
    ratio = math.exp(math.log(1 / 3) + aspect * math.log(9))
    pixels = (0.02 + 0.31 * area) * HEIGHT * WIDTH
    rows = min(max(round(math.sqrt(pixels * ratio)), 1), HEIGHT)
    columns = min(max(round(math.sqrt(pixels / ratio)), 1), WIDTH)
    row, column = int(top * (HEIGHT - rows + 1)), int(left * (WIDTH - columns + 1))
    image[:, row : row + rows, column : column + columns] = 0.5
    return image


def test_erasing_keeps_to_its_probability_and_area() -> None:
    black = torch.zeros(4000, 1, 32, 32)
    share = (augment(black, Augmentation(random_erasing=0.25), generator(), generator()) > 0).float().mean((1, 2, 3))
    assert (share > 0).float().mean().item() == pytest.approx(0.25, abs=0.03)
    assert share[share > 0].min().item() == pytest.approx(0.02, abs=0.01)
    assert share.max().item() == pytest.approx(0.33, abs=0.02)


def test_erasing_to_noise_erases_the_rectangles_that_timm_does() -> None:
    """Share of images, and quantiles of areas, heights and widths, each against timm's on as many images."""
    black = torch.zeros(6000, 1, 40, 80)
    ours = erase_to_noise(black.clone(), 0.25, generator(), generator(3))
    with preserve_rng_state():
        seed_all(0)
        timms = RandomErasing(0.25, mode="pixel", device="cpu")(black.clone())
    facts = []
    for images in (ours, timms):
        erased = (images != 0).squeeze(1)
        erased = erased[erased.any((1, 2))]
        rows, columns = erased.any(2).sum(1).double(), erased.any(1).sum(1).double()
        assert torch.equal(erased.sum((1, 2)).double(), rows * columns), "rectangles"
        quantiles = torch.tensor([0.05, 0.25, 0.5, 0.75, 0.95], dtype=torch.float64)
        values = [
            (sides / most).quantile(quantiles) for sides, most in ((rows, 40), (columns, 80), (rows * columns, 3200))
        ]
        corners = [
            erased.any(2).double().argmax(1).double().mean() / 40,
            erased.any(1).double().argmax(1).double().mean() / 80,
        ]
        facts.append(torch.cat([torch.tensor([len(erased) / 6000]), *values, torch.stack(corners)]))
    torch.testing.assert_close(*facts, atol=0.05, rtol=0)
    noise = ours[ours != 0]
    assert (noise.mean().item(), noise.std().item()) == (pytest.approx(0, abs=0.01), pytest.approx(1, abs=0.01))


def test_noise_in_place_of_pixels_is_not_normalised() -> None:
    split = small_split()
    settings = Augmentation(random_erasing=1.0, erase_value="noise")
    data = DeviceImages(split, Normalization((0.5,) * 3, (100.0,) * 3), torch.device("cpu"), (settings,))
    images, _ = data.batch(torch.arange(10), generator(), generator())
    assert images.abs().amax((1, 2, 3)).gt(0.5).sum() >= 8, "pixels themselves are within .005"


def test_noise_is_gaussian_and_independent_between_pixels_and_channels() -> None:
    grey = torch.full((64, 3, 16, 16), 0.5)
    noise = augment(grey, Augmentation(noise=0.1), generator(), generator(3)) - 0.5
    assert noise.mean().item() == pytest.approx(0, abs=0.002)
    assert noise.std().item() == pytest.approx(0.1, rel=0.02)
    assert (noise.abs() < 0.1).float().mean().item() == pytest.approx(0.683, abs=0.01)
    correlations = torch.corrcoef(torch.stack([noise[:, 0].ravel(), noise[:, 1].ravel(), noise[:, 0].roll(1).ravel()]))
    assert (correlations - torch.eye(3)).abs().max() < 0.03


def test_noise_is_clipped_to_what_an_image_can_hold() -> None:
    halves = torch.cat([torch.zeros(8, 1, 16, 16), torch.ones(8, 1, 16, 16)])
    noisy = augment(halves, Augmentation(noise=2.0), generator(), generator(3))
    assert (noisy.min(), noisy.max()) == (0, 1)
    assert (noisy[:8] == 0).float().mean().item() == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("kind", EACH)
def test_equal_images_of_a_batch_come_out_different_and_the_same_generators_repeat_it(kind: str) -> None:
    # The margin is wide enough that 16 images hardly share a shift; of flips there are only two.
    images = some_images()[:1].repeat(16, 1, 1, 1)
    settings = EACH[kind]
    batch = augment(images, settings, generator(4), generator(5))
    assert len(batch.flatten(1).unique(dim=0)) >= {"flip": 2, "erasing": 8}.get(kind, 12)
    assert torch.equal(batch, augment(images, settings, generator(4), generator(5)))
    assert not torch.equal(batch, augment(images, settings, generator(40), generator(50)))


def test_the_input_is_left_as_it_was() -> None:
    images = some_images()
    augment(images, EVERYTHING.model_copy(update={"noise": 0.2}), generator(), generator())
    assert torch.equal(images, some_images())


def test_as_many_numbers_are_drawn_from_the_cpu_on_any_device() -> None:
    """The meta device computes shapes only, as a GPU would be given them."""
    on_cpu, elsewhere = generator(), generator()
    augment(some_images(), EVERYTHING, on_cpu, generator())
    assert augment(some_images().to("meta"), EVERYTHING, elsewhere, generator()).device.type == "meta"
    assert torch.equal(on_cpu.get_state(), elsewhere.get_state())


def small_split() -> Images:
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (10, 3, HEIGHT, WIDTH)).astype(np.uint8)
    return Images(images, np.arange(10))


NORMALIZATION = Normalization(mean=(0.1, 0.2, 0.3), std=(0.5, 0.4, 0.3))


def test_batches_are_the_images_asked_for_augmented_in_turn_then_normalised() -> None:
    split, index = small_split(), torch.tensor([3, 0, 3])
    turns = (Augmentation(shift=2), Augmentation(flip=True, noise=0.1))
    data = DeviceImages(split, NORMALIZATION, torch.device("cpu"), turns)
    images, labels = data.batch(index, generator(1), generator(2))
    draws, noise = generator(1), generator(2)
    expected = torch.from_numpy(split.images)[index].float() / 255
    for settings in turns:
        expected = augment(expected, settings, draws, noise)
    for channel, (mean, std) in enumerate(zip(NORMALIZATION.mean, NORMALIZATION.std, strict=True)):
        expected[:, channel] = (expected[:, channel] - mean) / std
    torch.testing.assert_close(images, expected)
    assert labels.tolist() == [3, 0, 3]


def test_evaluation_sees_every_image_once_in_order_without_augmentation() -> None:
    split = small_split()
    augmented = DeviceImages(split, NORMALIZATION, torch.device("cpu"), (EVERYTHING,))
    plain = DeviceImages(split, NORMALIZATION, torch.device("cpu"))
    images, labels = (torch.cat(parts) for parts in zip(*augmented.eval_batches(4), strict=True))
    torch.testing.assert_close(images, plain.batch(torch.arange(10), generator(), generator())[0])
    assert labels.tolist() == list(range(10))


@pytest.mark.gpu
def test_on_a_gpu_the_batch_is_the_same_and_the_host_never_waits() -> None:
    index = torch.tensor([3, 0, 3, 7])
    on_cpu = DeviceImages(small_split(), NORMALIZATION, torch.device("cpu"), (EVERYTHING,))
    on_gpu = DeviceImages(small_split(), NORMALIZATION, torch.device("cuda"), (EVERYTHING,))
    torch.cuda.set_sync_debug_mode("error")
    try:
        images, labels = on_gpu.batch(index, generator(1), torch.Generator("cuda"))
    finally:
        torch.cuda.set_sync_debug_mode("default")
    expected, _ = on_cpu.batch(index, generator(1), generator(2))
    torch.testing.assert_close(images.cpu(), expected)
    assert labels.cpu().tolist() == index.tolist()
