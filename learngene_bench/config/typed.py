"""Values as a person types them: read as TOML, and remembered as text for fields that are a text or a path."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any


class TypedInt(int):
    """A whole number that remembers how it was typed: `1_000` may be the name of a folder.

    Attributes:
        text: the value as typed.
    """

    text: str

    def __new__(cls, value: int, text: str = "") -> TypedInt:
        made = super().__new__(cls, value)
        made.text = text
        return made


class TypedFloat(float):
    """A number that remembers how it was typed: `1.50` may be a version.

    Attributes:
        text: the value as typed.
    """

    text: str

    def __new__(cls, value: float, text: str = "") -> TypedFloat:
        made = super().__new__(cls, value)
        made.text = text
        return made


def read_typed(text: str) -> Any:
    """Reads a value as TOML (`3`, `true`, `[4, 6]`), else takes it as a text; so also a date or a time."""
    text = text.strip()
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):  # no TOML, a number of thousands of digits, brackets in brackets
        return text
    if isinstance(value, str | bool | list | dict):
        return value
    if isinstance(value, int):
        return TypedInt(value, text)
    return TypedFloat(value, text) if isinstance(value, float) else text


def as_text(value: Any) -> Any:
    """Returns a value with numbers and truth values as they were typed, also those in lists and tables."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return getattr(value, "text", "") or str(value)
    if isinstance(value, list | tuple):
        return [as_text(item) for item in value]
    return {key: as_text(item) for key, item in value.items()} if isinstance(value, dict) else value


def is_text(value: Any) -> bool:
    """Returns True for texts and paths, and for what is made of them alone."""
    if isinstance(value, list | tuple):
        return all(map(is_text, value))
    return all(map(is_text, value.values())) if isinstance(value, dict) else isinstance(value, str | Path)


def user_path(path: str | os.PathLike[str]) -> Path:
    """Returns a path with `~` replaced by the home folder; as it is where nobody knows that folder."""
    return Path(os.path.expanduser(path))
