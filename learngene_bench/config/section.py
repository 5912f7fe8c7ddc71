"""A group of settings: the base class of everything that is read from TOML or set with `--set`."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, model_serializer
from pydantic.config import JsonDict

LATER: JsonDict = {"later": True}
"""Marks a field (`json_schema_extra=LATER`) that came after results were addressed without it."""


class Section(BaseModel):
    """A group of settings: immutable, and an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @model_serializer(mode="wrap")
    def _without_unused_later_fields(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """What is dumped becomes part of addresses: a new field changes none of them while it has its default."""
        return {name: value for name, value in handler(self).items() if not self._is_unused(name)}

    def _is_unused(self, name: str) -> bool:
        field = type(self).model_fields[name]
        return field.json_schema_extra == LATER and getattr(self, name) == field.get_default(call_default_factory=True)
