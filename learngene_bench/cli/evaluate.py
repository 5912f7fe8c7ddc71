"""Defines `lgbench evaluate`: measures trained models of finished cells once more, on shifted copies of the images."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from learngene_bench.analysis.cells import choose
from learngene_bench.cli import common
from learngene_bench.plugins.registry import Registry
from learngene_bench.runs.store import Runs
from learngene_bench.schema.leaderboard import is_leaderboard
from learngene_bench.util.errors import UserError
from learngene_bench.util.terminal import terminal_text

if TYPE_CHECKING:
    from learngene_bench.analysis.cells import AnalyzedCell
    from learngene_bench.analysis.evaluations import CellEvaluation

_MOST_CELLS = 10**9


def evaluate(
    cells: common.CellsArgument = None,
    runs: common.RunsOption = Path("runs"),
    shift: Annotated[
        list[str] | None,
        typer.Option(
            "--shift",
            metavar="NAME",
            help="Shift of the images, such as rotated or contrast; repeated; none: only predictions for the images as "
            "they are. Default: all shifts of the data set.",
        ),
    ] = None,
    probabilities: Annotated[
        bool, typer.Option("--probabilities", help="Keep the probability of every class with the predictions.")
    ] = False,
) -> int:
    """Measure trained models on shifted copies of their test images, and keep predictions; records stay as they are."""
    if is_leaderboard(runs):
        raise UserError(f"{runs}: a leaderboard, which has no models: name the runs folder that it was made from")
    chosen = choose(Runs(runs), cells or [], most=_MOST_CELLS)

    from learngene_bench.analysis.evaluations import CellEvaluation

    command = common.command_line()
    every = [CellEvaluation(cell, shift or (), probabilities=probabilities, command=command) for cell in chosen]
    if not any(one.wanted() for one in every):
        raise UserError("nothing to evaluate: the data of these cells have no shifts, and no class for an image")
    problems = [problem for cell, one in zip(chosen, every, strict=True) if (problem := _evaluated(cell, one))]
    common.console().print(Text("lgbench report --table shifts (or predictions, calibration) prints what was found"))
    return 1 if problems else 0


def _evaluated(cell: AnalyzedCell, one: CellEvaluation) -> bool:
    """Measures what is missing of a cell, and prints a line. Returns True if it could not be measured."""
    from learngene_bench.analysis.evaluations import difference

    missing, wanted = one.missing(), one.wanted()
    if missing:
        try:
            cell.check_files(["finetuned"])
            for record in one.measure(Registry(), missing):
                if text := difference(record, cell.record.metrics):
                    print(terminal_text(f"lgbench: {cell.full_label}: {text}"), file=sys.stderr)
        except UserError as error:
            print(terminal_text(f"lgbench: {error}"), file=sys.stderr)
            return True
    there = f", {len(wanted) - len(missing)} were there" if len(missing) < len(wanted) else ""
    common.console().print(Text(f"{cell.full_label}: {len(missing)} measured{there}"), soft_wrap=True)
    return False
