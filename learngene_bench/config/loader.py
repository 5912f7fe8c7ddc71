"""Presets and grids as files: found by name, read from TOML, overridden with `--set key=value`, checked."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import ValidationError

from learngene_bench.config.grid import Grid
from learngene_bench.config.messages import format_validation_error
from learngene_bench.config.preset import Preset
from learngene_bench.config.section import Section
from learngene_bench.util.errors import UserError, unknown

SectionType = TypeVar("SectionType", bound=Section)


Kind = Literal["preset", "grid"]


def shipped(kind: Kind) -> dict[str, Path]:
    """The presets or grids that come with the suite: name to file."""
    folder = Path(str(resources.files("learngene_bench.tasks"))) / f"{kind}s"
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


_SIGN = {"grid": "axis", "preset": "tuning"}
"""A key that files of this kind have, and of the other kind and other TOML files (`pyproject.toml`) have not."""


def own(kind: Kind) -> dict[str, Path]:
    """The presets or grids in the working folder: name, which is that of the file, to file."""
    return {
        path.stem: path
        for path in sorted(Path().glob("*.toml"))
        if path.stem not in shipped(kind) and _SIGN[kind] in _readable(path)
    }


def title(path: Path) -> str:
    """What a preset or grid calls itself, or what is wrong with it."""
    try:
        return str(_read(path)["title"])
    except (UserError, KeyError) as error:
        return f"title is missing ({path})" if isinstance(error, KeyError) else str(error)


def load_preset(name_or_file: str, overrides: Mapping[str, Any] | None = None) -> Preset:
    """Reads a preset by name or from a TOML file; `overrides` maps dotted keys to values.

    Raises:
        UserError: no such preset or file, not TOML, a wrong key or type.
    """
    path = _find("preset", name_or_file)
    values, overrides = _read(path), overrides or {}
    # Before any override, whose order must not matter.
    _forget_options_of_another(values, "data", overrides)
    downstream = values.get("downstream")
    tasks = downstream.get("tasks") if isinstance(downstream, dict) else None
    for name, task in (tasks if isinstance(tasks, dict) else {}).items():
        if isinstance(task, dict):
            _forget_options_of_another(task, f"downstream.tasks.{name}.data", overrides)
    return _build(Preset, values, overrides, where=str(path))


def _forget_options_of_another(section: dict[str, Any], dotted: str, overrides: Mapping[str, Any]) -> None:
    """Empties a section's `data` if its data set is overridden.

    Options belong to one data set: another would refuse them or, worse, share a name with one and take its value.
    """
    own = section.get("data")
    if isinstance(own, dict) and overrides.get(f"{dotted}.name", own.get("name")) != own.get("name"):
        section["data"] = {}


def load_grid(name_or_file: str, overrides: Mapping[str, Any] | None = None) -> Grid:
    """Reads a grid by name or from a TOML file; see `load_preset`."""
    path = _find("grid", name_or_file)
    return _build(Grid, _read(path), overrides or {}, where=str(path))


def build_options(kind: type[SectionType], values: Mapping[str, Any], where: str) -> SectionType:
    """Validates the options of a method or data set.

    Raises:
        UserError: naming `where`, the wrong key and the valid ones.
    """
    return _build(kind, dict(values), {}, where)


def parse_override(text: str) -> tuple[str, Any]:
    """Splits `key=value`; the value is read as TOML (`3`, `true`, `[4, 6]`), else taken as a string."""
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise UserError(f"--set {text!r}: expected key=value, as in --set tuning.epochs=5")
    try:
        return key.strip(), tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return key.strip(), value.strip()


def _find(kind: Kind, name_or_file: str) -> Path:
    known = shipped(kind)
    if name_or_file in known:
        return known[name_or_file]
    if name_or_file.endswith(".toml"):
        path = Path(name_or_file)
        if not path.is_file():
            raise UserError(f"{kind} file not found: {name_or_file}")
        return path
    mine = own(kind)
    if name_or_file in mine:
        return mine[name_or_file]
    raise unknown(kind, name_or_file, [*known, *mine])


def _readable(path: Path) -> dict[str, Any]:
    """What a TOML file holds; nothing where it cannot be read, as it may have nothing to do with us."""
    try:
        return _read(path)
    except UserError:
        return {}


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not valid TOML: {error}") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error


def _build(kind: type[SectionType], values: dict[str, Any], overrides: Mapping[str, Any], where: str) -> SectionType:
    for dotted, value in overrides.items():
        _assign(values, dotted, value)
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        dotted = ".".join(str(part) for part in error.errors()[0]["loc"])
        # What is wrong with several keys together has no place: the file was right before it was overridden.
        overridden = any(
            not dotted or dotted == key or dotted.startswith(f"{key}.") or key.startswith(f"{dotted}.")
            for key in overrides
        )
        raise UserError(f"{'--set' if overridden else where}: {format_validation_error(kind, error)}") from error


def _assign(values: dict[str, Any], dotted: str, value: Any) -> None:
    *parents, last = dotted.split(".")
    for name in parents:
        values = values.setdefault(name, {})
        if not isinstance(values, dict):
            raise UserError(f"--set {dotted}: {name!r} is a value, not a section")
    values[last] = value
    # A recipe has one length: setting one replaces the other.
    if last in ("epochs", "iterations"):
        values.pop("iterations" if last == "epochs" else "epochs", None)
