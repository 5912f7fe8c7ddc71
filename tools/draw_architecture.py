"""Draws docs/architecture.png: the rooms of the package, and which room uses which.

    python tools/draw_architecture.py

The arrows are those of the real imports. An arrow that follows from others is left out: `cli` uses `util`, but it also
uses `analysis`, which does. The file says which graph it shows; tests/test_architecture.py compares that with the code.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable
from functools import cache

import architecture
import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

PICTURE = architecture.ROOT / "docs" / "architecture.png"

GROUPS = {
    "what a person calls": ("#2f6db3", "#e3eefb"),
    "from a plan to tables": ("#2d8659", "#e0f3e8"),
    "computation": ("#bf6516", "#fdeeda"),
    "what may be plugged in": ("#8a4aa8", "#f4e6fa"),
    "documents and ground": ("#5b6570", "#edf0f2"),
}
"""Edge and fill of each group of rooms."""

CALLED, RUN, COMPUTATION, PLUGGED, GROUND = GROUPS

PLACES = {
    "api": (2, 0, CALLED),
    "cli": (2, 1, CALLED),
    "analysis": (0.9, 2, CALLED),
    "conformance": (3.1, 2, CALLED),
    "results": (0, 6, RUN),
    "execution": (2, 3, RUN),
    "tracking": (3.4, 3, RUN),
    "runs": (1.2, 4, RUN),
    "training": (2.7, 4, COMPUTATION),
    "baselines": (4.1, 4, PLUGGED),
    "planning": (1.2, 5, RUN),
    "expansion": (2.3, 5, COMPUTATION),
    "methods": (4.1, 5, PLUGGED),
    "plugins": (1.05, 6, PLUGGED),
    "models": (2.1, 6, COMPUTATION),
    "data": (3.1, 6, COMPUTATION),
    "tasks": (4.1, 6, PLUGGED),
    "contracts": (1.6, 7, PLUGGED),
    "distributed": (3.1, 7, COMPUTATION),
    "schema": (1.6, 8, GROUND),
    "config": (1.6, 9, GROUND),
    "version": (1.05, 10, GROUND),
    "util": (2.15, 10, GROUND),
}
"""Column, row and group of each room."""

WIDTH, HEIGHT = 0.88, 0.6


def needed_arrows(arrows: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Leaves out the arrows that follow from others (the transitive reduction of a graph without cycles)."""
    used = {a: {y for x, y in arrows if x == a} for a, _ in arrows}

    @cache
    def reached(room: str) -> frozenset[str]:
        below = used.get(room, set())
        return frozenset(below).union(*(reached(other) for other in below))

    return sorted((a, b) for a in used for b in used[a] if not any(b in reached(c) for c in used[a] - {b}))


def content(graph: architecture.ImportGraph) -> str:
    """Says what the picture shows, as JSON: rooms with their captions, and the arrows between them."""
    rooms = {**architecture.LAYERS, **architecture.IMPLEMENTATIONS}
    # Only what the layers allow: a fault is for the test, and could close a cycle.
    allowed = [(a, b) for a, b in graph.room_arrows() if a in rooms and architecture.may_import(a, b)]
    return json.dumps({"rooms": rooms, "arrows": needed_arrows(allowed)}, sort_keys=True)


def draw(picture: str) -> Figure:
    """Draws what `content` said."""
    shown = json.loads(picture)
    figure = plt.figure(figsize=(10, 9.9), facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(-0.55, 4.65), ylim=(10.45, -0.45))
    axes.axis("off")
    for start, end in shown["arrows"]:
        _draw_arrow(axes, start, end)
    for room, caption in shown["rooms"].items():
        x, y, group = PLACES[room]
        edge, fill = GROUPS[group]
        box = FancyBboxPatch(
            (x - WIDTH / 2, y - HEIGHT / 2), WIDTH, HEIGHT, "round,pad=0,rounding_size=0.09", fc=fill, ec=edge, lw=1.3
        )
        axes.add_patch(box)
        axes.text(x, y - 0.13, room, ha="center", va="center", size=12, weight="bold", color=edge)
        lines = "\n".join(textwrap.wrap(caption, 20))
        axes.text(x, y + 0.11, lines, ha="center", va="center", size=8.8, color="#222222", linespacing=1.05)
    for number, (name, (edge, fill)) in enumerate(GROUPS.items()):
        y = 8.35 + number * 0.4
        axes.add_patch(FancyBboxPatch((3.0, y - 0.1), 0.22, 0.2, "round,pad=0,rounding_size=0.05", fc=fill, ec=edge))
        axes.text(3.32, y, name, va="center", size=10, color=edge)
    return figure


def _draw_arrow(axes: Axes, start: str, end: str) -> None:
    (x0, y0, group), (x1, y1, _) = PLACES[start], PLACES[end]
    if y0 == y1:
        side = WIDTH / 2 if x1 > x0 else -WIDTH / 2
        ends = (x0 + side, y0), (x1 - side, y1)
    else:
        lean = max(-1.0, min(1.0, (x1 - x0) / 2)) * WIDTH * 0.5
        ends = (x0 + lean, y0 + HEIGHT / 2), (x1 - lean, y1 - HEIGHT / 2)
    axes.add_patch(
        FancyArrowPatch(
            *ends,
            arrowstyle="-|>,head_length=5,head_width=2.5",
            shrinkA=0,
            shrinkB=1,
            color=GROUPS[group][0],
            lw=1.2,
            alpha=0.75,
        )
    )


if __name__ == "__main__":
    text = content(architecture.read_import_graph())
    draw(text).savefig(PICTURE, dpi=160, metadata={"Description": text, "Software": None})
    print(PICTURE)
