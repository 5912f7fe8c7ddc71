"""The request for a run: methods, a grid, a preset and the user's settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from learngene_bench.config.grid import Grid
from learngene_bench.config.loader import load_grid, load_preset, parse_override
from learngene_bench.config.preset import Preset
from learngene_bench.config.quick import quick_grid, quick_preset
from learngene_bench.config.recipe import RECIPES
from learngene_bench.planning.method_spec import MethodSpec, parse_methods
from learngene_bench.plugins.registry import Registry
from learngene_bench.schema.constants import DeviceKind
from learngene_bench.util.errors import UserError, unknown


@dataclass(frozen=True)
class Request:
    """All that decides a plan.

    Attributes:
        preset: as the grid and the user change it.
        reference: the preset as its file has it; tables say what differs from it.
        equal_budget: takes the iterations that a method trains for in `initialize` off its fine-tuning.
        device: kind of device that the executor computes on; `compute.device` of the preset, `auto` resolved.
        processes: processes that train one model together.
    """

    preset: Preset
    reference: Preset
    grid: Grid
    methods: Sequence[MethodSpec]
    seeds: int
    equal_budget: bool = False
    device: DeviceKind = "cpu"
    processes: int = 1


def build_request(
    methods: str | None,
    grid: str,
    preset: str,
    seeds: int,
    settings: Sequence[str] | None,
    registry: Registry,
    quick: bool,
    equal_budget: bool = False,
) -> Request:
    """Builds a request from command-line options.

    Args:
        methods: as in `--method`; None for those that the grid names.
        settings: as in `--set`, KEY=VALUE each; in any order.

    Raises:
        UserError: any of them is wrong.
    """
    overrides = _Overrides.parse(settings or (), registry)
    for name, options in overrides.methods.items():
        registry.get(name).create(options)  # reports a wrong option even if the method does not run
    chosen_grid = load_grid(grid, overrides.grid)
    chosen, reference = (
        load_preset(preset, overrides.preset, chosen_grid, registry.recipe_fallbacks),
        load_preset(preset),
    )
    if methods is None and chosen_grid.methods is None:
        raise UserError(
            f"--method is missing, and grid {chosen_grid.name!r} names no methods (as in --method wave,he; "
            f"lgbench list methods shows all)"
        )
    if quick:
        chosen, reference = quick_preset(chosen), quick_preset(reference)
        chosen_grid = quick_grid(chosen_grid, chosen)
    specs = parse_methods(methods or chosen_grid.methods or "", registry, overrides.methods)
    return Request(chosen, reference, chosen_grid, specs, seeds, equal_budget)


@dataclass
class _Overrides:
    """The settings of `--set`, by the part that they belong to."""

    preset: dict[str, Any] = field(default_factory=dict)
    grid: dict[str, Any] = field(default_factory=dict)
    methods: dict[str, dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def parse(cls, settings: Sequence[str], registry: Registry) -> _Overrides:
        overrides, methods = cls(), registry.names()
        for text in settings:
            key, value = parse_override(text)
            section, _, rest = key.partition(".")
            if section == "grid":
                overrides.grid[rest] = value
            elif section in methods:
                overrides.methods.setdefault(section, {})[rest] = value
            elif section in Preset.model_fields:
                overrides.preset[key] = value
            elif section in RECIPES or section in registry.recipe_fallbacks():
                overrides.preset[f"recipes.{key}"] = value
            elif section in Preset.renamed:
                current = Preset.renamed[section].removeprefix("recipes.")
                raise UserError(f"--set {key}: {section} is now {current}")
            else:
                sections = {"grid", *methods, *Preset.model_fields, *RECIPES, *registry.recipe_fallbacks()}
                raise unknown("section of --set", section, sections)
        overrides._check_length()
        return overrides

    def _check_length(self) -> None:
        """Refuses a length of fine-tuning beside the grid's factor, which it would silently replace."""
        for recipe in ("recipes.finetuning", "downstream.recipe"):
            for unit in ("epochs", "iterations"):
                if "finetuning_factor" in self.grid and f"{recipe}.{unit}" in self.preset:
                    key = f"{recipe}.{unit}".removeprefix("recipes.")
                    raise UserError(f"--set grid.finetuning_factor and {key}: both set a length, give one of them")
