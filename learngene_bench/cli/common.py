"""What several verbs share: their options, and from options to a request."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console


class Format(StrEnum):
    TABLE = "table"
    JSON = "json"


MethodOption = Annotated[
    list[str] | None,
    typer.Option(
        "--method",
        "-m",
        help="Names separated by commas, 'all', or NAME:OPTION=VALUE for a variant. By default what the grid names.",
    ),
]
GridOption = Annotated[str, typer.Option("--grid", "-g", help="Which targets: a name or a TOML file.")]
PresetOption = Annotated[str, typer.Option("--preset", "-p", help="At which scale: a name or a TOML file.")]
SeedsOption = Annotated[int, typer.Option("--seeds", min=1, help="Paired repetitions, condensation included.")]
RunsOption = Annotated[Path, typer.Option("--runs", help="Folder of all results.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set", help="Override a setting: finetuning.epochs=5, wave.inheritance=interpolate, grid.depths=[4,6]."
    ),
]
PluginOption = Annotated[
    list[Path] | None, typer.Option("--plugin", help="A Python file that defines initializers of your own.")
]
QuickOption = Annotated[bool, typer.Option("--quick", help="A few steps of everything on two targets: does it run?")]
EqualBudgetOption = Annotated[
    bool,
    typer.Option("--equal-budget", help="Take what a method trains while initializing off its tuning, for all alike."),
]
FormatOption = Annotated[Format, typer.Option("--format", help="For people or for programs.")]


def console() -> Console:
    return Console(highlight=False)


def joined(methods: list[str] | None) -> str | None:
    """What was given with `--method`, once or several times."""
    return ",".join(methods) if methods else None


def command_line() -> list[str]:
    """The command as typed, to stand in records."""
    return ["lgbench", *sys.argv[1:]]
