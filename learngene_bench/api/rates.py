"""The rates at which a method's parameters are to be trained, by the names of a user's model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from learngene_bench.config.recipe import Recipe
from learngene_bench.contracts.family import ModelSpec
from learngene_bench.contracts.initializer import Initializer, parameter_groups_of
from learngene_bench.models.timm.core import Core
from learngene_bench.schema.parameter_group import ParameterGroup, grouped_names

Groups = Mapping[str, ParameterGroup]
"""Groups by the names of the parameters that belong to them."""


def groups_by_name(method: Initializer[Any, Any], target: ModelSpec, base: ModelSpec, recipe: Recipe) -> Groups:
    """Asks a method for its parameter groups, and returns that of each parameter of the target that has one."""
    return grouped_names(target.parameter_shapes(), parameter_groups_of(method, target, base, recipe))


def groups_around_core(core: Core, groups: Groups) -> Groups:
    """Returns the groups of a model's parameters, given those of the core that it contains."""
    return {name: group for part, group in groups.items() if part in core.links for name in core.links[part].names}
