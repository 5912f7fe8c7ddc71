"""Fields of settings and documents in words: type, meaning and default, as the code declares them."""

from __future__ import annotations

import ast
import inspect
import json
import re
import sys
from collections.abc import Collection
from types import UnionType
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel

WORDS = {
    "str": "text",
    "int": "integer",
    "float": "number",
    "bool": "true or false",
    "Any": "any value",
    "None": "null",
    "Text": "text",
    "Path": "path",
    "Scalar": "text, number, true, false or null",
    "Sha256": "SHA-256",
    "Address": "address",
    "Time": "time",
    "Amount": "number, not below 0",
    "Commit": "git commit",
    "DataIdentity": "object",
    "ModelDescription": "object",
}
"""Types in the words of JSON."""


def meanings(kind: type[BaseModel]) -> dict[str, str]:
    """Reads the `Attributes:` of a type's docstring and of its base classes'."""
    found: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        text = inspect.cleandoc(base.__doc__ or "").partition("\nAttributes:\n")[2].partition("\n\n")[0]
        for name, meaning in re.findall(r"^    (\w+): (.+(?:\n     +.+)*)", text, re.MULTILINE):
            found[name] = " ".join(meaning.split())
    return found


def type_words(kind: type[BaseModel], name: str, known: Collection[str] = ()) -> str:
    """Words the annotation of a field as it is written in the source, where aliases still have their names.

    Args:
        known: names of types that the page describes, to which a word becomes a link.
    """
    base = next(base for base in kind.__mro__ if name in inspect.get_annotations(base))
    text = inspect.get_annotations(base)[name]
    values = _choices(getattr(sys.modules[base.__module__], text, None))
    if values:
        return " or ".join(_link(v.__name__, known) if inspect.isclass(v) else f"`{v}`" for v in values)
    if text.startswith("Literal["):
        chosen, _, rest = text.removeprefix("Literal[").partition("]")
        words = " or ".join(f"`{value}`" for value in ast.literal_eval(f"({chosen},)"))
        return words + _words(rest, known)
    return _words(text, known)


def _words(text: str, known: Collection[str]) -> str:
    """Words an annotation without literals."""
    text = re.sub(r"^Annotated\[(\w+), .*\]$", r"\1", text).replace(" | ", " or ")
    text = re.sub(r"tuple\[(\w+), \.\.\.\]", r"list of \1", text)
    text = re.sub(r"dict\[\w+, (.+?)\]( or None)?$", r"object: name to \1\2", text)
    text = re.sub(r"tuple\[(.+)\]", r"list: \1", text)
    return re.sub(r"\b([A-Z]\w*|str|int|float|bool)\b", lambda word: _link(word[0], known), text)


def _link(word: str, known: Collection[str]) -> str:
    return f"[{word}](#{word.lower()})" if word in known else WORDS.get(word, word)


def sentence(text: str) -> str:
    """Makes a sentence of a meaning, if there is one: the names of some settings say enough."""
    return (text[:1].upper() + text[1:]).rstrip(".").replace("|", "\\|") + "." if text else ""


def default(value: object) -> str:
    """Words a default; one that is empty or a whole section only says that the field may be left out."""
    if value is None or value in ({}, (), "") or isinstance(value, BaseModel):
        return "May be left out."
    return f"Default: {json.dumps(value, default=str)}."


def _choices(alias: Any) -> tuple[Any, ...]:
    """Returns the values of an alias of `Literal`, or the members of one of a union of types."""
    return get_args(alias) if get_origin(alias) in (Literal, UnionType) else ()
