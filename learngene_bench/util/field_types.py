"""Types of a dataclass's fields, which the dataclass itself does not check."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

_TYPES: dict[str, tuple[type, ...]] = {"int": (int,), "float": (float, int), "bool": (bool,), "str": (str,)}


def check_field_types(kind: type[Any], values: Mapping[str, Any]) -> None:
    """Checks values for fields of the types int, float, bool and str; others are the dataclass's own matter.

    Raises:
        TypeError: a value is of another type; the line names the field.
    """
    for one in fields(kind):
        name = one.type if isinstance(one.type, str) else getattr(one.type, "__name__", "")
        if one.name in values and name in _TYPES and type(values[one.name]) not in _TYPES[name]:
            raise TypeError(f"{one.name} is {reprlib.repr(values[one.name])}, not of the type {name}")
