"""Augments an image together with its label map, as Segmenter and mmsegmentation do, with torchvision's functions.

All random numbers of an image come from one generator, in one order, so its seed decides the result to the last bit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Generator, Tensor
from torchvision import tv_tensors
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as F

from learngene_bench.config.joint import JointAugmentation
from learngene_bench.data.map_files import IGNORED

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image as PILImage

CROPS = 10
"""Crops that are looked at for one without a class that is too large; if all of them have one, another is taken."""
BRIGHTNESS, CONTRAST, SATURATION, HUE = 32, (0.5, 1.5), (0.5, 1.5), 0.1
"""Ranges of the colour changes: added to pixels of 0 to 255, factors, part of the colour circle."""


def joint_view(
    image: PILImage,
    labels: NDArray[np.uint8],
    side: int,
    shorter_side: int,
    settings: JointAugmentation,
    generator: Generator,
) -> tuple[Tensor, Tensor, tuple[int, int]]:
    """Draws a square of an image and the same square of its labels (height, width).

    Returns:
        Image, uint8 (C, side, side); labels, uint8 (side, side); height and width of the part that the image fills, at
        the top left. The rest is 0 in the image and `IGNORED` in the labels.
    """
    pixels, mask = tv_tensors.Image(F.pil_to_tensor(image)), tv_tensors.Mask(torch.from_numpy(labels))
    pixels, mask = _resized(pixels, mask, shorter_side * _uniform(settings.scale, generator))
    top, left = _corner(mask, side, settings.largest_class, generator)
    height, width = (min(side, length) for length in mask.shape)
    pixels, mask = (F.crop(each, top, left, height, width) for each in (pixels, mask))
    if settings.flip and _coin(generator):
        pixels, mask = F.horizontal_flip(pixels), F.horizontal_flip(mask)
    if settings.photometric:
        pixels = photometric(pixels, generator)
    missing = [0, 0, side - width, side - height]  # left, top, right, bottom
    pixels, mask = F.pad(pixels, missing, fill=0), F.pad(mask, missing, fill=IGNORED)
    return pixels.as_subclass(torch.Tensor), mask.as_subclass(torch.Tensor), (height, width)


def _resized(pixels: Tensor, mask: Tensor, shorter_side: float) -> tuple[Tensor, Tensor]:
    """Resizes both, the image bilinearly with antialiasing; a label is that of the nearest pixel."""
    shorter = min(mask.shape)
    size = [max(1, round(shorter_side * length / shorter)) for length in mask.shape]
    # Not `NEAREST`, which takes the pixel at the upper left: labels would be shifted by up to half a pixel.
    nearest = F.resize_image(mask.unsqueeze(0), size, InterpolationMode.NEAREST_EXACT).squeeze(0)
    return F.resize(pixels, size, InterpolationMode.BILINEAR, antialias=True), tv_tensors.Mask(nearest)


def _corner(mask: Tensor, side: int, largest_class: float, generator: Generator) -> tuple[int, int]:
    """Draws the first row and column of a crop with two classes or more, none of which is too large."""
    for _ in range(CROPS if largest_class < 1 else 0):
        top, left = _any_corner(mask, side, generator)
        counts = torch.bincount(mask[top : top + side, left : left + side].flatten(), minlength=IGNORED + 1)[:IGNORED]
        if (counts > 0).sum() > 1 and counts.max() < largest_class * counts.sum():
            return top, left
    return _any_corner(mask, side, generator)


def _any_corner(mask: Tensor, side: int, generator: Generator) -> tuple[int, int]:
    top, left = (int(torch.randint(max(0, length - side) + 1, (), generator=generator)) for length in mask.shape)
    return top, left


def photometric(image: Tensor, generator: Generator) -> Tensor:
    """Changes the colours of a uint8 image (C, H, W) as `PhotoMetricDistortion` of mmsegmentation.

    Brightness is added to and contrast multiplied with the pixels, which for torchvision is brightness. Saturation and
    hue are torchvision's; mmsegmentation's saturation is that of HSV.
    """
    if _coin(generator):
        added = _uniform((-BRIGHTNESS, BRIGHTNESS), generator)
        image = (image.float() + added).clamp_(0, 255).to(torch.uint8)
    contrast_first = _coin(generator)
    if contrast_first and _coin(generator):
        image = F.adjust_brightness(image, _uniform(CONTRAST, generator))
    if _coin(generator):
        image = F.adjust_saturation(image, _uniform(SATURATION, generator))
    if _coin(generator):
        hue = _uniform((-HUE, HUE), generator)
        # On 8-bit images of PIL this takes half as long as on tensors.
        image = F.pil_to_tensor(F.adjust_hue(F.to_pil_image(image), hue)) if len(image) == 3 else image
    if not contrast_first and _coin(generator):
        image = F.adjust_brightness(image, _uniform(CONTRAST, generator))
    return image


def _coin(generator: Generator) -> bool:
    return bool(torch.rand((), generator=generator) < 0.5)


def _uniform(limits: tuple[float, float], generator: Generator) -> float:
    low, high = limits
    return low + (high - low) * float(torch.rand((), generator=generator))
