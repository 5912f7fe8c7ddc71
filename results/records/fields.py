"""One JSON object, read key by key: what is missing or of another type is said in words a person can act on."""

from __future__ import annotations

import json
import reprlib
import sys
from pathlib import Path
from typing import Any

from learngene_bench.util.errors import UserError

Scalar = str | int | float | bool | None


class Fields:
    """A JSON object whose values have the types that the reader asks for.

    Every method raises ValueError with the key's full name ("cell.seed") when the value is missing or of another
    type; `records` turns that into the one line that also names the file.
    """

    def __init__(self, data: Any, name: str = "") -> None:
        if not isinstance(data, dict):
            raise ValueError(f"{name or 'its content'} is {_kind(data)}, not an object")
        self._data = data
        self._name = name

    def fields(self, key: str) -> Fields:
        return Fields(self._value(key), self._full(key))

    def fields_or_none(self, key: str) -> Fields | None:
        """The object; None if it is null or, as in files of earlier versions, not there."""
        return None if self._data.get(key) is None else self.fields(key)

    def objects(self, key: str) -> list[Fields]:
        return [Fields(item, f"{self._full(key)}[{index}]") for index, item in enumerate(self._list(key))]

    def texts(self, key: str) -> list[str]:
        values = self._list(key)
        if not all(isinstance(value, str) for value in values):
            raise self._wrong(key, values, "a list of texts")
        return [printable(value) for value in values]

    def text(self, key: str) -> str:
        value = self._value(key)
        if not isinstance(value, str):
            raise self._wrong(key, value, "a text")
        return printable(value)

    def text_or_none(self, key: str) -> str | None:
        return None if self._value(key) is None else self.text(key)

    def choice(self, key: str, valid: tuple[str, ...]) -> str:
        value = self.text(key)
        if value not in valid:
            raise self._wrong(key, value, f"one of {', '.join(valid)}")
        return value

    def whole(self, key: str) -> int:
        value = self._value(key)
        if not isinstance(value, int) or isinstance(value, bool):
            raise self._wrong(key, value, "a whole number")
        return value

    def number(self, key: str) -> float:
        """A number; NaN and infinities pass, as Python's json writes them: what they mean is the reader's affair."""
        value = self._value(key)
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise self._wrong(key, value, "a number")
        return value

    def amount(self, key: str) -> float:
        """Reads an amount: finite, and not below zero."""
        value = self.number(key)
        if not 0 <= value <= sys.float_info.max:
            raise self._wrong(key, value, "an amount")
        return value

    def amount_or_none(self, key: str) -> float | None:
        return None if self._value(key) is None else self.amount(key)

    def number_or_none(self, key: str) -> float | None:
        return None if self._value(key) is None else self.number(key)

    def truth_or_none(self, key: str) -> bool | None:
        value = self._value(key)
        if not (value is None or isinstance(value, bool)):
            raise self._wrong(key, value, "a truth value")
        return value

    def content(self) -> dict[str, Any]:
        """The whole object as it is, for what only its writer knows the shape of."""
        return dict(self._data)

    def scalars(self) -> dict[str, Scalar]:
        """The whole object, when every value in it is a text, a number, a truth value or null."""
        for key, value in self._data.items():
            if isinstance(value, dict | list):
                raise self._wrong(key, value, "a single value")
        return dict(self._data)

    def _value(self, key: str) -> Any:
        if key not in self._data:
            raise ValueError(f"it lacks {self._full(key)!r}")
        return self._data[key]

    def _list(self, key: str) -> list[Any]:
        value = self._value(key)
        if not isinstance(value, list):
            raise self._wrong(key, value, "a list")
        return value

    def _full(self, key: str) -> str:
        return f"{self._name}.{key}" if self._name else key

    def _wrong(self, key: str, value: Any, wanted: str) -> ValueError:
        return ValueError(f"{self._full(key)!r} is {reprlib.repr(value)}, not {wanted}")


def read(path: Path) -> Fields:
    """The object in a JSON file.

    Raises:
        FileNotFoundError, NotADirectoryError: there is no such file.
        ValueError: the file is not JSON (truncated, another encoding), or not an object.
        UserError: the file cannot be read.
    """
    try:
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None
    return parse(content)


def parse(content: bytes) -> Fields:
    """The object that a JSON file holds.

    Raises:
        ValueError: it is not JSON, or not an object.
    """
    try:
        return Fields(json.loads(content.decode()))
    except json.JSONDecodeError as error:
        raise ValueError(f"it is not JSON, line {error.lineno}: {error.msg}") from None
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8 text") from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def printable(text: str) -> str:
    """The text on one line without control characters: names come from plugins and end on terminals."""
    if text.isprintable():
        return text
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


def _kind(data: Any) -> str:
    return {list: "a list", str: "a text", type(None): "null"}.get(type(data), "a number or truth value")
