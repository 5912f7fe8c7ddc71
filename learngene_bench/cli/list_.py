"""`lgbench list`: everything that can be chosen by name."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Annotated, Any, get_args

import typer
from rich.table import Table
from rich.text import Text

from learngene_bench.cli import common
from learngene_bench.config import loader
from learngene_bench.planning.capabilities import Capabilities, Need, capabilities
from learngene_bench.plugins.registry import Registry
from learngene_bench.util.entry_points import EntryPoints, describe_error
from learngene_bench.util.errors import unknown

PLUGINS = ("datasets", "tasks", "families", "metrics", "executors", "trackers")
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
        rows = [_method_row(entry) for entry in entries] if name == "methods" else entries
        table = Table(title=name, title_justify="left", box=None, show_header=name == "methods", padding=(0, 2, 0, 0))
        for key in rows[0] if rows else ():
            table.add_column(key, no_wrap=key == "name")
        for row in rows:
            table.add_row(*(Text(str(value)) for value in row.values()))
        console.print(table, "")


def _methods(registry: Registry) -> list[dict[str, Any]]:
    """Lists the methods by what they need, from nothing to a trained model; those that fail when asked come last."""
    entries = []
    for name in registry.names():
        found = registry.get(name)
        entry: dict[str, Any] = {
            "name": name,
            "group": found.kind.group,
            "title": found.kind.title,
            "from": found.origin,
        }
        try:
            known = capabilities(found.create({}))
        except Exception as error:  # of a plugin; the others are listed all the same
            known = Capabilities((), ())
            entry["error"] = describe_error(error)
        entries.append({**entry, "needs": known.needs, "makes": known.makes})
    return sorted(entries, key=lambda entry: ("error" in entry, _order(entry["needs"]), entry["name"]))


def _order(needs: Collection[str]) -> list[bool]:
    """Sorts methods by the most that they need: a trained model, a teacher, training, images, nothing."""
    return [need in needs for need in get_args(Need)]


def _method_row(entry: Mapping[str, Any]) -> dict[str, str]:
    """Returns what a terminal shows of a method; where it comes from only if that is not the suite."""
    known = Capabilities(entry["needs"], entry["makes"])
    needs, makes = ("?", entry["error"]) if "error" in entry else (known.needs_text, known.makes_text)
    own = entry["from"] == "learngene-bench"
    return {"name": entry["name"], "needs": needs, "makes": makes if own else f"{makes} ({entry['from']})"}


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
