"""The gallery: every kind of figure and table, made from the leaderboards, each with the command that makes it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import learngene_bench
from learngene_bench.api.measured import Measured
from learngene_bench.results.formats import reporting
from learngene_bench.results.formats.markdown import markdown
from website.layout import ROOT

FEW = "he,wave,telg,direct-pt"
FIGURES = {
    "accuracy": (
        "digits",
        "he,mimetic,wave,telg,sws,direct-pt",
        "The metric over the grid's axis, before and after fine-tuning.",
    ),
    "curves": ("digits", FEW, "The metric over fine-tuning. A curve begins where initialization ends."),
    "losses": ("digits", FEW, "The training loss over fine-tuning."),
    "front": (
        "digits",
        "he,mimetic,wave,telg,sws,direct-pt",
        "The metric against the cost of one model, and of several.",
    ),
    "targets": ("digits", FEW, "The total cost over the number of models."),
    "compute": ("digits", FEW, "The metric over the total cost, where several models share a gene."),
    "ranks": ("digits", "", "Mean ranks of methods, with the difference that could be chance."),
    "profile": ("digits", "he,mimetic,wave,telg,sws,direct-pt", "The fraction of runs that are better than a value."),
    "differences": ("digits", "he,mimetic,wave,telg,sws,direct-pt", "All pairs of methods, with intervals."),
    "gaps": ("digits-objections", "", "The lead over a reference where fine-tuning is longer, or images are fewer."),
    "sweep": ("digits-objections", "he,mimetic,wave,telg,sws", "The validation metric over what a sweep varies."),
    "reliability": ("digits-crossed-seeds", "he,wave,sws,direct-pt", "Accuracy over confidence."),
}
"""Kinds of figures, each with leaderboard, methods, and what it shows."""
TABLES = {
    "depth": ("digits", FEW, "A metric for each method and target, before and after fine-tuning."),
    "cost": ("digits", FEW, "What n models cost with each method, and what that saves."),
    "compute": (
        "digits",
        FEW,
        "The metric for the same total, the cost of a value, the number of models from which a gene pays.",
    ),
    "statistics": ("digits", FEW, "Intervals, tests and ranks over seeds, targets and tasks."),
    "instinct": (
        "digits-families",
        "he,wave,telg,direct-pt",
        "The metric in the first epochs, and when it reaches a reference.",
    ),
    "horizon": ("digits-objections", "", "Differences to the references over longer fine-tuning."),
    "data-size": ("digits-objections", "", "Differences to the references on fewer images."),
    "sweep": ("digits-objections", "he,mimetic,wave,telg,sws", "Each method at the default and at its best setting."),
    "variance": ("digits-crossed-seeds", "", "How much of the spread is of genes, and how much of targets."),
    "predictions": ("digits-crossed-seeds", "", "Which images two methods get right, and their common errors."),
    "calibration": ("digits-crossed-seeds", "", "Whether a model is right as often as it is sure."),
    "shifts": ("digits-crossed-seeds", "", "The metric on shifted copies of the test images."),
}
"""Kinds of tables that the leaderboards have records for, each with leaderboard, methods, and what it shows."""
ELSEWHERE = {"growth": "growth of a trained model and selection from one"}
"""Kinds of tables that need what no leaderboard has: runs of other grids."""


@lru_cache
def _measured(board: str, methods: str) -> Measured:
    return learngene_bench.load(ROOT / "results" / "leaderboards" / board, method=methods)


def pages(folder: Path) -> Iterator[tuple[str, str, str]]:
    """Draws the figures into a folder, and yields title, file name and text of each page of the gallery."""
    yield "Figures", "figures.md", "".join(_figures(folder))
    yield "Tables", "tables.md", "".join(_tables())


def _figures(folder: Path) -> Iterator[str]:
    yield "# Figures\n\nOne of each kind, drawn from the leaderboards when the site is built.\n\n"
    for kind, (board, methods, text) in FIGURES.items():
        (first, *_) = _measured(board, methods).figures(kind, columns=2)
        path = folder / f"{kind}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        first.figure.savefig(path, dpi=150)
        command = _command(f"plot {kind}", board, methods, " -o figures")
        yield f"## {kind}\n\n{text}\n\n[![{text}]({kind}.png)]({kind}.png)\n\n{command}"


def _tables() -> Iterator[str]:
    yield "# Tables\n\nOne of each kind, as `lgbench report` makes them, with a few methods.\n\n"
    for kind, (board, methods, text) in TABLES.items():
        made = reporting.make(_measured(board, methods).results, name=kind)
        found = made.derived or made.metrics
        shown = markdown(found[:2]).replace("\n### ", "\n#### ").replace("### ", "#### ", 1)
        yield f"## {kind}\n\n{text}\n\n{_command('report', board, methods, f' --table {kind}')}{shown}\n\n"
    missing = [kind for kind in reporting.COMPUTED if kind not in TABLES]
    yield "## Others\n\n"
    yield "".join(
        f"- `lgbench report --table {kind}`: {ELSEWHERE[kind]}. No leaderboard has what it needs.\n" for kind in missing
    )


def _command(verb: str, board: str, methods: str, options: str) -> str:
    chosen = f" --method {methods}" if methods else ""
    return f"```sh\nlgbench {verb} --runs results/leaderboards/{board}{chosen}{options}\n```\n\n"
