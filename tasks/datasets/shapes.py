"""An embedded data set without any real image: eight plain shapes that this file draws."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from learngene_bench.tasks.datasets.placed import SIDE, Counts, Pictures, PlacedOptions, PlacedPictures
from learngene_bench.util.lazy import np

if TYPE_CHECKING:
    from numpy.typing import NDArray

SHAPES = ("disc", "ring", "block", "frame", "diamond", "triangle", "plus", "cross")
FINENESS = 4
"""Samples of a shape in a pixel, in each direction: edges are grey, as in a photograph."""


class ShapesOptions(PlacedOptions):
    train_shapes: int = Field(
        800, ge=10 * len(SHAPES), description="number of training pictures, equally many of each class"
    )
    validation_shapes: int = Field(160, ge=len(SHAPES))
    test_shapes: int = Field(360, ge=len(SHAPES))


class Shapes(PlacedPictures):
    """Eight shapes, drawn at random sizes, places and brightnesses and slightly turned; no real images.

    A shape's half width is 2 to 3.5 pixels, its brightness 0.6 to 1, and it is turned by at most 20 degrees, so that a
    block stays a block and no diamond, and a plus no cross.
    """

    Options = ShapesOptions
    options: ShapesOptions
    classes: ClassVar[int] = len(SHAPES)

    @property
    def counts(self) -> Counts:
        return Counts(self.options.train_shapes, self.options.validation_shapes, self.options.test_shapes)

    def fingerprint(self) -> str:
        return f"shapes, version 1: {' '.join(SHAPES)}; drawn by seeds 0, 1, 2"

    def pictures(self) -> tuple[Pictures, Pictures, Pictures]:
        train, validation, test = (_drawn(count, seed) for seed, count in enumerate(self.counts))
        return train, validation, test


def _drawn(count: int, seed: int) -> Pictures:
    """Draws `count` pictures, the shapes in turn."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % len(SHAPES)
    radius = random.uniform(2.0, 3.5, count)
    centre = SIDE / 2 + random.uniform(-1, 1, (count, 2)) * (SIDE / 2 - radius)[:, None]
    angle = np.deg2rad(random.uniform(-20, 20, count))
    brightness = random.uniform(0.6, 1.0, count)
    pixels = [
        _picture(SHAPES[label], *values)
        for label, *values in zip(labels, centre, radius, angle, brightness, strict=True)
    ]
    return Pictures(np.stack(pixels), labels.astype(np.int64))


def _picture(
    shape: str, centre: NDArray[np.float64], radius: float, angle: float, brightness: float
) -> NDArray[np.uint8]:
    """Draws one shape as 8 x 8 pixels; lengths in pixels, the angle in radians."""
    samples = (np.arange(SIDE * FINENESS) + 0.5) / FINENESS
    y, x = (samples[:, None] - centre[0]) / radius, (samples[None, :] - centre[1]) / radius
    across, down = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    covered = _inside(shape, across, down).reshape(SIDE, FINENESS, SIDE, FINENESS).mean((1, 3))
    return np.round(covered * brightness * 255).astype(np.uint8)


def _inside(shape: str, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Tests if points lie in a shape that fills -1..1, `y` pointing down.

    Corners of a turned block would reach out of its 8 x 8 pixels, so block and frame are smaller by as much.
    """
    distance, chessboard, city_block = np.hypot(x, y), np.maximum(abs(x), abs(y)), abs(x) + abs(y)
    match shape:
        case "disc":
            return distance < 1
        case "ring":
            return (distance < 1) & (distance > 0.5)
        case "block":
            return chessboard < 0.78
        case "frame":
            return (chessboard < 0.78) & (chessboard > 0.39)
        case "diamond":
            return city_block < 1
        case "triangle":
            return (y < 0.6) & (y > 2 * abs(x) - 1)
        case "plus":
            return (np.minimum(abs(x), abs(y)) < 0.25) & (distance < 1)
        case _:  # cross
            return (abs(abs(x) - abs(y)) < 0.35) & (distance < 1)
