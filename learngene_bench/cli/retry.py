"""`lgbench retry`: what failed or was lost, once more, by the commands that asked for it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from learngene_bench.cli import common
from learngene_bench.cli.choice import choose
from learngene_bench.cli.status import planned_stages
from learngene_bench.execution.status import Standing, situations
from learngene_bench.runs.manifest import read_manifests
from learngene_bench.runs.store import Runs
from learngene_bench.util.errors import UserError

RETRIED = (Standing.FAILED, Standing.LOST, Standing.CANCELLED, Standing.INTERRUPTED)


def retry(
    cells: Annotated[
        list[str] | None, typer.Argument(metavar="[CELL]...", help="Addresses, or words of labels. Default: all.")
    ] = None,
    runs: common.RunsOption = Path("runs"),
) -> int:
    """Run again the commands that asked for what failed, was lost, cancelled or interrupted."""
    from learngene_bench.cli.main import run_command

    folder = Runs(runs.resolve())
    found = situations(folder, planned_stages(folder))
    wanted = choose(found, cells) if cells else found
    again = {one.address: one for one in wanted if one.standing in RETRIED}
    if not again:
        raise UserError(
            f"{runs}: nothing of that failed or was lost (lgbench status --runs {runs} tells how it stands)"
        )
    for one in again.values():
        if one.standing is Standing.FAILED:
            folder.folder(one.kind, one.address).clear_failure()
    status = 0
    for manifest in read_manifests(folder):
        if again.keys() & {stage.address for stage in manifest.stages}:
            common.console().print(" ".join(manifest.command), style="dim", markup=False, soft_wrap=True)
            os.chdir(manifest.folder or ".")
            sys.argv = list(manifest.command)  # what its records name as their command
            status = max(status, run_command(list(manifest.command[1:])))
    return status
