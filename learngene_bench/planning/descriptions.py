"""Describes a plan by what differs from the preset as its file has it: in settings that are applied, and only there.

Descriptions compare resolved settings and never what the user typed, so that nothing is claimed that was not applied.
They are written as one would type them after `--set`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from learngene_bench.config.merge import LENGTHS
from learngene_bench.config.preset import Preset
from learngene_bench.config.recipe import Recipe

Text = Callable[[object], str]


def text_of(value: object) -> str:
    """Returns a value as one would type it."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return "+".join(map(str, value)) if isinstance(value, tuple | list) else str(value)


def differences(before: object, after: object, prefix: str, text: Text = text_of) -> list[str]:
    """Lists what differs between two sections, or two tables of values, as `PREFIX.KEY=VALUE`."""
    old = dict(_flat(before))
    return [f"{prefix}.{key}={text(value)}" for key, value in _flat(after) if key not in old or old[key] != value]


def recipe_differences(
    before: Mapping[str, Recipe], after: Mapping[str, Recipe], common: Recipe, shared: str, own: str
) -> list[str]:
    """Lists what differs between the resolved recipes of several sizes or tasks.

    Args:
        before: recipes by the name of the size or task.
        after: likewise, as they are applied; the same names.
        common: the recipe of those that change nothing of it.
        shared: dotted key of what holds for all, `finetuning`.
        own: likewise for one, `{}` standing for its name: `sizes.{}.recipes.finetuning`.
    """
    old = {name: dict(_flat(recipe)) for name, recipe in before.items()}
    new = {name: dict(_flat(recipe)) for name, recipe in after.items()}
    lines = []
    for key in dict.fromkeys(key for values in new.values() for key in values):
        values = {name: new[name][key] for name in new if key in new[name]}
        changed = [name for name in values if key not in old[name] or old[name][key] != values[name]]
        first = next(iter(values.values()))
        general = first if list(values.values()) == [first] * len(new) else dict(_flat(common)).get(key)
        is_shared = any(values[name] == general for name in changed)
        lines += [f"{shared}.{key}={text_of(general)}"] * is_shared
        others = [name for name in values if values[name] != general and (is_shared or name in changed)]
        lines += [f"{own.format(name)}.{key}={text_of(values[name])}" for name in others]
    return lines


def finetuning_differences(reference: Preset, preset: Preset) -> list[str]:
    """Lists what differs in the fine-tuning of the preset's sizes on the source task."""
    widths = {name: size.width for name, size in preset.sizes.items()}
    before, after = (
        {name: made.recipe_of("finetuning", width) for name, width in widths.items()} for made in (reference, preset)
    )
    common = preset.recipes["finetuning"]
    return recipe_differences(before, after, common, "finetuning", "sizes.{}.recipes.finetuning")


def downstream_differences(reference: Preset, preset: Preset, tasks: Iterable[str]) -> list[str]:
    """Lists what differs in the fine-tuning on downstream tasks."""
    assert preset.downstream is not None
    former = reference.downstream or preset.downstream
    before = {task: former.recipe_of(task) if task in former.tasks else former.recipe for task in tasks}
    after = {task: preset.downstream.recipe_of(task) for task in tasks}
    common = preset.downstream.recipe
    return recipe_differences(before, after, common, "downstream.recipe", "downstream.tasks.{}.recipe")


def _flat(value: object, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yields dotted keys and single values, defaults included; of a length only the unit in which it is given."""
    for key, inner in dict(value).items() if isinstance(value, BaseModel | Mapping) else ():
        if isinstance(inner, BaseModel | Mapping):
            yield from _flat(inner, f"{prefix}{key}.")
        elif inner is not None or key not in LENGTHS:
            yield f"{prefix}{key}", inner
