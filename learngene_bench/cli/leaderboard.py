"""`lgbench leaderboard`: adds records to leaderboards, makes their tables, and checks them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from learngene_bench.cli import common

app = typer.Typer(no_args_is_help=True, help="Add records to a leaderboard, make its tables, check them.")

FolderOption = Annotated[Path, common.path_option("--folder", help="Folder that holds the leaderboards.")]
FOLDER = Path("results/leaderboards")


@app.command()
def add(
    name: Annotated[
        str,
        typer.Option("--name", metavar="NAME", help="Name of the leaderboard; a new name makes a new leaderboard."),
    ],
    folders: common.NoFolders = None,
    runs: common.RunsOption = Path("runs"),
    folder: FolderOption = FOLDER,
    allow_incomplete: Annotated[
        bool, typer.Option("--allow-incomplete", help="Accept planned cells that have no result yet.")
    ] = False,
    predictions: Annotated[
        bool,
        typer.Option("--predictions", help="Add predictions for each image and evaluations (`lgbench evaluate`) too."),
    ] = False,
) -> None:
    """Check the records of a runs folder, add them to a leaderboard, and make its tables again."""
    from learngene_bench.results.leaderboard import manage

    common.refuse_folders(folders)
    leaderboard = manage.folder_of(folder, name)
    console = common.console()
    for line in manage.add(leaderboard, runs, allow_incomplete=allow_incomplete, predictions=predictions):
        console.print(line, markup=False, soft_wrap=True)
    console.print(f"{leaderboard}: git diff shows what changed, git checkout undoes it", markup=False, soft_wrap=True)


@app.command()
def build(
    name: Annotated[str | None, typer.Argument(help="Name of one leaderboard. Default: all.")] = None,
    folder: FolderOption = FOLDER,
) -> None:
    """Make the tables again from the records, for example after a change of how tables look."""
    from learngene_bench.results.leaderboard import manage

    for leaderboard in [manage.folder_of(folder, name)] if name else manage.existing(folder):
        manage.build(leaderboard)
        common.print_line(leaderboard)


@app.command()
def check(folder: FolderOption = FOLDER) -> int:
    """Check every record, make all files again in memory, and compare them with those in the folder, byte by byte."""
    from learngene_bench.results.leaderboard import manage

    status = 0
    for leaderboard in manage.existing(folder):
        difference = manage.difference(leaderboard)
        common.print_line(difference or f"{leaderboard}: as its records")
        status = 1 if difference else status
    return status
