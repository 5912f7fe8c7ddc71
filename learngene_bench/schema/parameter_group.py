"""Parameters of a target that are fine-tuned by other rates than its recipe's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from pydantic import Field

from learngene_bench.schema.base import Document, Text


class ParameterGroup(Document):
    """A group of parameters, and what its rates are over those of the recipe.

    Attributes:
        parameters: their names, with `*` for any part: `blocks.*.mlp.fc1.weight`.
        learning_rate: factor on the learning rate of every step.
        weight_decay: factor on the weight decay. AdamW and SGD take off the product of both rates in a step.
    """

    parameters: Text
    learning_rate: float = Field(1.0, gt=0, allow_inf_nan=False)
    weight_decay: float = Field(1.0, ge=0, allow_inf_nan=False)

    def has(self, name: str) -> bool:
        """Returns True if the parameter of this name belongs to the group."""
        return fnmatchcase(name, self.parameters)


def grouped_names(names: Iterable[str], groups: Sequence[ParameterGroup]) -> dict[str, ParameterGroup]:
    """Returns the group of each parameter that belongs to one: the first of those that have it."""
    return {name: group for name in names for group in reversed(groups) if group.has(name)}
