"""Decodes image files as networks see them: grey or RGB, cut to a square. Does not import torch."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from learngene_bench.util.errors import UserError

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "PPM", "TIFF", "GIF")
"""Formats that are decoded, by Pillow's names. For others, such as EPS, it starts programs, whatever a file's name."""


def decoded(path: Path, channels: int) -> PILImage:
    """Decodes the whole image of a file, grey for 1 channel, RGB for 3.

    Raises:
        UserError: it is no image, it is damaged, or its pixels have more than 8 bits.
    """
    from PIL import Image

    with decoding(path), Image.open(path, formats=FORMATS) as image:
        # PIL would clip 16-bit and floating-point pixels at 255, which makes most of them white.
        if image.mode.startswith(("I", "F")):
            raise ValueError(f"pixels of more than 8 bits (mode {image.mode}); convert it to 8 bits")
        return image.convert("RGB" if channels == 3 else "L")


def decoded_square(path: Path, channels: int, side: int, crop: float = 1.0) -> PILImage:
    """Decodes the centre square of a file's image at this size; see `centre` and `decoded`."""
    image = decoded(path, channels)
    with decoding(path):  # of some shapes even the resized image does not fit into memory
        return centre(image, side, crop)


def centre(image: PILImage, side: int, crop: float = 1.0) -> PILImage:
    """Cuts the centre square out of an image resized (bicubic, antialiased) to a shorter side of side / crop.

    Rounded as torchvision's `Resize` and `CenterCrop`, and timm's `crop_pct`, round.
    """
    from PIL import Image

    shorter, resized_to = min(image.size), math.floor(side / crop)
    width, height = (resized_to * length // shorter for length in image.size)
    left, top = round((width - side) / 2), round((height - side) / 2)
    resized = image.resize((width, height), Image.Resampling.BICUBIC)
    return resized.crop((left, top, left + side, top + side))


def resized(image: PILImage, shorter_side: int) -> PILImage:
    """Resizes a whole image to this shorter side (bilinear, antialiased), rounded as torchvision's `Resize` rounds."""
    from PIL import Image

    width, height = (shorter_side * length // min(image.size) for length in image.size)
    return image.resize((width, height), Image.Resampling.BILINEAR)


@contextmanager
def decoding(path: Path) -> Iterator[None]:
    """Raises a `UserError` that names the file for anything that goes wrong with it."""
    try:
        yield
    # On damaged files PIL's decoders raise errors of many kinds, not only its own.
    except Exception as error:
        reason = getattr(error, "strerror", None) or str(error).replace(f" {str(path)!r}", "") or type(error).__name__
        raise UserError(f"{path}: does not decode: {' '.join(reason.split())}") from error
