"""One-line messages for what pydantic finds wrong with settings, naming the place and the valid choices."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ValidationError

from learngene_bench.util.errors import unknown


def format_validation_error(kind: type[BaseModel], error: ValidationError) -> str:
    """Says in one line what is wrong first, with the dotted key and what is valid there."""
    problem = error.errors()[0]
    dotted = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        return str(unknown("key", dotted, _keys_beside(kind, problem["loc"])))
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "missing":
        missing = [other["loc"] for other in error.errors() if other["type"] == "missing"]
        names = [".".join(map(str, place)) for place in missing if place[:-1] == problem["loc"][:-1]]
        listed = " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
        return f"{listed} {'is' if len(names) == 1 else 'are'} missing"
    if problem["type"] == "model_type":
        return f"{dotted}: this is a section with keys of its own, not {problem['input']!r}"
    if problem["type"] == "list_type":
        message += ", as in [4, 6]" if isinstance(problem["input"], int | float) else ', as in ["this", "that"]'
    given = "" if isinstance(problem["input"], dict | BaseModel) else f", not {problem['input']!r}"
    place = f"{dotted}: " if dotted else ""  # what is wrong with all keys together has no place
    return f"{place}{message[0].lower()}{message[1:]}{given}"


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
