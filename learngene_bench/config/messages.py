"""One-line messages for what pydantic finds wrong with settings, naming the place and the valid choices."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from learngene_bench.util.errors import unknown

_CHOICE = re.compile(r"(str|int|float|bool|path|none|json-or-python|function|constrained|literal|list|tuple|dict)\b.*")
"""Names that pydantic gives to the choices of a union, as the last part of a place."""


def format_validation_error(kind: type[BaseModel], error: ValidationError) -> str:
    """Says in one line what is wrong first, with the dotted key and what is valid there."""
    problems = error.errors()
    problem, place = problems[0], _place(problems[0]["loc"])
    dotted = ".".join(map(str, place))
    if problem["type"] == "extra_forbidden":
        return str(unknown("key", dotted, _keys_beside(kind, place)))
    if problem["type"] == "missing":
        missing = [other["loc"] for other in problems if other["type"] == "missing"]
        names = [".".join(map(str, other)) for other in missing if other[:-1] == place[:-1]]
        listed = " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
        return f"{listed} {'is' if len(names) == 1 else 'are'} missing"
    if problem["type"] == "model_type":
        return f"{dotted}: this is a section with keys of its own, not {_shown(problem['input'])}"
    where = f"{dotted}: " if dotted else ""  # what is wrong with all keys together has no place
    return where + format_value_error([other for other in problems if _place(other["loc"]) == place])


def format_value_error(problems: Sequence[Any]) -> str:
    """Says what is wrong with one value; each choice of a union has a problem of its own."""
    message, value = _message(problems), problems[0]["input"]
    given = "" if isinstance(value, dict | BaseModel) else _shown(value)
    given = f", not {given}" if given and given not in message else ""
    return f"{message[0].lower()}{message[1:]}{given}"


_EXPECTED = {
    "list_type": "a list",
    "dict_type": "a table",
    "string_type": "a text",
    "path_type": "a path",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
}
"""Words of TOML for what pydantic expects in words of Python."""


def _message(problems: Sequence[Any]) -> str:
    """Says what was expected of one value."""
    known = [problem for problem in problems if problem["type"] != "none_required"]
    expected = [_EXPECTED.get(problem["type"]) or _literal(problem) for problem in known]
    if not all(expected):
        return str(known[0]["msg"]).removeprefix("Value error, ")
    message = f"input should be {' or '.join(dict.fromkeys(map(str, expected)))}"
    if [problem["type"] for problem in known] == ["list_type"]:
        message += ", as in [4, 6]" if isinstance(known[0]["input"], int | float) else ', as in ["this", "that"]'
    return message


def _literal(problem: Any) -> str | None:
    """Returns the choices of a literal; None for any other problem."""
    return str(problem["ctx"]["expected"]) if problem["type"] == "literal_error" else None


def _place(location: tuple[int | str, ...]) -> tuple[int | str, ...]:
    """Returns the place of a value without the choice of a union that was tried there."""
    return location[:-1] if len(location) > 1 and _CHOICE.fullmatch(str(location[-1])) else location


def _shown(value: Any) -> str:
    """Returns a value as TOML has it."""
    return str(value).lower() if isinstance(value, bool) else repr(str(value) if isinstance(value, Path) else value)


def _keys_beside(kind: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """Lists the valid keys of the section that `location` lies in, dotted like the wrong one."""
    section, is_name = kind, False
    for part in location[:-1]:
        field = None if is_name else section.model_fields.get(str(part))
        section = _section_in(field.annotation) if field else section
        is_name = field is not None and getattr(field.annotation, "__origin__", None) is dict
    prefix = "".join(f"{part}." for part in location[:-1])
    return [f"{prefix}{name}" for name in section.model_fields]


def _section_in(annotation: Any) -> type[BaseModel]:
    """Finds the section type inside an annotation such as `Recipe | None` or `dict[str, Size]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for inner in getattr(annotation, "__args__", ()):
        found = _section_in(inner)
        if found is not BaseModel:
            return found
    return BaseModel
