"""Draws performance profiles: for each method, the fraction of its runs that are better than every value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from learngene_bench.results.plots import style
from learngene_bench.results.plots.page import Page, saved_by_sample
from learngene_bench.results.plots.style import Look
from learngene_bench.results.statistics import bootstrap
from learngene_bench.results.statistics.profiles import profile as fractions
from learngene_bench.results.statistics.profiles import profile_band
from learngene_bench.results.tables import inference_notes
from learngene_bench.results.tables.inference import Inference, MethodStatistics
from learngene_bench.results.tables.samples import Sample
from learngene_bench.util.lazy import np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_POINTS = 400
_CROWDED = 5
"""Number of methods above which the better half gets a panel of its own."""


@saved_by_sample("profile")
def profile(found: Inference, columns: int) -> Page:
    """Draws the performance profiles of every table, with bootstrap bands (Agarwal et al., arXiv 2108.13264)."""
    sample = found.sample
    all_looks = style.looks(sample.table.rows)
    looks = {row.label: all_looks[row.label] for row in sample.rows}
    panels = {"all methods": found.methods}
    if len(found.methods) > _CROWDED:
        ordered = sorted(found.methods, key=lambda standing: -sample.table.measure.sign * standing.mean)
        panels["the better half"] = tuple(ordered[: -(-len(ordered) // 2)])
    what = f"Fraction of runs {sample.table.measure.side} a {style.metric_name(sample.table)}"
    page = Page(
        f"{what}, over {inference_notes.columns(sample)}{style.conditions(sample.table)}",
        _caption(found),
        count=len(panels),
        across=columns,
        height=1.7,
        columns=columns,
        legend=looks,
    )
    for number, (title, standings) in enumerate(panels.items()):
        _profiles(page.panel(number, title if len(panels) > 1 else ""), sample, standings, looks)
    return page


def _profiles(axes: Axes, sample: Sample, standings: Sequence[MethodStatistics], looks: Mapping[str, Look]) -> None:
    measure = sample.table.measure
    chosen = {standing.row.label for standing in standings}
    drawn = [(row.label, merits) for row, merits in zip(sample.rows, sample.merits, strict=True) if row.label in chosen]
    worst, best = min(merits.min() for _, merits in drawn), max(merits.max() for _, merits in drawn)
    beyond = 0.03 * (best - worst)
    thresholds = np.linspace(worst - beyond, best + beyond, _POINTS)
    values = measure.sign * thresholds
    draws = bootstrap.draws(*sample.values.shape[1:])
    for label, merits in drawn:
        look = looks[label]
        curve = fractions(merits, thresholds.tolist())
        axes.step(values, curve, where="post", color=look.color, linestyle=look.line)
        # Markers stand at these fractions: at 1 and 0 the curves coincide.
        quarters = measure.sign * np.quantile(merits, [0.75, 0.5, 0.25])
        axes.plot(quarters, [0.25, 0.5, 0.75], linestyle="none", **look.markers, zorder=4)
        if draws is not None:
            lower, upper = profile_band(merits, thresholds.tolist(), draws)
            axes.fill_between(values, lower, upper, step="post", color=look.color, alpha=0.12, linewidth=0)
    axes.set_xlim(min(values), max(values))
    axes.set_ylim(-0.02, 1.02)
    axes.set_xlabel(measure.heading)
    axes.set_ylabel(f"Fraction of runs {measure.side}")


def _caption(found: Inference) -> str:
    side = found.sample.table.measure.side
    sentences = [
        f"Every target and task has the same weight. Markers: three, two and one quarter of the runs are {side}."
    ]
    if found.methods[0].by_seeds:
        sentences.append("Bands: 95 % bootstrap intervals, drawing whole seeds.")
    elif found.methods[0].by_runs:
        sentences.append(
            "Bands: 95 % bootstrap intervals, drawing single runs as if they were independent; too narrow if the runs "
            "of a seed are correlated."
        )
    else:
        sentences.append("No bands: too few seeds for a bootstrap.")
    sentences += [
        style.line_styles(found.sample.rows),
        inference_notes.over(found.sample),
        *inference_notes.excluded(found.sample),
    ]
    return " ".join(sentences)
