"""One ordered merge of settings: preset < size or downstream task < model family < grid < user.

Layers are merged as plain tables, before they are checked, so that the `Preset` that comes out holds what is applied
and nothing else. A size or a task keeps what it changes of a recipe; whatever a later layer sets for all of them takes
the place of what they had.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from learngene_bench.config.recipe import follow_fallbacks
from learngene_bench.util.errors import UserError

Table = dict[str, Any]
Fallbacks = Callable[[], Mapping[str, str]]
"""Returns the recipe that stands in for one that a preset has not, by name, for all that methods declare."""

LENGTHS = {"epochs": "iterations", "iterations": "epochs"}
"""A recipe has one length, so that setting it in one unit replaces the other."""


def choose_family(preset: Table, family: Any) -> None:
    """Applies what a preset says for models of one family, and forgets what it says for others.

    `[families.swin]` holds settings by the names that they have in the preset: `model.patch_size`, `sizes.s.width`.

    Args:
        family: name of the family that is chosen.
    """
    families = inner_table({"families": preset.pop("families", {})}, "families")
    override(preset, dict(_leaves(inner_table(families, str(family)))))


def _leaves(table: Table, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yields the values of nested tables by dotted key."""
    for name, value in table.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def multiply_lengths(preset: Table, factor: float) -> None:
    """Makes fine-tuning this many times as long, for every size and on every downstream task."""
    if factor == 1:
        return
    recipes = [inner_table(preset, "recipes", "finetuning"), inner_table(preset, "downstream", "recipe")]
    recipes += [inner_table(size, "recipes", "finetuning") for size in _tables(preset, "sizes")]
    recipes += [inner_table(task, "recipe") for task in _tables(preset, "downstream", "tasks")]
    for recipe in recipes:
        for unit in LENGTHS.keys() & recipe.keys():
            if isinstance(recipe[unit], int | float):  # anything else is an error of the preset's own
                recipe[unit] = recipe[unit] * factor if unit == "epochs" else round(recipe[unit] * factor)


def override(values: Table, overrides: Mapping[str, Any], fallbacks: Fallbacks | None = None) -> None:
    """Writes what the user sets over everything else, in an order that does not depend on theirs.

    A recipe that the preset has not is made of the one that it falls back to, and then changed.

    Args:
        overrides: values by dotted key.

    Raises:
        UserError: a key leads through a value, or a length is given in both units.
    """
    for key in overrides:
        section, _, unit = key.rpartition(".")
        if (other := f"{section}.{LENGTHS.get(unit)}") in overrides and key < other:
            raise UserError(f"--set {key} and {other}: a recipe has one length, give one of them")
    absent = {name for key in overrides if (name := _recipe_in(key)) and name not in inner_table(values, "recipes")}

    def order(key: str) -> tuple[bool, bool, int, str]:
        """Puts what is made of other recipes after them, and keys of one size or task after those of all."""
        is_specific = key.startswith(("sizes.", "downstream.tasks."))
        return _recipe_in(key) in absent, is_specific, key.count("."), key

    for key in sorted(overrides, key=order):
        if (name := _recipe_in(key)) in absent and fallbacks:
            _copy_fallback(values, name, fallbacks())
        _remove_specific(values, key.split("."))
        assign(values, key, overrides[key])


def assign(values: Table, dotted: str, value: Any) -> None:
    """Sets one dotted key. Raises `UserError` if it leads through a value that is no section."""
    *parents, last = dotted.split(".")
    for name in parents:
        values = values.setdefault(name, {})
        if not isinstance(values, dict):
            raise UserError(f"--set {dotted}: {name!r} is a value, not a section")
    values[last] = copy.deepcopy(value)  # as a further key may lead into it
    if last in LENGTHS:
        values.pop(LENGTHS[last], None)


def _recipe_in(key: str) -> str | None:
    """Returns the name of the recipe that a key sets something of."""
    parts = key.split(".")
    if parts[0] == "sizes":
        parts = parts[2:]
    return parts[1] if parts[:1] == ["recipes"] and len(parts) > 1 else None


def _copy_fallback(values: Table, name: str, fallbacks: Mapping[str, str]) -> None:
    """Gives the preset and its sizes a recipe of this name, as the one that it falls back to is by now."""
    found = follow_fallbacks(name, inner_table(values, "recipes"), fallbacks)
    for layer in (values, *_tables(values, "sizes")):
        recipes = inner_table(layer, "recipes")
        if found is not None and found != name and isinstance(recipes.get(found), dict):
            recipes[name] = copy.deepcopy(recipes[found])


def _remove_specific(values: Table, path: list[str]) -> None:
    """Removes what sizes or tasks have other than the preset, where the preset's own is about to be set."""
    if path[0] == "recipes":
        layers = [(size, path) for size in _tables(values, "sizes")]
    elif path[:2] == ["downstream", "recipe"]:
        layers = [(task, path[1:]) for task in _tables(values, "downstream", "tasks")]
    else:
        return
    for table, (*parents, last) in layers:
        section = inner_table(table, *parents)
        for key in (last, LENGTHS.get(last, last)):
            section.pop(key, None)


def inner_table(table: Table, *names: str) -> Table:
    """Returns the table inside a table; an empty one where there is none, or no table."""
    for name in names:
        found = table.get(name)
        table = found if isinstance(found, dict) else {}
    return table


def _tables(table: Table, *names: str) -> Iterator[Table]:
    """Yields the tables inside a table of tables."""
    return (value for value in inner_table(table, *names).values() if isinstance(value, dict))
