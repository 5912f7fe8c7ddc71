"""`lgbench data`: which data sets there are, bringing one to this machine, and checking every image of it."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from learngene_bench.cli import common
from learngene_bench.config.loader import parse_override
from learngene_bench.contracts.dataset import DATASETS, Dataset, ProgressCallback
from learngene_bench.plugins.registry import dataset
from learngene_bench.util.errors import UserError

app = typer.Typer(no_args_is_help=True, help="List data sets, bring one to this machine, check every image of it.")

NameArgument = Annotated[str, typer.Argument(help="The data set's name.")]
RootOption = Annotated[Path | None, common.path_option("--root", help="Folder of the data, as in --set data.root.")]
OptionsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="An option of the data set: image_size=32 (or data.image_size=32)."
    ),
]


COUNTS = {"classes": "classes", "train": "train_images", "validation": "validation_images", "test": "test_images"}
WIDE = 75
"""Columns of a terminal from which on all counts are shown."""


@app.command("list")
def list_(format: common.FormatOption = common.Format.TABLE) -> None:
    """List data sets with their classes and images."""
    entries = [_entry(name) for name in DATASETS.names()]
    if format is common.Format.JSON:
        common.print_json(entries)
        return
    console = common.console()
    counted = COUNTS if console.width >= WIDE else {"classes": "classes"}
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("name", no_wrap=True)
    for heading in counted:
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("from")
    for entry in entries:
        numbers = ((entry["facts"] or {}).get(key) for key in counted.values())
        shown = ("" if number is None else f"{number:,}" for number in numbers)
        table.add_row(entry["name"], *shown, entry["from"])
    console.print(table)


@app.command()
def prepare(name: NameArgument, root: RootOption = None, settings: OptionsOption = None) -> None:
    """Download and unpack a data set; run again, it continues where it stopped."""
    data = _chosen(name, root, settings)
    with _progress() as tell:
        done = data.prepare(tell)
    _print(name, done)


@app.command()
def verify(name: NameArgument, root: RootOption = None, settings: OptionsOption = None) -> None:
    """Check checksums and counts of a data set, and decode every image."""
    data = _chosen(name, root, settings)
    with _progress() as tell:
        found = data.verify(tell)
    _print(name, found)


def _entry(name: str) -> dict[str, Any]:
    kind = DATASETS.get(name)
    try:
        facts = asdict(dataset({"name": name}).facts())
    except UserError:  # its options must say where it lies, so it holds whatever lies there
        facts = None
    what = (inspect.getdoc(kind) or "").partition("\n")[0]
    return {"name": name, "from": kind.origin, "facts": facts, "what": what}


def _chosen(name: str, root: Path | None, settings: list[str] | None) -> Dataset:
    """The data set with the options of the command line.

    Raises:
        UserError: an unknown name or option, or a root for a data set that has none.
    """
    given = (parse_override(text, example="--set image_size=32") for text in settings or [])
    options = {key.removeprefix("data."): value for key, value in given}
    if root is not None:
        if "root" not in DATASETS.get(name).Options.model_fields:
            raise UserError(f"--root: {name} comes with the suite and lies nowhere else")
        options["root"] = str(root)
    return dataset({**options, "name": name})


def _print(name: str, lines: list[str]) -> None:
    for line in lines:
        common.console().print(f"{name}: {line}", markup=False, soft_wrap=True)


@contextmanager
def _progress() -> Iterator[ProgressCallback]:
    """A bar for each step on a terminal; nothing elsewhere."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        tasks: dict[str, TaskID] = {}

        def tell(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what)
            bars.update(tasks[what], completed=done, total=total or None)

        yield tell
