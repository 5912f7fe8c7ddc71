"""Figures for a paper, as PNG and PDF: one module for each kind of figure, all in the style of `style.py`."""

from collections.abc import Callable, Mapping
from pathlib import Path

from learngene_bench.results.plots.accuracy import accuracy
from learngene_bench.results.plots.costs import front, targets
from learngene_bench.results.plots.critical_difference import critical_difference
from learngene_bench.results.plots.curves import curves, losses
from learngene_bench.results.plots.differences import differences
from learngene_bench.results.plots.profile import profile
from learngene_bench.results.records.types import Results

KINDS: Mapping[str, Callable[[Results, Path, int], list[Path]]] = {
    "accuracy": accuracy,
    "curves": curves,
    "losses": losses,
    "front": front,
    "targets": targets,
    "ranks": critical_difference,
    "profile": profile,
    "differences": differences,
}
"""Draws one kind of figure, by its name in `lgbench plot`: (results, output folder, 1 or 2 columns of a paper)."""

__all__ = [
    "KINDS",
    "accuracy",
    "critical_difference",
    "curves",
    "differences",
    "front",
    "losses",
    "profile",
    "targets",
]
