"""Options and arguments that several verbs have."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer
from rich.console import Console

from learngene_bench.config.typed import user_path
from learngene_bench.planning.sweep_space import SweepSpace, parse_sweep
from learngene_bench.plugins.registry import Registry
from learngene_bench.runs.store import Runs
from learngene_bench.schema.constants import QUICK_RUNS
from learngene_bench.util.errors import UserError
from learngene_bench.util.terminal import TerminalConsole, terminal_text

if TYPE_CHECKING:
    from learngene_bench.results.tables.compute import ComputeChoice


class Format(StrEnum):
    TABLE = "table"
    JSON = "json"


def path_option(*names: str, **settings: Any) -> Any:
    """Declares an option that is a path, in which `~` is the home folder also after `=`, where no shell replaces it."""
    return typer.Option(*names, parser=user_path, metavar="PATH", **settings)


def path_argument(**settings: Any) -> Any:
    """Declares an argument that is a path; see `path_option`."""
    return typer.Argument(parser=user_path, metavar=settings.pop("metavar", "PATH"), **settings)


MethodOption = Annotated[
    list[str] | None,
    typer.Option(
        "--method",
        "-m",
        metavar="NAME,...",
        help="Methods, separated by commas; 'all'; or NAME:OPTION=VALUE for a variant. Default: those of the grid.",
    ),
]
GridOption = Annotated[
    str, typer.Option("--grid", "-g", metavar="NAME", help="Models and tasks to measure: a name or a TOML file.")
]
GridsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--grid",
        "-g",
        metavar="NAME",
        help="Models and tasks to measure: a name or a TOML file. Several, repeated or separated by commas, or 'all': "
        "what they cost together, with the methods of each grid, or all where it names none. Default: depth.",
    ),
]
RateOption = Annotated[
    float | None,
    typer.Option("--rate", metavar="NUMBER", help="Operations per second of one GPU or worker, for the estimate."),
]
PresetOption = Annotated[
    str,
    typer.Option("--preset", "-p", metavar="NAME", help="Data set, model sizes and recipes: a name or a TOML file."),
]
SeedsOption = Annotated[
    str,
    typer.Option(
        "--seeds",
        metavar="N|GxT",
        help="Number of seeds. Each seed repeats condensation, initialization and fine-tuning. Or genes x targets, as "
        "in 3x4: every gene with every target seed, to tell how much either of them changes.",
    ),
]
RunsOption = Annotated[Path, path_option("--runs", help="Folder of all results: a runs folder or a leaderboard.")]
RunsOptions = Annotated[
    list[Path] | None,
    path_option("--runs", help="Folder of results: a runs folder or a leaderboard. Several are merged. Default: runs."),
]
NewRunsOption = Annotated[
    Path | None,
    path_option("--runs", help=f"Folder of all results. Default: runs; with --quick {QUICK_RUNS}."),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Override a setting; repeated: finetuning.epochs=5, wave.inheritance=interpolate, grid.depths=[4,6].",
    ),
]
PluginOption = Annotated[
    list[Path] | None, path_option("--plugin", help="A Python file that defines initializers of your own.")
]
ChosenMethods = Annotated[
    list[str] | None,
    typer.Option("--method", "-m", metavar="NAME,...", help="Methods to show, separated by commas. Default: all."),
]
ChosenPresets = Annotated[
    list[str] | None, typer.Option("--preset", "-p", metavar="NAME", help="Preset to show; several: repeated.")
]
ChosenSettings = Annotated[
    list[str] | None,
    typer.Option(
        "--setting",
        metavar="TEXT",
        help="Setting to show, by words of a table's subtitle or the beginning of its hash; repeated.",
    ),
]
QuickOption = Annotated[
    bool, typer.Option("--quick", help="Train for a few steps on two targets, to see whether everything runs.")
]
EqualBudgetOption = Annotated[
    bool,
    typer.Option(
        "--equal-budget",
        help="Let every method train on the same number of images: those of its initialization are subtracted from "
        "fine-tuning.",
    ),
]
SweepOption = Annotated[
    list[str] | None,
    typer.Option(
        "--sweep",
        metavar="KEY=VALUE,...",
        help="Measure every method at several settings, select on validation images, then measure what is selected on "
        "test images: wave.noise=0,0.01,0.1, or wave.noise=loguniform(1e-4,1e-2) with --trials.",
    ),
]
TrialsOption = Annotated[
    int | None,
    typer.Option("--trials", min=2, help="Number of trials of --sweep that are drawn. Default: every combination."),
]
TrialSeedOption = Annotated[
    int, typer.Option("--trial-seed", min=0, help="Seed by which the trials of --sweep are drawn.")
]
TrackOption = Annotated[
    list[str] | None,
    typer.Option(
        "--track",
        metavar="NAME",
        help="Show the learning curves of all stages in a tracker while they are computed: tensorboard, wandb, mlflow, "
        "trackio, or another installed one; several: repeated or separated by commas. It changes no number.",
    ),
]
CountsOption = Annotated[
    str | None,
    typer.Option(
        "--targets",
        metavar="N,...",
        help="Over total compute: numbers of targets that share a gene. Default: 1,3,10.",
    ),
]


class ResourceName(StrEnum):
    FLOPS = "flops"
    SECONDS = "seconds"


ResourceOption = Annotated[
    ResourceName | None,
    typer.Option("--resource", help="Over total compute: what is counted. Default: flops; seconds are the machine's."),
]
FormatOption = Annotated[Format, typer.Option("--format", help="Output for people or for programs.")]

NAMING = (
    "by fields (method=wave depth=6 seed=0), by words (wave depth 6 seed 0), or by the beginning of an address (3f9a)"
)
StageArgument = Annotated[list[str], typer.Argument(metavar="CELL", help=f"A cell, gene or ancestor, {NAMING}.")]
CellArgument = Annotated[list[str], typer.Argument(metavar="CELL", help=f"A cell, {NAMING}.")]
StagesArgument = Annotated[
    list[str] | None,
    typer.Argument(metavar="CELL", help=f"Cells, genes or ancestors, each in quotes, {NAMING}. Default: all."),
]
CellsArgument = Annotated[
    list[str] | None,
    typer.Argument(metavar="CELL", help=f"Cells, each in quotes, {NAMING}; 'depth 6' is all of them. Default: all."),
]
NoFolders = Annotated[list[Path] | None, path_argument(hidden=True)]
"""Takes folders in the place where earlier versions had them, so that `refuse_folders` can name the option."""


def runs_folder(given: Path | None, quick: bool) -> Path:
    """Returns the folder that a run writes to: quick runs have one of their own."""
    return given or Path(QUICK_RUNS if quick else "runs")


def refuse_mixing(runs: Path, quick: bool) -> None:
    """Raises `UserError` if a quick run would write into a folder of ordinary results."""
    if quick and not all(manifest.is_quick for manifest in Runs(runs).manifests()):
        raise UserError(f"{runs} holds results that are not quick: give --quick a folder of its own, or none")


def query_of(words: Sequence[str]) -> str:
    """Joins the words of a look-up.

    Raises:
        UserError: the last one is a folder, which earlier versions took there.
    """
    if len(words) > 1 and ("/" in words[-1] or Path(words[-1]).is_dir()):
        raise UserError(f"{words[-1]}: the runs folder is an option: --runs {words[-1]}")
    return " ".join(words)


def refuse_folders(folders: Sequence[Path] | None) -> None:
    """Raises `UserError` if folders are given as earlier versions took them."""
    if folders:
        raise UserError(f"{folders[0]}: the runs folder is an option: {' '.join(f'--runs {path}' for path in folders)}")


def console() -> Console:
    return TerminalConsole(highlight=False)


def print_line(text: object, file: TextIO | None = None) -> None:
    """Prints a line that is not formatted."""
    print(terminal_text(str(text)), file=file or sys.stdout)


def print_json(value: object) -> None:
    """Prints a document for programs."""
    print(json.dumps(value, indent=1))


def registry_of(plugins: Sequence[Path] | None) -> Registry:
    """Loads the plugin files, and says on standard error what a user should know of them.

    Raises:
        UserError: see `Registry`.
    """
    registry = Registry(plugins or [])
    for note in registry.notes:
        print(f"lgbench: note: {note}", file=sys.stderr)
    return registry


def joined(methods: list[str] | None) -> str | None:
    """Joins the values of `--method`, which may be given several times."""
    return ",".join(methods) if methods else None


def sweep_space(
    sweep: list[str] | None, trials: int | None, trial_seed: int, settings: list[str] | None, registry: Registry
) -> SweepSpace | None:
    """Reads the options of a sweep; None where there is none.

    Raises:
        UserError: a sweep is wrong, or there are options without one.
    """
    if sweep:
        return parse_sweep(sweep, trials, trial_seed, registry.names(), settings or ())
    if trials is not None or trial_seed:
        raise UserError("--trials and --trial-seed are options of --sweep, which is missing")
    return None


def compute_choice(
    counts: str | None, resource: ResourceName | None, goal: float | None = None
) -> ComputeChoice | None:
    """Reads the options of what is made over total compute; None where none of them is given.

    Raises:
        UserError: a number of targets is none, or the value to reach is not finite.
    """
    from learngene_bench.results.tables.compute import ComputeChoice

    if counts is None and resource is None and goal is None:
        return None
    if goal is not None and not math.isfinite(goal):
        raise UserError(f"--goal {goal}: a value of the metric is needed")
    numbers = ComputeChoice.counts if counts is None else tuple(map(_count, counts.split(",")))
    chosen = ComputeChoice(tuple(dict.fromkeys(numbers)), goal)
    return replace(chosen, resource="seconds") if resource is ResourceName.SECONDS else chosen


def _count(text: str) -> int:
    if not text.strip().isascii() or not text.strip().isdigit() or int(text) < 1:
        raise UserError(f"--targets: {text.strip() or 'nothing'} is no number of targets, as in --targets 1,3,10")
    return int(text)


def command_line() -> list[str]:
    """Returns the command as typed, for records."""
    return ["lgbench", *sys.argv[1:]]
