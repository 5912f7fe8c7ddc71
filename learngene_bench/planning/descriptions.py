"""Describes a plan by what differs from the preset as its file has it: in settings that are applied, and only there.

Descriptions compare resolved settings and never what the user typed, so that nothing is claimed that was not applied.
They are written as one would type them after `--set`.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from learngene_bench.config.merge import LENGTHS
from learngene_bench.config.preset import Preset
from learngene_bench.config.recipe import Recipe
from learngene_bench.contracts.initializer import Distiller, GeneRequest, Initializer, Pretrained, wrong_family
from learngene_bench.planning.image_costs import costed_method
from learngene_bench.planning.scope import Scope, recipe_of_method
from learngene_bench.planning.source_model import default_options
from learngene_bench.planning.targets import Target


def describe_setting(scope: Scope) -> str:
    """Describes what all cells share: the preset, and what sets their numbers apart from the preset's own."""
    request, preset, reference = scope.request, scope.preset, scope.request.reference
    lines = ["cuda"] if request.device == "cuda" else []
    if source := request.grid.source_model:
        lines += [f"source model of depth {source.depth}, width ×{source.width_factor:g}"]
    lines += [f"{request.processes} processes for a model"] if request.processes > 1 else []
    lines += _differences(reference.data, preset.data, "data.", scope.source.dataset.location)
    lines += _differences(_shared(reference), _shared(preset))
    if scope.is_transfer:
        lines += _finetuning_on_tasks(scope)
    else:
        lines += _recipe_of_sizes("finetuning", reference, preset)
    lines += _recipe_of_sizes("inheritance", reference, preset) if request.equal_budget else []
    return ", ".join([preset.name, *lines])


def describe_variant(
    method: Initializer, target: Target, gene: GeneRequest | None, scope: Scope, hash_of: Callable[[Path], str]
) -> str:
    """Describes what sets a row apart from the method's default: its options, and differences that its cells depend on.

    Args:
        hash_of: returns the hash of a file, whose beginning stands for it.
    """
    preset, reference = scope.preset, scope.request.reference
    options, default = dict(method.options), default_options(method, target.source)
    lines = [f"{key}={_text(value, hash_of)}" for key, value in options.items() if value != getattr(default, key)]
    ancestors = gene.ancestors.values() if gene else ()
    if any(isinstance(ancestor, Distiller) for ancestor in ancestors):
        lines += _differences(reference.teacher, preset.teacher, "teacher.", hash_of=hash_of)
    used = [(name, target.width) for name in method.trains()]
    used += [(name, gene.family.width) for name in gene.trains] if gene else []
    if widths := [ancestor.spec.width for ancestor in ancestors if isinstance(ancestor, Pretrained)]:
        lines += _differences(reference.ancestor, preset.ancestor, "ancestor.", hash_of=hash_of)
        used += [("pretraining", width) for width in widths if not preset.ancestor.is_given]
    for name in dict.fromkeys(name for name, _ in used):
        sizes = {preset.size_at(width): width for recipe, width in used if recipe == name}
        before, after = (
            {size: recipe_of_method(made, method, name, width) for size, width in sizes.items()}
            for made in (reference, preset)
        )
        lines += _recipe_differences(before, after, next(iter(after.values())), name, f"sizes.{{}}.recipes.{name}")
    if asked := method.at_cost_of():
        lines += _costed(asked.method, *costed_method(method, target, scope), scope, hash_of)
    return ", ".join(lines)


def _costed(
    name: str, other: Initializer, target: Target, scope: Scope, hash_of: Callable[[Path], str]
) -> Iterator[str]:
    """Yields what sets the method apart, by name, for whose cost another is trained."""
    gene = None if wrong_family(other, target.spec) else other.gene_request(target.spec, target.base)
    if found := describe_variant(other, target, gene, scope, hash_of):
        yield f"{name}: {found}"


def _shared(preset: Preset) -> dict[str, Any]:
    """Returns the settings, recipes and data apart, that the numbers of all methods depend on."""
    return {
        "model": preset.model,
        "base": preset.base,
        "compute": {name: getattr(preset.compute, name) for name in ("threads", "precision", "compile")},
        "sizes": {name: {"width": size.width} for name, size in preset.sizes.items()},
        "evaluation_split": preset.evaluation_split,
    }


def _recipe_of_sizes(name: str, reference: Preset, preset: Preset) -> list[str]:
    """Lists what differs in a recipe of the preset's sizes."""
    widths = {size: about.width for size, about in preset.sizes.items()}
    before, after = (
        {size: made.recipe_of(name, width) for size, width in widths.items()} for made in (reference, preset)
    )
    return _recipe_differences(before, after, preset.recipes[name], name, f"sizes.{{}}.recipes.{name}")


def _finetuning_on_tasks(scope: Scope) -> list[str]:
    """Lists what differs in the fine-tuning on downstream tasks, and in their data."""
    new, old = scope.preset.downstream, scope.request.reference.downstream
    assert new is not None
    before = {
        task.name: old.recipe_of(task.name) if old and task.name in old.tasks else (old or new).recipe
        for task in scope.tasks
    }
    after = {task.name: new.recipe_of(task.name) for task in scope.tasks}
    lines = _recipe_differences(before, after, new.recipe, "downstream.recipe", "downstream.tasks.{}.recipe")
    for task in scope.tasks:
        former = old.tasks[task.name].data if old and task.name in old.tasks else {}
        prefix = f"downstream.tasks.{task.name}.data."
        lines += _differences(former, task.settings, prefix, task.dataset.location)
    return lines


def _differences(
    before: object,
    after: object,
    prefix: str = "",
    omitted: Container[str] = (),
    hash_of: Callable[[Path], str] | None = None,
) -> list[str]:
    """Lists what differs between two sections or tables.

    Args:
        omitted: keys that decide no number, such as where data lie.
    """
    old = dict(_flat(before))
    changed = {key: value for key, value in _flat(after) if key not in old or old[key] != value}
    return [f"{prefix}{key}={_text(value, hash_of)}" for key, value in changed.items() if key not in omitted]


def _recipe_differences(
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
        lines += [f"{shared}.{key}={_text(general)}"] * is_shared
        others = [name for name in values if values[name] != general and (is_shared or name in changed)]
        lines += [f"{own.format(name)}.{key}={_text(values[name])}" for name in others]
    return lines


def _flat(value: object, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yields dotted keys and single values, defaults included; of a length only the unit in which it is given."""
    for key, inner in dict(value).items() if isinstance(value, BaseModel | Mapping) else ():
        if isinstance(inner, BaseModel | Mapping):
            yield from _flat(inner, f"{prefix}{key}.")
        elif inner is not None or key not in LENGTHS:
            yield f"{prefix}{key}", inner


def _text(value: object, hash_of: Callable[[Path], str] | None = None) -> str:
    """Returns a value as one would type it; the beginning of its hash for a file, which tells it from others."""
    if isinstance(value, Path) and hash_of is not None:
        return hash_of(value)[:8]
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return "+".join(map(str, value)) if isinstance(value, tuple | list) else str(value)
