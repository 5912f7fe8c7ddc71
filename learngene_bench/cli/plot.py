"""`lgbench plot`: draws figures from records."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from learngene_bench.cli import common
from learngene_bench.util.errors import UserError, unknown


def plot(
    kind: Annotated[
        str,
        typer.Argument(
            help="Kind of figure: accuracy, curves, losses (of fine-tuning), front (accuracy against cost), targets "
            "(cost against their number), compute (accuracy over total compute), ranks (with critical differences), "
            "profile, differences, gaps (over longer fine-tuning or fewer images), sweep (validation metric over what "
            "--sweep varies), reliability (accuracy over confidence), or all."
        ),
    ],
    folders: common.NoFolders = None,
    runs: common.RunsOptions = None,
    output: Annotated[
        Path, common.path_option("-o", "--output", help="Output folder; every figure is a PNG and a PDF.")
    ] = Path("figures"),
    targets: common.CountsOption = None,
    resource: common.ResourceOption = None,
    method: common.ChosenMethods = None,
    preset: common.ChosenPresets = None,
    setting: common.ChosenSettings = None,
    columns: Annotated[
        int, typer.Option("--columns", min=1, max=2, help="Width of the figures in columns of a two-column paper.")
    ] = 2,
) -> None:
    """Draw figures of the results in runs folders."""
    from learngene_bench import results

    common.refuse_folders(folders)
    kinds = dict(results.plots.KINDS)
    if compute := common.compute_choice(targets, resource):
        if kind not in ("compute", "all"):
            raise UserError("--targets and --resource are options of lgbench plot compute")
        kinds["compute"] = results.plots.compute_of(compute)
    if kind not in (*kinds, "all"):
        raise unknown("kind of figure", kind, (*kinds, "all"))
    found = results.load_chosen(runs or [Path("runs")], method, preset, setting)
    chosen = kinds.values() if kind == "all" else [kinds[kind]]
    written = [path for draw in chosen for path in draw(found, output, columns)]
    if not written:
        raise UserError("nothing to draw: too few cells have all their seeds yet (lgbench status says what is missing)")
    for path in written:
        print(path)
