"""Draws gaps to the references over the length of fine-tuning, or over the share of the training images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from learngene_bench.results.plots import names, style
from learngene_bench.results.plots.page import Drawing, Page
from learngene_bench.results.plots.style import GREY, Look
from learngene_bench.results.records.types import Results
from learngene_bench.results.tables.gap_report import SCALES
from learngene_bench.results.tables.gaps import Gap, PlaceGaps, place_gaps
from learngene_bench.results.tables.metric_table import MethodRow
from learngene_bench.results.tables.tabulate import make_tables

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LETTERS = 18
"""Longest line of a name beside a panel, in letters."""


@Drawing
def gaps(results: Results, columns: int) -> Iterator[tuple[str, Page]]:
    """Draws the gaps of every table of the axes `horizon` and `share`: a panel for each target and reference."""
    for table in make_tables(results):
        if table.axis in SCALES and (places := place_gaps([table], results, table.axis)):
            yield style.file_name("gaps", table), _page(places, columns)


def _page(places: list[PlaceGaps], columns: int) -> Page:
    table = places[0].table
    looks = style.looks(table.rows)
    panels = [(place, reference) for place in places for reference in place.references]
    rooms = [names.room([gap.row.label for gap in _of(*panel)], _LETTERS) for panel in panels]
    page = Page(
        f"Gaps over {SCALES[table.axis].title}{style.conditions(table)}",
        _caption(places),
        count=len(panels),
        across=columns,
        height=max(1.8, *(height for _, height in rooms)),
        columns=columns,
        beside=max(width for width, _ in rooms),
    )
    for number, (place, reference) in enumerate(panels):
        axes = page.panel(number, f"{place.place}: minus {reference.label}")
        _lines(axes, place, reference, looks)
    return page


def _of(place: PlaceGaps, reference: MethodRow) -> list[Gap]:
    return [gap for gap in place.gaps.values() if gap.reference is reference]


def _lines(axes: Axes, place: PlaceGaps, reference: MethodRow, looks: Mapping[str, Look]) -> None:
    from matplotlib.ticker import NullFormatter, NullLocator

    ends, drawn = [], _of(place, reference)
    axes.set_xscale("log")
    axes.axhline(0, color=GREY, linewidth=0.8, zorder=1)
    for number, gap in enumerate(drawn):
        look, aside = looks[gap.row.label], 1.03 ** (number - (len(drawn) - 1) / 2)
        positions = [position * aside for position in gap.positions]
        spreads = [gap.spread(position) or 0.0 for position in gap.positions]
        axes.errorbar(
            positions, gap.means, yerr=spreads, linestyle=look.line, capsize=1.5, elinewidth=0.7, **look.markers
        )
        ends.append(names.LineEnd(gap.row.label, look, positions[-1], gap.means[-1]))
    scale = SCALES[place.table.axis]
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xticks(place.positions, [scale.text(position) for position in place.positions])
    axes.set_xlim(place.positions[0] / 1.2, place.positions[-1] * 1.2)
    axes.set_xlabel(f"{scale.title[:1].upper()}{scale.title[1:]}")
    axes.set_ylabel(f"Gap, {style.metric_unit(place.table).removeprefix('in ')}")
    names.write(axes, ends, _LETTERS)


def _caption(places: list[PlaceGaps]) -> str:
    table = places[0].table
    counts = sorted({len(by_seed) for place in places for gap in place.gaps.values() for by_seed in gap.differences})
    sentences = [
        f"Differences of {style.metric_name(table)} to the reference, seed by seed; above zero the method is better.",
        "One seed."
        if counts == [1]
        else f"Markers: mean over {' or '.join(map(str, counts))} seeds; bars: ± standard deviation (n\u00a0-\u00a01).",
    ]
    if table.axis == "horizon":
        sentences.append("Each length is a training of its own with a whole schedule, from the same weights.")
    else:
        sentences.append("Each share is trained on in as many steps as all images are.")
    constant = dict.fromkeys(row.label for place in places for row in place.constant)
    if constant:
        sentences.append(f"Not fine-tuned, the same model at every length: {', '.join(constant)}.")
    sentences.append(style.line_styles(table.rows))
    sentences.append("Points are shifted sideways only for legibility.")
    return " ".join(sentences)
