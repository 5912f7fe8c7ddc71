"""A group of settings: the base class of everything that is read from TOML or set with `--set`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, model_serializer, model_validator
from pydantic.config import JsonDict

LATER: JsonDict = {"later": True}
"""Marks a field (`json_schema_extra=LATER`) that came after results were addressed without it."""


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

    @model_serializer(mode="wrap")
    def _without_unused_later_fields(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leaves out a new field that has its default: what is dumped becomes part of addresses."""
        return {name: value for name, value in handler(self).items() if not self._is_unused(name)}

    def _is_unused(self, name: str) -> bool:
        field = type(self).model_fields[name]
        return field.json_schema_extra == LATER and getattr(self, name) == field.get_default(call_default_factory=True)
