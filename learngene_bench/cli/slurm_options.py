"""The options of `lgbench run` that are about clusters."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any

import typer

from learngene_bench.cli import common
from learngene_bench.util.errors import UserError

PANEL = "On a SLURM cluster (--executor slurm; defaults in ~/.config/lgbench/site.toml)"


class Executor(StrEnum):
    LOCAL = "local"
    SLURM = "slurm"


ExecutorOption = Annotated[Executor, typer.Option("--executor", help="This machine, or jobs of a cluster.")]
PartitionOption = Annotated[str | None, typer.Option("--partition", rich_help_panel=PANEL)]
AccountOption = Annotated[str | None, typer.Option("--account", rich_help_panel=PANEL)]
TimeOption = Annotated[
    str | None, typer.Option("--time", rich_help_panel=PANEL, help="Longest time of one job: 24:00:00; less if enough.")
]
NodesOption = Annotated[int | None, typer.Option("--nodes", min=1, rich_help_panel=PANEL, help="Of one job.")]
GpusOption = Annotated[int | None, typer.Option("--gpus-per-node", min=0, rich_help_panel=PANEL)]
CpusOption = Annotated[int | None, typer.Option("--cpus-per-task", min=1, rich_help_panel=PANEL)]
MemOption = Annotated[str | None, typer.Option("--mem", rich_help_panel=PANEL, help="Of one node: 64G.")]
CellsPerJobOption = Annotated[
    int | None,
    typer.Option(
        "--cells-per-job", min=1, rich_help_panel=PANEL, help="Default: as many as a job computes side by side."
    ),
]
MaxParallelOption = Annotated[
    int | None,
    typer.Option("--max-parallel", min=1, rich_help_panel=PANEL, help="Jobs at the same time, of all together."),
]
SetSlurmOption = Annotated[
    list[str] | None,
    typer.Option("--set-slurm", rich_help_panel=PANEL, help="Any other option of sbatch: constraint=a100."),
]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", rich_help_panel=PANEL, help="Print what would be submitted, submit nothing.")
]
DryRunFormatOption = Annotated[
    common.Format, typer.Option("--format", rich_help_panel=PANEL, help="Of --dry-run: for people or for programs.")
]
WaitOption = Annotated[
    bool, typer.Option("--wait", rich_help_panel=PANEL, help="Follow the jobs to their end instead of returning.")
]
SnapshotOption = Annotated[
    bool, typer.Option("--snapshot", rich_help_panel=PANEL, help="Freeze a copy of the code for the jobs.")
]


def refuse(options: Mapping[str, Any]) -> None:
    """Raises `UserError` if an option of a cluster is given for a run on this machine."""
    for name, value in options.items():
        if value is not None and value is not False:
            raise UserError(f"--{name.replace('_', '-')} goes with --executor slurm")
