"""`lgbench list`: everything that can be chosen by name."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from learngene_bench.cli import common
from learngene_bench.config import loader
from learngene_bench.plugins.registry import Registry
from learngene_bench.util.entry_points import EntryPoints
from learngene_bench.util.errors import unknown

PLUGINS = ("datasets", "tasks", "families", "metrics", "executors")
"""Kinds that are announced as entry points `learngene_bench.KIND`; none is imported to be listed."""

KINDS = ("methods", "grids", "presets", *PLUGINS)


def list_(
    kind: Annotated[str | None, typer.Argument(help=f"{', '.join(KINDS)}. Default: all.")] = None,
    plugin: common.PluginOption = None,
    format: common.FormatOption = common.Format.TABLE,
) -> None:
    """List methods, grids, presets, and whatever else can be plugged in."""
    if kind is not None and kind not in KINDS:
        raise unknown("kind", kind, KINDS)
    registry = Registry(plugin or [])
    makers: dict[str, Callable[[], list[dict[str, Any]]]] = {
        "methods": lambda: _methods(registry),
        "grids": lambda: _files("grid"),
        "presets": lambda: _files("preset"),
        **{name: partial(_plugins, name) for name in PLUGINS},
    }
    listing = {name: makers[name]() for name in KINDS if kind in (None, name)}
    if format is common.Format.JSON:
        common.print_json(listing)
        return
    console = common.console()
    for name, entries in listing.items():
        table = Table(title=name, title_justify="left", box=None, show_header=False, padding=(0, 2, 0, 0))
        for key in entries[0] if entries else ():
            table.add_column(no_wrap=key == "name")
        for entry in entries:
            table.add_row(*(Text(str(value)) for value in entry.values()))
        console.print(table, "")


def _methods(registry: Registry) -> list[dict[str, Any]]:
    entries = []
    for name in registry.names():
        found = registry.get(name)
        entries.append({"name": name, "group": found.kind.group, "title": found.kind.title, "from": found.origin})
    return sorted(entries, key=lambda entry: (entry["group"], entry["name"]))


def _files(kind: loader.FileKind) -> list[dict[str, Any]]:
    """Lists the files that are shipped, then those of the working folder."""
    return [
        {"name": name, "title": loader.title_of(path), "from": origin}
        for origin, found in (
            ("learngene-bench", loader.shipped_files(kind)),
            ("this folder", loader.local_files(kind)),
        )
        for name, path in found.items()
    ]


def _plugins(kind: str) -> list[dict[str, Any]]:
    announced = EntryPoints(f"learngene_bench.{kind}", kind)
    return [{"name": name, "from": announced.origin(name)} for name in announced.names()]
