"""Reads presets and grids from TOML files, found by name, overridden with `--set key=value`, and checked."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from contextlib import suppress
from importlib import resources
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import ValidationError

from learngene_bench.config.grid import Grid
from learngene_bench.config.merge import Fallbacks, assign, choose_family, inner_table, multiply_lengths, override
from learngene_bench.config.messages import format_validation_error
from learngene_bench.config.preset import Preset
from learngene_bench.config.recipe import RECIPES
from learngene_bench.config.section import Section
from learngene_bench.config.toml_file import read_toml
from learngene_bench.config.typed import read_typed, user_path
from learngene_bench.util.errors import UserError, unknown

SectionType = TypeVar("SectionType", bound=Section)

FileKind = Literal["preset", "grid"]

_SIGN = {"grid": "axis", "preset": "teacher"}
"""A key that files of this kind have, and files of the other kind and other TOML files (`pyproject.toml`) have not."""


def shipped_files(kind: FileKind) -> dict[str, Path]:
    """Lists the presets or grids that come with the suite: name to file."""
    folder = Path(str(resources.files("learngene_bench.tasks"))) / f"{kind}s"
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def local_files(kind: FileKind) -> dict[str, Path]:
    """Lists the presets or grids in the working folder: name, which is that of the file, to file."""
    files = {}
    for path in sorted(Path().glob("*.toml")):
        with suppress(UserError):  # as a file that cannot be read may have nothing to do with the suite
            if path.stem not in shipped_files(kind) and _SIGN[kind] in read_toml(path):
                files[path.stem] = path
    return files


def title_of(path: Path) -> str:
    """Returns the title of a preset or grid, or a message if the file cannot be read."""
    try:
        return str(read_toml(path).get("title", f"title is missing ({path})"))
    except UserError as error:
        return str(error)


def load_preset(
    name_or_file: str,
    overrides: Mapping[str, Any] | None = None,
    grid: Grid | None = None,
    fallbacks: Fallbacks | None = None,
) -> Preset:
    """Reads a preset by name or from a TOML file, as the grid and the user change it.

    Args:
        overrides: what the user sets, by dotted key.
        grid: what it changes comes before what the user sets.
        fallbacks: tells the recipes that methods declare. Not called for a preset that is shipped and whose recipes are
            the only ones set, as it imports all methods. Without it, any name of a recipe is valid.

    Raises:
        UserError: no such preset or file, not TOML, a wrong key or type, an unknown recipe.
    """
    path = _find("preset", name_or_file)
    values, overrides = read_toml(path), overrides or {}
    _drop_options_of_another(values, overrides)
    choose_family(values, overrides.get("model.family", inner_table(values, "model").get("family")))
    as_written, known = copy.deepcopy(values), {*RECIPES}
    if path in shipped_files("preset").values():
        known |= values["recipes"].keys()
    if grid is not None:
        multiply_lengths(values, grid.finetuning_factor)
    override(values, overrides, fallbacks)
    recipes = inner_table(values, "recipes")
    if fallbacks is not None and recipes.keys() - known:
        known |= fallbacks().keys()
        for name in sorted(recipes.keys() - known):
            where = "--set" if any(key.startswith(f"recipes.{name}") for key in overrides) else path
            raise UserError(f"{where}: {unknown('recipe', name, known)}")
    return build_options(Preset, values, str(path), as_written)


def _drop_options_of_another(preset: dict[str, Any], overrides: Mapping[str, Any]) -> None:
    """Empties `model` and each `data` section where another family or data set is chosen, before any override.

    Options belong to one data set or family: another would refuse them or, worse, share a name with one and take its
    value.
    """
    choosers = [("model", "family", "vit"), ("data", "name", None)]
    choosers += [(f"downstream.tasks.{task}.data", "name", None) for task in inner_table(preset, "downstream", "tasks")]
    for section, chooser, default in choosers:
        options = inner_table(preset, *section.split("."))
        chosen = options.get(chooser, default)
        if overrides.get(f"{section}.{chooser}", chosen) != chosen:
            options.clear()


def load_grid(name_or_file: str, overrides: Mapping[str, Any] | None = None) -> Grid:
    """Reads a grid by name or from a TOML file; see `load_preset`."""
    path = _find("grid", name_or_file)
    values = read_toml(path)
    as_written = copy.deepcopy(values)
    for key, value in (overrides or {}).items():
        assign(values, key, value)
    return build_options(Grid, values, str(path), as_written)


def build_options(
    kind: type[SectionType], values: Mapping[str, Any], where: str, as_written: Mapping[str, Any] | None = None
) -> SectionType:
    """Validates settings.

    Args:
        where: place to blame for a mistake.
        as_written: the same settings before `--set`, which is to blame unless they have the same mistake.

    Raises:
        UserError: naming the place, the wrong key and the valid ones.
    """
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        message = format_validation_error(kind, error)
    if as_written is not None:
        try:
            build_options(kind, as_written, where)
        except UserError as error:
            where = where if str(error) == f"{where}: {message}" else "--set"
        else:
            where = "--set"
    raise UserError(f"{where}: {message}")


def parse_override(text: str, option: str = "--set", example: str = "--set finetuning.epochs=5") -> tuple[str, Any]:
    """Splits `key=value` and reads the value; see `read_typed`.

    Args:
        option: the option that it was given to, for the error.
        example: what could be given instead, for the error.

    Raises:
        UserError: there is no `=`, or nothing before it.
    """
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise UserError(f"{option} {text!r}: expected key=value, as in {example}")
    return key.strip(), read_typed(value)


def _find(kind: FileKind, name_or_file: str) -> Path:
    shipped = shipped_files(kind)
    if name_or_file in shipped:
        return shipped[name_or_file]
    if name_or_file.endswith(".toml"):
        path = user_path(name_or_file)
        if not path.is_file():
            raise UserError(f"{kind} file not found: {name_or_file}")
        return path
    local = local_files(kind)
    if name_or_file in local:
        return local[name_or_file]
    raise unknown(kind, name_or_file, [*shipped, *local])
