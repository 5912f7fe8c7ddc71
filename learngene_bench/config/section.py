"""A group of settings: the base class of everything that is read from TOML or set with `--set`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

from learngene_bench.version import PROTOCOL


def later(default: Any, *, protocol: int, **constraints: Any) -> Any:
    """Declares a field that is added when results already have addresses without it: `x: int = later(1, protocol=2)`.

    While the field has its default it is left out of dumps, so those addresses stay the same. A test lists the fields
    of every address, so that a new one cannot come without either this or a new protocol.

    Args:
        default: the value that stands for how results were computed before there was the field.
        protocol: the protocol of those results, the present one when the field is added. Once the protocol is raised
            all addresses change anyway, and the field is dumped like any other.
        constraints: any argument of pydantic's `Field`.
    """
    if protocol < PROTOCOL:
        return Field(default, **constraints)
    return Field(default, exclude_if=lambda value: value == default, **constraints)


class Section(BaseModel):
    """A group of settings: immutable, and an unknown key is an error.

    Attributes:
        renamed: former names of settings, each with the name of today, with which it is answered.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    renamed: ClassVar[Mapping[str, str]] = {}

    @model_validator(mode="before")
    @classmethod
    def _answer_former_names(cls, values: Any) -> Any:
        """Runs before anything else is checked: a renamed section would be reported as a missing one."""
        for former, current in cls.renamed.items():
            if isinstance(values, Mapping) and former in values:
                raise ValueError(f"{former} is now {current}")
        return values
