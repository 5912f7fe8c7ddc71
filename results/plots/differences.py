"""Draws the differences between all pairs of methods as a triangle of cells, filled where they are significant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from learngene_bench.results.plots import style
from learngene_bench.results.plots.page import Page, saved_by_sample
from learngene_bench.results.plots.style import SMALL_SIZE, WIDTHS
from learngene_bench.results.tables import inference_notes
from learngene_bench.results.tables.inference import Inference

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_HEIGHT, _WIDTH = 0.2, 0.27
"""Size of a cell in inches; numbers are rotated in narrower cells."""
_FEW = 8
"""Largest number of methods that fits into one column of a paper."""
_LEFT, _INDENT = 0.12, 0.06
_LETTER_WIDTH = 0.0083 * SMALL_SIZE
_NAMES = 0.6
"""Largest part of the room that names may take beside the cells; longer ones are cut."""
_SHORTEST = 8
"""Letters that are left of every name."""


@saved_by_sample("differences")
def differences(found: Inference, columns: int) -> Page:
    """Draws the differences between all pairs of methods, paired by seed, and marks those that are significant."""
    sample, labels = found.sample, _labels(found)
    across = columns if len(labels) > _FEW else 1
    room = WIDTHS[across] - _LEFT - 0.2
    names = _fitting(labels, room)
    beside = _beside(names, room)
    rotated = (room - beside) / len(labels) < _WIDTH
    what = f"Differences of mean {style.metric_name(sample.table)}"
    page = Page(
        f"{what} over {inference_notes.columns(sample)}{style.conditions(sample.table)}",
        _caption(found),
        count=1,
        across=1,
        height=(_WIDTH if rotated else _HEIGHT) * len(labels),
        columns=across,
        beside=beside,
        below=0.1,
        left=_LEFT,
        wide=True,
    )
    _triangle(page.panel(0, ""), found, dict(zip(labels, names, strict=True)), rotated)
    return page


def _beside(labels: Sequence[str], room: float) -> float:
    """Returns the room right of the cells, in inches, with which names that begin on the diagonal stay in the figure.

    With n cells in what is left of the room, a name of length w that begins at cell i needs
    w <= beside + (n - i) (room - beside) / n.
    """
    n = len(labels)
    lengths = [_INDENT + _LETTER_WIDTH * len(label) for label in labels]
    return max(0.0, *((length * n - (n - place) * room) / place for place, length in enumerate(lengths) if place))


def _fitting(labels: Sequence[str], room: float) -> list[str]:
    """Cuts the longest names, such as those of variants with many settings, until the cells have room beside them."""
    names, most = list(labels), max(map(len, labels))
    while most > _SHORTEST and _beside(names, room) > _NAMES * room:
        most -= 1
        names = [label if len(label) <= most else f"{label[: most - 1].rstrip()}…" for label in labels]
    return names


def _labels(found: Inference) -> list[str]:
    """Returns the methods' labels, the best mean first."""
    return [found.best.label, *(pair.second.label for pair in found.pairs if pair.first == found.best)]


def _triangle(axes: Axes, found: Inference, names: Mapping[str, str], rotated: bool) -> None:
    """Draws the cells, with each method's name at the end of its row and on top of its column.

    Args:
        names: what is written of each label, the best mean first.
    """
    from matplotlib import colormaps
    from matplotlib.patches import Rectangle

    measure = found.sample.table.measure
    places = {label: place for place, label in enumerate(names)}
    most = max(abs(pair.difference) for pair in found.pairs)
    inch = len(names) * axes.figure.dpi / axes.bbox.width
    number: dict[str, Any] = {"ha": "center", "va": "center", "size": 5.5 if rotated else SMALL_SIZE}
    for pair in found.pairs:
        row, column = places[pair.second.label], places[pair.first.label]
        significant = "t" in pair.tests and inference_notes.significant(pair.tests["t"])
        shade = 0.12 + 0.73 * abs(pair.difference) / most if significant else 0.0
        face = colormaps["Greys"](shade) if significant else "white"
        axes.add_patch(Rectangle((column, row), 1, 1, facecolor=face, edgecolor="#BBBBBB", linewidth=0.5))
        color = "white" if shade > 0.5 else "black"
        lead = measure.sign * pair.difference + 0.0  # the sum is never -0.0
        axes.text(column + 0.5, row + 0.5, measure.text(lead), color=color, rotation=90 if rotated else 0, **number)
    for label, place in places.items():
        axes.text(place + _INDENT * inch, place + 0.5, names[label], ha="left", va="center_baseline", size=SMALL_SIZE)
    axes.set_xlim(0, len(names))
    axes.set_ylim(len(names), 0)
    axes.axis("off")


def _caption(found: Inference) -> str:
    sentences = [
        f"Lead of the method above a column over that right of a row, {style.metric_unit(found.sample.table)}, "
        "paired by seed.",
        f"Filled: significant (paired t-test over seeds, 5 %, {inference_notes.corrected_for(found)}), the "
        "darker the larger. White: not significant."
        if len(found.sample.seeds) > 1
        else "One seed: no difference can be tested.",
        inference_notes.over(found.sample),
    ]
    return " ".join([*sentences, *inference_notes.excluded(found.sample)])
