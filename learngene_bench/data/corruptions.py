"""Corruptions of photographs: common ways in which images are worse than those of training.

Names, strengths and formulas are those of D. Hendrycks and T. Dietterich, Benchmarking Neural Network Robustness to
Common Corruptions and Perturbations (ICLR 2019, github.com/hendrycks/robustness), for five of their nineteen, which
need neither OpenCV nor ImageMagick. They chose strengths for images of 32 pixels (CIFAR-10-C), 64 (Tiny ImageNet-C)
and 224 (ImageNet-C); an image has those of the size nearest to its own, by ratio. As theirs, results are rounded down
to 8 bits. The noise of an image is drawn by its number and a fixed seed, so that every model sees the same.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from learngene_bench.contracts.dataset import Shift, Split
from learngene_bench.data.splits import Images
from learngene_bench.util.lazy import np
from learngene_bench.util.rng import RngStreams

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image as PILImage

SEED = 0
"""Seed by which noise is drawn, with the number of the image and the strength."""

STRENGTHS: Mapping[int, Mapping[str, tuple[float, ...]]] = {
    32: {
        "gaussian-noise": (0.04, 0.06, 0.08, 0.09, 0.10),
        "gaussian-blur": (0.4, 0.6, 0.7, 0.8, 1.0),
        "brightness": (0.05, 0.1, 0.15, 0.2, 0.3),
        "contrast": (0.75, 0.5, 0.4, 0.3, 0.15),
        "jpeg-compression": (80, 65, 58, 50, 40),
    },
    64: {
        "gaussian-noise": (0.04, 0.08, 0.12, 0.15, 0.18),
        "gaussian-blur": (0.5, 0.75, 1.0, 1.25, 1.5),
        "brightness": (0.1, 0.2, 0.3, 0.4, 0.5),
        "contrast": (0.4, 0.3, 0.2, 0.1, 0.05),
        "jpeg-compression": (65, 58, 50, 40, 25),
    },
    224: {
        "gaussian-noise": (0.08, 0.12, 0.18, 0.26, 0.38),
        "gaussian-blur": (1.0, 2.0, 3.0, 4.0, 6.0),
        "brightness": (0.1, 0.2, 0.3, 0.4, 0.5),
        "contrast": (0.4, 0.3, 0.2, 0.1, 0.05),
        "jpeg-compression": (25, 18, 15, 10, 7),
    },
}
"""Strengths of the severities 1 to 5, by the side of the images that they were chosen for, and by corruption: standard
deviations of noise (white being 1) and of the blur (pixels), added brightness, remaining contrast, quality."""

_TITLES = {
    "gaussian-noise": "Gaussian noise",
    "gaussian-blur": "Gaussian blur",
    "brightness": "Brightness",
    "contrast": "Contrast",
    "jpeg-compression": "JPEG",
}
_AT_A_TIME = 256


def corruptions_of(side: int) -> tuple[Shift, ...]:
    """Returns the corruptions of images of this side in pixels; a level is a severity, 1 to 5."""
    chosen = _size(side)
    return tuple(
        Shift(name, (1, 2, 3, 4, 5), title, f"version 1, of {chosen} pixels, noise by seed {SEED}")
        for name, title in _TITLES.items()
    )


def corrupted_split(split: Split, name: str, severity: int) -> Split:
    """Returns a split whose images are corrupted; those in memory at once, those on disk whenever they are seen."""
    corrupted = CorruptedImages(split, name, severity)
    if not isinstance(split, Images):
        return corrupted
    images = np.empty_like(split.images)
    for start in range(0, len(split), _AT_A_TIME):
        places = np.arange(start, min(start + _AT_A_TIME, len(split)))
        images[places] = corrupted.take(places)
    return Images(images, split.labels)


@dataclass(frozen=True)
class CorruptedImages:
    """A split whose images are corrupted whenever they are seen.

    Attributes:
        split: the images as they are.
        name: one of the corruptions.
        severity: 1 to 5.
    """

    split: Split
    name: str
    severity: int

    @property
    def labels(self) -> NDArray[Any]:
        return self.split.labels

    def __len__(self) -> int:
        return len(self.split)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of one image, (C, H, W)."""
        return self.split.shape

    def take(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Returns the images at these indices, (N, C, H, W)."""
        strength = STRENGTHS[_size(self.shape[-1])][self.name][self.severity - 1]
        images = self.split.take(indices)
        made = [self._corrupted(image, strength, int(index)) for image, index in zip(images, indices, strict=True)]
        return np.stack(made) if made else images

    def image(self, index: int, *, whole: bool = False) -> PILImage:
        """Returns one image as `take` does; `whole` makes no difference, as only evaluation sees corrupted images."""
        return Images(self.take(np.array([index])), self.labels[:1]).image(0)

    def _corrupted(self, image: NDArray[np.uint8], strength: float, index: int) -> NDArray[np.uint8]:
        if self.name == "jpeg-compression":
            return _compressed(image, int(strength))
        pixels = image / 255.0
        match self.name:
            case "gaussian-noise":
                seed = RngStreams(SEED).seed_for("shift", self.name, self.severity, index)
                pixels = pixels + np.random.default_rng(seed).normal(scale=strength, size=pixels.shape)
            case "gaussian-blur":
                from scipy.ndimage import gaussian_filter

                pixels = gaussian_filter(pixels, (0, strength, strength), mode="nearest")
            case "brightness":
                pixels = _brighter(pixels, strength)
            case "contrast":
                mean = pixels.mean((1, 2), keepdims=True)
                pixels = (pixels - mean) * strength + mean
        return (pixels.clip(0, 1) * 255).astype(np.uint8)


def _brighter(pixels: NDArray[np.float64], added: float) -> NDArray[np.float64]:
    """Adds to the value of HSV, which is the greatest channel; hue and saturation stay."""
    value = pixels.max(0, keepdims=True)
    wanted = (value + added).clip(0, 1)
    found: NDArray[np.float64] = np.where(value > 0, pixels * wanted / np.maximum(value, 1e-9), wanted)
    return found


def _compressed(image: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    """Saves and opens as JPEG. Raises `UserError` for images that are neither grey nor RGB."""
    from PIL import Image

    content = io.BytesIO()
    Images(image[None], np.zeros(1, np.int64)).image(0).save(content, "JPEG", quality=quality)
    with Image.open(content) as opened:
        found = np.asarray(opened)
    return found.reshape(*image.shape[1:], -1).transpose(2, 0, 1)


def _size(side: int) -> int:
    """Returns the side that strengths were chosen for which is nearest to this one, by ratio."""
    return min(STRENGTHS, key=lambda known: abs(math.log(known / side)))
