"""A group of settings: the base class of everything that is read from TOML or set with `--set`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    field_validator,
    model_validator,
)

from learngene_bench.config.typed import as_text, is_text, user_path
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

    A value is read by the type of its field: `2019` is a number, and the name of a folder where the field is a path, in
    which `~` is the home folder.

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

    @field_validator("*", mode="wrap")
    @classmethod
    def _read_by_type(cls, value: Any, read: ValidatorFunctionWrapHandler) -> Any:
        """Reads a number where a text or a path is needed as what was typed."""
        try:
            found = read(value)
        except ValidationError:
            try:
                found = read(as_text(value))
            except ValidationError:
                found = None
            if found is None or not is_text(found):  # for another type, another text is the same mistake
                raise
        return user_path(found) if isinstance(found, Path) else found
