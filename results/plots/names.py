"""Writes names right of a panel, each with its marker, as close as possible to the height of its point."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from learngene_bench.results.formats.layout import wrap_label
from learngene_bench.results.plots.style import SMALL_SIZE, Look

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LINE_HEIGHT = 0.0185 * SMALL_SIZE
_LETTER_WIDTH = 0.0083 * SMALL_SIZE
_LEADER, _MARKER = 0.16, 0.09
"""Distance of the marker from the panel and of the name from the marker, in inches."""


@dataclass(frozen=True)
class LineEnd:
    """The point to name, usually the end of a line, in the coordinates of the panel's data."""

    name: str
    look: Look
    x: float
    y: float


def room(names: Sequence[str], letters: int) -> tuple[float, float]:
    """Returns the width and height in inches that the names need when lines are wrapped at this many letters."""
    lines = [line for name in names for line in wrap_label(name, letters, 0)]
    width = _LEADER + _MARKER + _LETTER_WIDTH * max(map(len, lines), default=0)
    return width, _LINE_HEIGHT * (len(lines) + 0.2 * len(names))


def write(axes: Axes, ends: Sequence[LineEnd], letters: int) -> None:
    """Draws the names, with a thin line from each point to its name."""
    inch = axes.figure.dpi / axes.bbox.width
    line = _LINE_HEIGHT * axes.figure.dpi / axes.bbox.height
    to_panel = axes.transData + axes.transAxes.inverted()
    points = sorted(((*to_panel.transform((end.x, end.y)), end) for end in ends), key=lambda point: point[1])
    heights = [line * (0.2 + len(wrap_label(end.name, letters, 0))) for _, _, end in points]
    spots = spread([y for _, y, _ in points], heights)
    outside: dict[str, Any] = {"transform": axes.transAxes, "clip_on": False}
    for (x, y, end), spot in zip(points, spots, strict=True):
        leader = 1 + _LEADER * inch
        axes.plot([x, 1, leader], [y, y, spot], color=end.look.color, lw=0.4, alpha=0.6, zorder=0, **outside)
        axes.plot([leader], [spot], **end.look.markers, **outside)
        text = "\n".join(wrap_label(end.name, letters, 0))
        axes.text(leader + _MARKER * inch, spot, text, va="center", size=SMALL_SIZE, linespacing=1.1, **outside)


def spread(centers: Sequence[float], heights: Sequence[float]) -> list[float]:
    """Moves ascending centers up until no two boxes overlap, then down until the last stays below the panel's top.

    Args:
        centers: wanted positions, as fractions of the panel's height.
        heights: height of each box, half of it above its center.
    """
    gaps = [(below + above) / 2 for below, above in pairwise(heights)]
    spots: list[float] = []
    for center, gap in zip(centers, [0.0, *gaps], strict=False):
        spots.append(max(center, spots[-1] + gap) if spots else center)
    ceiling = 1.0
    for index, gap in zip(reversed(range(len(spots))), [*reversed(gaps), 0.0], strict=True):
        spots[index] = min(spots[index], ceiling)
        ceiling = spots[index] - gap
    return spots
