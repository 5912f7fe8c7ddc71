"""`lgbench leaderboard`: records that others can check, with the tables made from them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from learngene_bench.cli import common

app = typer.Typer(no_args_is_help=True, help="Take records into a leaderboard, make its tables, check them.")

FolderOption = Annotated[Path, typer.Option("--folder", help="Where the leaderboards lie.")]
FOLDER = Path("results/leaderboards")


@app.command()
def add(
    name: Annotated[str, typer.Option("--name", help="Name of the leaderboard; a new name begins a new one.")],
    folders: common.NoFolders = None,
    runs: common.RunsOption = Path("runs"),
    folder: FolderOption = FOLDER,
    allow_incomplete: Annotated[
        bool, typer.Option("--allow-incomplete", help="Also if planned cells have no result yet.")
    ] = False,
) -> None:
    """Check all that a runs folder holds, take it into a leaderboard, and make the tables anew."""
    from learngene_bench.results.leaderboard import manage

    common.refuse_folders(folders)
    there = manage.folder_of(folder, name)
    console = common.console()
    for line in manage.add(there, runs, allow_incomplete=allow_incomplete):
        console.print(line, markup=False, soft_wrap=True)
    console.print(f"{there}: git diff shows what changed in its tables", markup=False, soft_wrap=True)


@app.command()
def build(
    name: Annotated[str | None, typer.Argument(help="Of one leaderboard. Default: all.")] = None,
    folder: FolderOption = FOLDER,
) -> None:
    """Make the tables anew from the records, as after a change of how tables look."""
    from learngene_bench.results.leaderboard import manage

    for there in [manage.folder_of(folder, name)] if name else manage.existing(folder):
        manage.build(there)
        print(there)


@app.command()
def check(folder: FolderOption = FOLDER) -> int:
    """Make everything once more in memory and compare it with what lies there, byte by byte."""
    from learngene_bench.results.leaderboard import manage

    status = 0
    for there in manage.existing(folder):
        difference = manage.difference(there)
        print(f"{difference} (lgbench leaderboard build {there.name})" if difference else f"{there}: as its records")
        status = 1 if difference else status
    return status
