"""The content of the figures of statistics, read back from the drawing."""

from __future__ import annotations

import itertools
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.colors import same_color
from matplotlib.patches import Rectangle
from scipy import stats

from learngene_bench.results import load, make_tables, plots
from learngene_bench.results.plots.page import Page
from learngene_bench.results.tables.inference import Inference, inferences
from learngene_bench.results.tables.inference_notes import significant
from learngene_bench.schema.metric import MetricSpec

MEANS = {"he": 60.0, "mimetic": 61.0, "share": 80.0, "sws": 85.0, "wave": 86.0, "telg": 86.2}


@pytest.fixture
def found(runs: Any) -> Inference:
    """Six methods, eight depths, four seeds."""
    generator = random.Random(0)
    cells = [
        runs.done(runs.cell(method, depth, seed), round(mean + generator.gauss(0, 0.5), 2))
        for method, mean in MEANS.items()
        for depth in range(2, 18, 2)
        for seed in range(4)
    ]
    runs.plan(cells)
    (found,) = inferences(make_tables(load([runs.folder])))
    return found


def caption(page: Page) -> str:
    return " ".join(" ".join(text.get_text().split()) for text in page.figure.texts)


def test_ranks_stand_where_they_are_and_bars_over_what_is_alike(
    found: Inference, runs: Any, pages: list[Page], tmp_path: Path
) -> None:
    plots.critical_difference(load([runs.folder]), tmp_path)
    (page,) = pages
    axes = page.figure.axes[0]
    drawn = sorted(
        line.get_xdata()[0] for line in axes.lines if len(line.get_xdata()) == 1 and line.get_clip_on() is False
    )
    ranks = sorted(method.rank for method in found.methods)
    assert [rank for rank in drawn if rank in ranks] == pytest.approx(ranks)
    assert found.critical_difference is not None
    bars = [line.get_xdata() for line in axes.lines if line.get_linewidth() > 2]
    for best, worst in bars:
        assert worst - best <= found.critical_difference
    apart = {(one, other) for one in ranks for other in ranks if other - one > found.critical_difference}
    assert not any(best <= one and other <= worst for best, worst in bars for one, other in apart)
    near = [(one, other) for one in ranks for other in ranks if 0 < other - one <= found.critical_difference]
    assert near
    assert all(any(best <= one and other <= worst for best, worst in bars) for one, other in near)
    assert f"critical difference {found.critical_difference:.2f}" in [text.get_text() for text in axes.texts]


def test_ranks_that_are_no_evidence_are_all_joined(runs: Any, pages: list[Page], tmp_path: Path) -> None:
    runs.plan([runs.done(runs.cell(method, 4, seed), 80.0 + seed) for method in ("he", "wave") for seed in (0, 1)])
    plots.critical_difference(load([runs.folder]), tmp_path)
    (page,) = pages
    assert "no two ranks differ significantly" in caption(page)
    assert not any("critical" in text.get_text() for text in page.figure.axes[0].texts)


def test_ranks_of_two_methods_far_apart_are_not_joined(runs: Any, pages: list[Page], tmp_path: Path) -> None:
    cells = [(method, value, seed) for method, value in (("he", 25.0), ("wave", 87.0)) for seed in (0, 1)]
    runs.plan([runs.done(runs.cell(method, 4, seed), value + seed) for method, value, seed in cells])
    plots.critical_difference(load([runs.folder]), tmp_path)
    (page,) = pages
    assert "No bars" in caption(page)
    assert "Too few for Friedman's test" in caption(page)
    assert not [line for line in page.figure.axes[0].lines if line.get_linewidth() > 2]


def test_a_profile_is_one_minus_the_distribution(
    found: Inference, runs: Any, pages: list[Page], tmp_path: Path
) -> None:
    plots.profile(load([runs.folder]), tmp_path)
    (page,) = pages
    every, better = page.figure.axes
    assert (len(every.lines), len(better.lines)) == (2 * 6, 2 * 3)
    curves = every.lines[::2]
    for values, curve in zip(found.sample.values, curves, strict=True):
        expected = 1 - stats.ecdf(values.ravel()).cdf.evaluate(curve.get_xdata())
        np.testing.assert_allclose(curve.get_ydata(), expected, atol=1e-12)
    assert "drawing single runs as if they were independent" in caption(page)


@pytest.fixture
def losses(runs: Any) -> Inference:
    """Six methods whose only metric is better where it is lower; the best has the first of `MEANS`."""
    spec = MetricSpec(name="nll", title="Loss", unit="nats", bounds=(0.0, None), decimals=2, higher_is_better=False)
    cells = []
    for place, method in enumerate(MEANS):
        for depth, seed in itertools.product((2, 4), range(3)):
            value = {"nll": 0.5 + place + seed / 10 + depth / 100}
            curve = [{"epoch": 0.0, "iterations": 0, "loss": None, "metrics": value}]
            cell = runs.cell(method, depth, seed)
            about = {"metric_specs": {"nll": spec.model_dump(mode="json")}, "primary_metric": "nll", "curve": curve}
            cells.append(runs.done(cell, 0.0, **about, metrics=value, initial_metrics=value))
    runs.plan(cells)
    (found,) = inferences(make_tables(load([runs.folder])))
    return found


def test_a_profile_is_the_fraction_below_where_lower_is_better(
    losses: Inference, runs: Any, pages: list[Page], tmp_path: Path
) -> None:
    plots.profile(load([runs.folder]), tmp_path)
    (page,) = pages
    every, better = page.figure.axes
    curves, markers = every.lines[::2], every.lines[1::2]
    for values, curve, marker in zip(losses.sample.values, curves, markers, strict=True):
        thresholds = np.asarray(curve.get_xdata())
        np.testing.assert_allclose(curve.get_ydata(), (values[..., None] < thresholds).mean(axis=(0, 1)))
        quarters = dict(zip(marker.get_ydata(), marker.get_xdata(), strict=True))
        assert quarters == pytest.approx({share: np.quantile(values, share) for share in (0.25, 0.5, 0.75)})
    assert [line.get_color() for line in better.lines] == [line.get_color() for line in every.lines[:6]]
    assert every.get_ylabel() == "Fraction of runs below"
    assert caption(page).count("of runs below") == 1
    assert "one quarter of the runs are below" in caption(page)
    assert "above" not in caption(page)


def test_a_lead_is_positive_where_lower_is_better(
    losses: Inference, runs: Any, pages: list[Page], tmp_path: Path
) -> None:
    plots.differences(load([runs.folder]), tmp_path)
    (page,) = pages
    assert {float(text.get_text()) for text in page.figure.axes[0].texts[:15]} == {1, 2, 3, 4, 5}


def test_differences_are_filled_where_they_are_significant(
    found: Inference, runs: Any, pages: list[Page], tmp_path: Path
) -> None:
    plots.differences(load([runs.folder]), tmp_path)
    (page,) = pages
    axes = page.figure.axes[0]
    texts = {text.get_position(): text.get_text() for text in axes.texts}
    cells = [patch for patch in axes.patches if isinstance(patch, Rectangle)]
    shown = [
        (texts[cell.get_x() + 0.5, cell.get_y() + 0.5], not same_color(cell.get_facecolor(), "white")) for cell in cells
    ]
    expected = [(f"{pair.difference:.1f}", significant(pair.tests["t"])) for pair in found.pairs]
    assert sorted(shown) == sorted(expected)
    assert {filled for _, filled in expected} == {True, False}


def test_with_one_seed_no_difference_is_filled(runs: Any, pages: list[Page], tmp_path: Path) -> None:
    runs.plan([runs.done(runs.cell(method, 4), mean) for method, mean in MEANS.items()])
    plots.differences(load([runs.folder]), tmp_path)
    (page,) = pages
    assert all(same_color(patch.get_facecolor(), "white") for patch in page.figure.axes[0].patches)
    assert "One seed" in caption(page)
    assert "significant at 5 %" not in caption(page)


@pytest.mark.parametrize("kind", ["ranks", "profile", "differences"])
@pytest.mark.parametrize("columns", [1, 2])
def test_nothing_of_many_methods_leaves_the_figure(
    runs: Any, pages: list[Page], tmp_path: Path, kind: str, columns: int
) -> None:
    methods = [f"method-{number}" + " of a long name" * (number % 3) for number in range(14)]
    cells = [
        runs.done(runs.cell(method, depth, seed), 50.0 + (7 * number) % 14 + seed)
        for number, method in enumerate(methods)
        for depth in (2, 4)
        for seed in (0, 1)
    ]
    runs.plan(cells)
    plots.KINDS[kind](load([runs.folder]), tmp_path, columns)
    (page,) = pages
    drawn = page.figure.get_tightbbox()  # inches
    assert min(drawn.x0, drawn.y0) >= 0
    assert drawn.x1 <= page.figure.get_figwidth()
    assert drawn.y1 <= page.figure.get_figheight()


@pytest.mark.parametrize("columns", [1, 2])
def test_names_that_would_leave_no_room_for_the_cells_are_cut(
    runs: Any, pages: list[Page], tmp_path: Path, columns: int
) -> None:
    means = {"best": 80.0, "with" + " one more setting" * 12: 60.0, "worst": 40.0}
    runs.plan([runs.done(runs.cell(method, 4, seed), mean + seed) for method, mean in means.items() for seed in (0, 1)])
    plots.differences(load([runs.folder]), tmp_path, columns)
    (page,) = pages
    (axes,) = page.figure.axes
    (cut,) = [text.get_text() for text in axes.texts if text.get_text().startswith("with")]
    assert cut.endswith("…")
    assert axes.get_position().width > 0.3
    assert page.figure.get_tightbbox().x1 <= page.figure.get_figwidth()
