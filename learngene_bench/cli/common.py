"""What several verbs share: their options, and from options to a request."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from learngene_bench.config.loader import load_grid, load_preset, parse_override
from learngene_bench.config.preset import Preset
from learngene_bench.config.quick import quick_grid, quick_preset
from learngene_bench.planning.method_spec import parse_methods
from learngene_bench.planning.planner import Request
from learngene_bench.plugins.registry import Registry
from learngene_bench.util.errors import UserError, unknown


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
    typer.Option("--set", help="Override a setting: tuning.epochs=5, wave.inheritance=interpolate, grid.depths=[4,6]."),
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


def build_request(
    method: str | None,
    grid: str,
    preset: str,
    seeds: int,
    settings: list[str] | None,
    registry: Registry,
    quick: bool,
    equal_budget: bool = False,
) -> Request:
    """From command-line options to all that decides a plan.

    Raises:
        UserError: any of them is wrong.
    """
    for_grid: dict[str, Any] = {}
    for_methods: dict[str, dict[str, Any]] = {}
    for_preset: dict[str, Any] = {}
    methods = set(registry.names())
    for text in settings or []:
        key, value = parse_override(text)
        section, _, rest = key.partition(".")
        if section == "grid":
            for_grid[rest] = value
        elif section in methods:
            for_methods.setdefault(section, {})[rest] = value
        elif section in Preset.model_fields:
            for_preset[key] = value
        else:
            raise unknown("section of --set", section, ["grid", *methods, *Preset.model_fields])
    for name, options in for_methods.items():
        registry.get(name).create(options)  # a mistake in an option is told even if the method does not run
    chosen_preset = load_preset(preset, for_preset)
    changes = _changes(load_preset(preset), chosen_preset, for_preset)
    chosen_grid = load_grid(grid, for_grid)
    if method is None and chosen_grid.methods is None:
        raise UserError(
            f"--method is missing, and grid {chosen_grid.name!r} names no methods (as in --method wave,he; "
            f"lgbench list methods shows all)"
        )
    if quick:
        chosen_preset, chosen_grid = quick_preset(chosen_preset), quick_grid(chosen_grid, chosen_preset)
    choices = parse_methods(method or chosen_grid.methods or "", registry, for_methods)
    return Request(chosen_preset, chosen_grid, choices, seeds, changes, equal_budget)


def _changes(shipped: Preset, chosen: Preset, overrides: Mapping[str, Any]) -> dict[str, Any]:
    """The overrides that change anything: to set a key to what it was is not another setting."""

    def value(preset: Preset, dotted: str) -> Any:
        found: Any = preset.model_dump(mode="json")
        for name in dotted.split("."):
            found = found.get(name) if isinstance(found, dict) else None
        return found

    return {key: given for key, given in overrides.items() if value(shipped, key) != value(chosen, key)}


def command_line() -> list[str]:
    """The command as typed, to stand in records."""
    return ["lgbench", *sys.argv[1:]]
