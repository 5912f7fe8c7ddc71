"""Figures for a paper, as PNG and PDF: one module for each kind of figure, all in the style of `style.py`."""

from collections.abc import Mapping

from learngene_bench.results.plots.accuracy import accuracy
from learngene_bench.results.plots.compute import compute, compute_of
from learngene_bench.results.plots.costs import front, targets
from learngene_bench.results.plots.critical_difference import critical_difference
from learngene_bench.results.plots.curves import curves, losses
from learngene_bench.results.plots.differences import differences
from learngene_bench.results.plots.gaps import gaps
from learngene_bench.results.plots.page import Drawing
from learngene_bench.results.plots.profile import profile
from learngene_bench.results.plots.reliability import reliability
from learngene_bench.results.plots.sweep import sweep

KINDS: Mapping[str, Drawing] = {
    "accuracy": accuracy,
    "curves": curves,
    "losses": losses,
    "front": front,
    "targets": targets,
    "compute": compute,
    "ranks": critical_difference,
    "profile": profile,
    "differences": differences,
    "gaps": gaps,
    "sweep": sweep,
    "reliability": reliability,
}
"""Kinds of figures by their names in `lgbench plot`."""

__all__ = [
    "KINDS",
    "accuracy",
    "compute",
    "compute_of",
    "critical_difference",
    "curves",
    "differences",
    "front",
    "gaps",
    "losses",
    "profile",
    "reliability",
    "sweep",
    "targets",
]
