"""Finds initializers, data sets and converters: entry points, and files given as `--plugin`. Knows none by name."""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import re
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from learngene_bench.config.loader import build_options
from learngene_bench.config.preset import Preset
from learngene_bench.config.recipe import RECIPES, follow_fallbacks
from learngene_bench.contracts.dataset import Dataset
from learngene_bench.contracts.initializer import Group, Initializer
from learngene_bench.util.errors import UserError, unknown

if TYPE_CHECKING:
    from torch import Tensor

Converter = Callable[[Path], "Mapping[str, Tensor]"]
"""Reads a file that a method's authors published, however unsafe to read, as what `--set NAME.weights=` takes.

Raises `UserError` where it holds anything else than what it should.
"""


@dataclass(frozen=True)
class Registered:
    """An initializer and where it comes from.

    Attributes:
        source_hash: of a plugin file: editing the file makes other results; None for an installed package, whose
            methods carry a version.
    """

    kind: type[Initializer]
    origin: str
    source_hash: str | None = None

    def create(self, options: dict[str, Any]) -> Initializer:
        """Raises `UserError` for a wrong option."""
        return self.kind(build_options(self.kind.Options, options, f"--set {self.kind.name}"))


@dataclass
class Registry:
    """All initializers that can be had by name."""

    plugins: Sequence[Path] = ()
    _from_files: dict[str, Registered] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for path in self.plugins:
            for kind, source_hash in _load_plugin(path):
                self._from_files[kind.name] = Registered(kind, str(path), source_hash)

    def names(self) -> list[str]:
        return sorted({*_entry_points("learngene_bench.initializers"), *self._from_files})

    def get(self, name: str) -> Registered:
        """Raises `UserError` for an unknown name, or a plugin that cannot be imported."""
        if name in self._from_files:
            return self._from_files[name]
        found = _entry_points("learngene_bench.initializers").get(name)
        if found is None:
            raise unknown("method", name, self.names())
        kind = _load(found)
        if not (inspect.isclass(kind) and issubclass(kind, Initializer)):
            raise UserError(f"method {name!r}: {found.value} is not an Initializer")
        check_identity(kind, f"method {name!r}")
        return Registered(kind, found.dist.name if found.dist else found.value)

    def recipe_fallbacks(self) -> dict[str, str]:
        """Collects the recipes that methods declare, each with the recipe that stands in for it.

        Imports every method, so call it only where a name is none of the harness's own.

        Raises:
            UserError: two methods declare one recipe with different fallbacks; a method cannot be imported.
        """
        declared: dict[str, str] = {}
        for name in self.names():
            for recipe, fallback in self.get(name).kind.recipe_fallbacks.items():
                if declared.setdefault(recipe, fallback) != fallback:
                    raise UserError(
                        f"method {name!r}: its recipe {recipe!r} falls back to {fallback!r}, that of another method to "
                        f"{declared[recipe]!r}"
                    )
        return declared


def dataset(settings: dict[str, Any]) -> Dataset:
    """The data set of a preset's `[data]` section.

    Raises:
        UserError: no or an unknown name, a wrong option.
    """
    name = str(settings.get("name"))
    kind = dataset_kind(name)
    return kind(build_options(kind.Options, {k: v for k, v in settings.items() if k != "name"}, f"data ({name})"))


def dataset_kind(name: str) -> type[Dataset]:
    """The class of a data set. Raises `UserError` for an unknown name."""
    known = _entry_points("learngene_bench.datasets")
    if name not in known:
        raise unknown("data set", name, known)
    kind: type[Dataset] = _load(known[name])
    return kind


def dataset_names() -> list[str]:
    return sorted(_entry_points("learngene_bench.datasets"))


def converter(method: str) -> Converter:
    """Finds the function that reads the published files of a method, in the group `learngene_bench.converters`.

    Raises:
        UserError: it has none.
    """
    found = _entry_points("learngene_bench.converters").get(method)
    if found is None:
        raise unknown("converter", method, converter_names())
    read: Converter = _load(found)
    return read


def converter_names() -> list[str]:
    """Methods that have a converter."""
    return sorted(_entry_points("learngene_bench.converters"))


@lru_cache
def _entry_points(group: str) -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=group)}


def _load(point: EntryPoint) -> Any:
    try:
        return point.load()
    except Exception as error:
        raise UserError(f"plugin {point.name!r} ({point.value}) cannot be imported: {_one_line(error)}") from error


def _load_plugin(path: Path) -> list[tuple[type[Initializer], str]]:
    """The initializers that a Python file defines, with the hash of the file."""
    try:
        source_hash = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise UserError(f"plugin file {path}: {error.strerror}") from error
    module_name = f"learngene_bench_plugin_{source_hash[:12]}"
    spec = importlib.util.spec_from_file_location(module_name, path)
    if spec is None or spec.loader is None:
        raise UserError(f"plugin file {path}: not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        trace = traceback.extract_tb(error.__traceback__)
        frames = [frame for frame in trace if Path(frame.filename).resolve() == path.resolve()]
        line = f", line {frames[-1].lineno}" if frames else ""
        raise UserError(f"plugin {path}{line}: {_one_line(error)}") from error
    kinds = [
        kind
        for kind in vars(module).values()
        if inspect.isclass(kind) and issubclass(kind, Initializer) and kind.__module__ == module_name
    ]
    concrete = [kind for kind in kinds if not inspect.isabstract(kind)]
    if not concrete:
        raise UserError(f"plugin {path}: defines no Initializer with an initialize() method")
    for kind in concrete:
        check_identity(kind, f"plugin {path}")
    return [(kind, source_hash) for kind in concrete]


def check_identity(kind: type[Initializer], where: str) -> None:
    """Raises `UserError` if a method cannot be called by its name, or tables have no place for it."""
    if not isinstance(getattr(kind, "name", None), str) or not isinstance(getattr(kind, "title", None), str):
        raise UserError(f"{where}: class {kind.__name__} needs a name and a title")
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", kind.name):
        raise UserError(f"{where}: name {kind.name!r}: lower-case letters, digits and single hyphens, as in my-init")
    if kind.name in {*Preset.model_fields, *RECIPES, "grid", "all"}:
        raise UserError(f"{where}: name {kind.name!r} is taken: it means something else in --set or --method")
    for recipe in kind.recipe_fallbacks:
        if recipe in {*Preset.model_fields, *RECIPES, "grid"}:
            raise UserError(f"{where}: recipe_fallbacks: the name {recipe!r} is taken by the suite")
        if follow_fallbacks(recipe, RECIPES, kind.recipe_fallbacks) is None:
            raise UserError(f"{where}: recipe_fallbacks: {recipe!r} leads to none of {', '.join(RECIPES)}")
    if kind.group not in get_args(Group):
        raise unknown(f"group of {where}, class {kind.__name__},", kind.group, get_args(Group))


def _one_line(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0]}" if text else type(error).__name__
