"""The request for a run: methods, a grid, a preset and the user's settings."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from learngene_bench.config.grid import Grid
from learngene_bench.config.loader import load_grid, load_preset, parse_override
from learngene_bench.config.merge import LENGTHS
from learngene_bench.config.preset import Preset
from learngene_bench.config.quick import QUICK_ITERATIONS, quick_grid, quick_preset
from learngene_bench.config.recipe import RECIPES
from learngene_bench.planning.method_spec import MethodSpec, parse_methods
from learngene_bench.plugins.registry import Registry
from learngene_bench.schema.constants import DeviceKind
from learngene_bench.schema.seeds import Seeds
from learngene_bench.util.errors import UserError, unknown


@dataclass(frozen=True)
class Request:
    """All that decides a plan.

    Attributes:
        preset: as the grid and the user change it.
        reference: the preset as its file has it; tables say what differs from it.
        costed: methods whose cost others ask for (`Initializer.at_cost_of`), by name, with the options of `--set`.
        equal_budget: takes the images that a method trains on in `initialize` off its fine-tuning.
        device: kind of device that the executor computes on; `compute.device` of the preset, `auto` resolved.
        processes: processes that train one model together.
    """

    preset: Preset
    reference: Preset
    grid: Grid
    methods: Sequence[MethodSpec]
    seeds: Seeds
    costed: Mapping[str, MethodSpec]
    equal_budget: bool = False
    device: DeviceKind = "cpu"
    processes: int = 1


def build_request(
    methods: str | None,
    grid: str,
    preset: str,
    seeds: Seeds,
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
    for_preset, for_grid, options = _parse_settings(settings or (), registry)
    for name, chosen_options in options.items():
        registry.get(name).create(chosen_options)  # reports a wrong option even if the method does not run
    chosen_grid = load_grid(grid, for_grid)
    with _named_as_typed(settings or ()):
        chosen = load_preset(preset, for_preset, chosen_grid, registry.recipe_fallbacks)
    if chosen.teacher.is_loaded and (unused := sorted(key for key in for_preset if key.startswith("teacher.recipe"))):
        raise UserError(f"--set {unused[0]}: the teacher is loaded, nothing trains it")
    reference = _reference(preset, for_preset.get("model.family"))
    if methods is None and chosen_grid.methods is None:
        raise UserError(
            f"--method is missing, and grid {chosen_grid.name!r} names no methods (as in --method wave,he; "
            f"lgbench list methods shows all)"
        )
    if quick:
        _check_effect(grid, preset, for_preset, for_grid, registry)
        chosen, reference = quick_preset(chosen), quick_preset(reference)
        chosen_grid = quick_grid(chosen_grid, chosen)
    specs = parse_methods(methods or chosen_grid.methods or "", registry, options)
    costed = _costed(specs, registry, options)
    return Request(chosen, reference, chosen_grid, specs, seeds, costed, equal_budget)


def _costed(
    specs: Sequence[MethodSpec], registry: Registry, options: Mapping[str, Mapping[str, Any]]
) -> dict[str, MethodSpec]:
    """Returns the methods whose cost some of these ask for, by name.

    Raises:
        UserError: there is no such method, or it asks for the cost of another by itself.
    """
    found = {}
    for spec in specs:
        if asked := spec.registered.create(spec.options).at_cost_of():
            other = MethodSpec(registry.get(asked.method), options.get(asked.method, {}))
            if other.registered.create(other.options).at_cost_of():
                raise UserError(f"{spec.registered.kind.name}: {asked.method} has no cost of its own to train for")
            found[asked.method] = other
    return found


def _check_effect(
    grid: str, preset: str, for_preset: Mapping[str, Any], for_grid: Mapping[str, Any], registry: Registry
) -> None:
    """Raises `UserError` if a setting changes nothing of a quick run, as another length of training."""

    def with_settings(left_out: str) -> tuple[Preset, Grid]:
        grid_settings = {key: value for key, value in for_grid.items() if f"grid.{key}" != left_out}
        preset_settings = {key: value for key, value in for_preset.items() if key != left_out}
        made_grid = load_grid(grid, grid_settings)
        return load_preset(preset, preset_settings, made_grid, registry.recipe_fallbacks), made_grid

    def quick(chosen: tuple[Preset, Grid]) -> tuple[Preset, Grid]:
        return quick_preset(chosen[0]), quick_grid(chosen[1], chosen[0])

    given = with_settings("")
    # Targets that are asked for and measured are no setting in vain, although they are the first ones anyway.
    cut = [key for key in for_grid if getattr(quick(given)[1], key, None) != getattr(given[1], key, None)]
    for key in (*for_preset, *(f"grid.{key}" for key in cut)):
        try:
            without = with_settings(key)
        except UserError:  # as where a data set needs it
            continue
        if without != given and quick(without) == quick(given):
            raise UserError(
                f"--set {key.removeprefix('recipes.')} changes nothing with --quick, which trains for "
                f"{QUICK_ITERATIONS} steps on the first targets of the grid"
            )


def _reference(preset: str, family: str | None) -> Preset:
    """Reads the preset as its file has it, with what it says for the chosen model family: descriptions compare with it.

    The family itself stays the file's own, so that the choice of another one is described.
    """
    as_written = load_preset(preset)
    if family is None:
        return as_written
    of_family = load_preset(preset, {"model.family": family})
    own = {name: value for name, value in as_written.model.items() if name == "family"}
    others = {name: value for name, value in of_family.model.items() if name != "family"}
    return of_family.model_copy(update={"model": {**own, **others}})


@contextmanager
def _named_as_typed(settings: Sequence[str]) -> Iterator[None]:
    """Names the recipes in the `UserError` of the block as the user does: `finetuning`, not `recipes.finetuning`."""
    try:
        yield
    except UserError as error:
        names = sorted({re.split(r"[.=]", text)[0].strip() for text in settings} - {"recipes", "sizes"})
        message = (
            re.sub(rf"(?<![\w.])recipes\.({'|'.join(map(re.escape, names))})\b", r"\1", str(error))
            if names
            else str(error)
        )
        raise UserError(message) from error


def _parse_settings(
    settings: Sequence[str], registry: Registry
) -> tuple[dict[str, Any], dict[str, Any], dict[str, dict[str, Any]]]:
    """Reads `--set`: what it changes of the preset and of the grid, by dotted key, and options by method."""
    for_preset: dict[str, Any] = {}
    for_grid: dict[str, Any] = {}
    options: dict[str, dict[str, Any]] = {}
    methods = registry.names()
    for text in settings:
        key, value = parse_override(text)
        section, _, rest = key.partition(".")
        if section == "grid":
            for_grid[rest] = value
        elif section in methods:
            options.setdefault(section, {})[rest] = value
        elif section in Preset.model_fields:
            for_preset[key] = value
        elif section in RECIPES or section in registry.recipe_fallbacks():
            for_preset[f"recipes.{key}"] = value
        elif section in Preset.renamed:
            raise UserError(f"--set {key}: {section} is now {Preset.renamed[section].removeprefix('recipes.')}")
        else:
            sections = {"grid", *methods, *Preset.model_fields, *RECIPES, *registry.recipe_fallbacks()}
            raise unknown("section of --set", section, sections)
    # A length of fine-tuning would silently replace what the grid's factor makes of the preset's.
    for key in (f"{recipe}.{unit}" for recipe in ("recipes.finetuning", "downstream.recipe") for unit in LENGTHS):
        if "finetuning_factor" in for_grid and key in for_preset:
            given = key.removeprefix("recipes.")
            raise UserError(f"--set grid.finetuning_factor and {given}: both set a length, give one of them")
    return for_preset, for_grid, options
