"""Draws docs/concept.png: from an ancestor to a gene, to targets of any depth, to a table.

    python tools/draw_concept.py

The numbers on the right are those of docs/digits.md.
"""

from __future__ import annotations

import matplotlib
from architecture import ROOT

matplotlib.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

PICTURE = ROOT / "docs" / "concept.png"

DEPTHS = (4, 6, 8, 12)
WAVE, HE = (85.6, 88.1, 88.0, 88.0), (23.6, 25.1, 26.7, 26.1)
TEMPLATES = ("#2f6db3", "#2d8659", "#d98a1f")
INK, QUIET = "#222222", "#5b6570"
BLOCK = 0.155
"""Height of one block of a model."""


def mixed(position: float) -> tuple[float, ...]:
    """Mixes the colours of the templates for a layer at a relative depth of 0 to 1."""
    place = position * (len(TEMPLATES) - 1)
    low = min(int(place), len(TEMPLATES) - 2)
    part = place - low
    pairs = zip(to_rgb(TEMPLATES[low]), to_rgb(TEMPLATES[low + 1]), strict=True)
    return tuple((1 - part) * a + part * b for a, b in pairs)


def model(axes: Axes, x: float, depth: int, colours: list[tuple[float, ...]], width: float = 0.36) -> None:
    """Draws a model as a stack of blocks on the ground line."""
    for layer, colour in enumerate(colours):
        place = (x - width / 2, layer * BLOCK + 0.02)
        axes.add_patch(
            FancyBboxPatch(place, width, BLOCK - 0.045, "round,pad=0,rounding_size=0.03", fc=colour, ec="none")
        )
    axes.text(
        x,
        depth * BLOCK + 0.05,
        f"{depth} blocks" if x < 1 else str(depth),
        ha="center",
        va="bottom",
        size=9,
        color=QUIET,
    )


def arrow(axes: Axes, start: float, end: float, y: float, title: str, lines: str) -> None:
    """Draws an arrow to the right with its name above and what it costs below."""
    axes.annotate("", (end, y), (start, y), arrowprops={"arrowstyle": "-|>", "lw": 1.6, "color": INK})
    axes.text((start + end) / 2, y + 0.07, title, ha="center", va="bottom", size=11, weight="bold", color=INK)
    axes.text((start + end) / 2, y - 0.09, lines, ha="center", va="top", size=9, color=QUIET, linespacing=1.15)


def caption(axes: Axes, x: float, title: str, lines: str) -> None:
    """Writes a word of the benchmark and its meaning below the ground line."""
    axes.text(x, -0.12, title, ha="center", va="top", size=12, weight="bold", color=INK)
    axes.text(x, -0.36, lines, ha="center", va="top", size=9, color=QUIET, linespacing=1.15)


def draw() -> Figure:
    """Draws the picture."""
    figure = plt.figure(figsize=(10, 3.15), facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, 10), ylim=(-0.85, 2.3))
    axes.axis("off")

    model(axes, 0.75, 12, [mixed(layer / 11) for layer in range(12)])
    caption(axes, 0.75, "ancestor", "a trained model")
    arrow(axes, 1.15, 2.45, 0.85, "prepare", "condense, once\nfor all targets")

    axes.add_patch(
        FancyBboxPatch((2.62, 0.44), 0.86, 0.82, "round,pad=0,rounding_size=0.08", fc="#f4f5f7", ec=QUIET, lw=1)
    )
    for number, colour in enumerate(TEMPLATES):
        axes.add_patch(
            FancyBboxPatch(
                (2.74, 0.53 + number * 0.22), 0.62, 0.17, "round,pad=0,rounding_size=0.03", fc=colour, ec="none"
            )
        )
    caption(axes, 3.05, "gene", "all that a method stores,\na fraction of one model")
    arrow(axes, 3.65, 4.95, 0.85, "initialize", "each target,\nin seconds")

    for number, depth in enumerate(DEPTHS):
        model(axes, 5.25 + number * 0.48, depth, [mixed(layer / (depth - 1)) for layer in range(depth)])
    caption(axes, 5.97, "targets", "models of any depth and width,\non any task")
    arrow(axes, 7.0, 8.05, 0.85, "fine-tune", "all alike,\ncost counted")

    chart = figure.add_axes((0.837, 0.34, 0.135, 0.5))
    for values, colour, name in ((WAVE, TEMPLATES[0], "WAVE"), (HE, QUIET, "He-Init")):
        chart.plot(DEPTHS, values, "o-", color=colour, ms=4, lw=1.6)
        chart.text(12, values[-1] + 6, name, ha="right", size=9, color=colour, weight="bold")
    chart.set(ylim=(0, 108), xlim=(3, 13), xticks=DEPTHS, yticks=(0, 50, 100))
    chart.tick_params(labelsize=8, length=2, colors=QUIET)
    chart.spines[["top", "right"]].set_visible(False)
    chart.set_title("top-1 (%) over depth", size=9, color=QUIET)
    caption(axes, 9.06, "cells", "method, target, task, seed:\na record each, then tables")
    return figure


if __name__ == "__main__":
    draw().savefig(PICTURE, dpi=160, metadata={"Software": None})
    print(PICTURE)
