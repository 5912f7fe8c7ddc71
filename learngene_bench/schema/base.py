"""Reads and writes documents: one error line names the file, the place in it, and what to do."""

from __future__ import annotations

import json
import reprlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from learngene_bench.schema.constants import SCHEMA_VERSION
from learngene_bench.util.errors import DamagedFile, UserError
from learngene_bench.util.files import json_text, read_bytes, write_text

Scalar = str | int | float | bool | None
"""A value that JSON holds without nesting."""


class Document(BaseModel):
    """A file, or a part of one: immutable, of exact types, without unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class File(Document):
    """A whole file.

    Attributes:
        schema_version: version of the file's form.
    """

    schema_version: Annotated[int, Field(ge=SCHEMA_VERSION, le=SCHEMA_VERSION)] = SCHEMA_VERSION


def printable(text: str) -> str:
    """Puts a text on one line without control characters: names come from plugins and end on terminals."""
    if text.isprintable():
        return text
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


Text = Annotated[str, AfterValidator(printable)]
"""A text of one line that a terminal can show."""

Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
"""A SHA-256 in hexadecimal digits."""

Address = Sha256
"""The address of a stage: SHA-256 of its kind, its configuration and its inputs' addresses."""

Time = Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z$")]
"""A time in UTC, ISO 8601, to the second."""

Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]
"""Something that is spent or counted: finite, and not below zero."""


def _describes_a_model(spec: dict[str, Scalar]) -> dict[str, Scalar]:
    for name in ("depth", "width"):
        if type(spec.get(name)) is not int:
            raise ValueError(f"a model needs a whole number {name!r}")
    if not isinstance(spec.get("family"), str):
        raise ValueError("a model needs the name of its 'family'")
    return spec


ModelDescription = Annotated[dict[str, Scalar], AfterValidator(_describes_a_model)]
"""The fields of a `ModelSpec` by name: `family`, `depth`, `width`, and what else describes a model of the family."""


def _names_its_data(data: dict[str, Any]) -> dict[str, Any]:
    for name in ("name", "fingerprint"):
        if not isinstance(data.get(name), str):
            raise ValueError(f"data need a text {name!r}")
    return data


DataIdentity = Annotated[dict[str, Any], AfterValidator(_names_its_data)]
"""The part of a data set that decides a result: `name`, `fingerprint`, and its options except where it lies."""

_File = TypeVar("_File", bound=File)


def write(path: Path, document: File) -> None:
    """Writes a document whole or not at all.

    Raises:
        UserError: the disk is full, or the folder cannot be written to.
    """
    write_text(path, text_of(document))


def text_of(document: File) -> str:
    """Returns the text that `write` writes."""
    return json_text(document.model_dump(mode="json"))


def read_if_there(kind: type[_File], path: Path) -> _File | None:
    """Reads a document of this type; None if there is no such file. Errors are those of `read`."""
    try:
        return read(kind, path)
    except (FileNotFoundError, NotADirectoryError):
        return None


def read(kind: type[_File], path: Path) -> _File:
    """Reads a document of this type.

    Raises:
        FileNotFoundError, NotADirectoryError: there is no such file.
        DamagedFile: the file does not read as what it was written as.
        UserError: the file cannot be read, or is of another schema version.
    """
    try:
        content = read_bytes(path)
    except (FileNotFoundError, NotADirectoryError):
        raise
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None
    try:
        return parse(kind, content)
    except OtherVersion as error:
        raise UserError(f"{path} {error}") from None
    except ValueError as error:
        raise damaged(path, error) from None


def damaged(path: Path, problem: object) -> DamagedFile:
    """Returns the error for a file that no longer reads as what it was written as."""
    what = "it" if path.parent.name == "plans" else f"the folder {path.parent}"
    return DamagedFile(f"{path} is damaged ({problem}): move {what} away and run again")


class OtherVersion(ValueError):
    """A document of another schema version."""


def parse(kind: type[_File], content: bytes) -> _File:
    """Returns the document that a JSON text holds.

    Raises:
        OtherVersion: the document says so.
        ValueError: the text is not a document of this type; one line says why.
    """
    try:
        document = kind.model_validate_json(content)
    except ValidationError as error:
        version = _version(content)
        if type(version) is int and version != SCHEMA_VERSION:
            raise OtherVersion(
                f"has schema version {version}, and this learngene-bench reads version {SCHEMA_VERSION}: "
                "use the version that wrote it"
            ) from None
        raise ValueError(problem(error)) from None
    if "schema_version" not in document.model_fields_set:
        raise ValueError("it lacks 'schema_version'")
    return document


def _version(content: bytes) -> object:
    """The schema version that a text names; None if it names none."""
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return found.get("schema_version") if isinstance(found, Mapping) else None


def problem(error: ValidationError) -> str:
    """Returns the first thing that is wrong with a document: its place, and what was expected there."""
    first = error.errors(include_url=False, include_context=False)[0]
    place = ".".join(map(str, first["loc"]))
    if first["type"] == "missing":
        return f"it lacks {place!r}"
    if first["type"] == "extra_forbidden":
        return f"{place!r} is unknown"
    if first["type"] == "json_invalid":
        return f"it is not JSON, {first['msg'].removeprefix('Invalid JSON: ')}"
    message = first["msg"].removeprefix("Value error, ")
    message = f"{message[0].lower()}{message[1:]}"
    if first["type"] == "value_error" or not place:
        return f"{place!r}: {message}" if place else message
    given = f"{place!r} is {reprlib.repr(first['input'])}"
    if message.startswith("input should be "):
        return f"{given}, not {message.removeprefix('input should be ')}"
    return f"{given}: {message}"
