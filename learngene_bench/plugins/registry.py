"""Creates methods, data sets and converters by name: of installed packages, and of files given as `--plugin`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from learngene_bench.config.loader import build_options
from learngene_bench.contracts.dataset import DATASETS, Dataset
from learngene_bench.contracts.initializer import INITIALIZERS, Initializer
from learngene_bench.plugins.plugin_file import check_identity, load_plugin
from learngene_bench.util.entry_points import EntryPoints
from learngene_bench.util.errors import UserError, unknown

if TYPE_CHECKING:
    from torch import Tensor

Converter = Callable[[Path], "Mapping[str, Tensor]"]
"""Reads a file that a method's authors published, however unsafe to read, as what `--set NAME.weights=` takes.

Raises `UserError` where it holds anything else than what it should.
"""

CONVERTERS = EntryPoints("learngene_bench.converters", "converter")
"""Every `Converter`, by the name of its method."""


@dataclass(frozen=True)
class Registered:
    """A method and where it comes from.

    Attributes:
        origin: the package or the plugin file.
        source_hash: hash of a plugin file, as editing the file makes other results; None for an installed package,
            whose methods carry a version.
    """

    kind: type[Initializer]
    origin: str
    source_hash: str | None = None

    def create(self, options: Mapping[str, Any]) -> Initializer:
        """Creates the method with these options. Raises `UserError` for a wrong option."""
        return self.kind(build_options(self.kind.Options, options, f"--set {self.kind.name}"))


@dataclass
class Registry:
    """All methods by name: those of installed packages, and those of plugin files, which come first."""

    plugins: Sequence[Path] = ()
    _from_files: dict[str, Registered] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for path in self.plugins:
            for kind, source_hash in load_plugin(path):
                self._from_files[kind.name] = Registered(kind, str(path), source_hash)

    def names(self) -> list[str]:
        """Names in alphabetical order."""
        return sorted({*INITIALIZERS.names(), *self._from_files})

    def get(self, name: str) -> Registered:
        """Imports the method of this name.

        Raises:
            UserError: an unknown name, or a plugin that cannot be imported or is no method.
        """
        if name in self._from_files:
            return self._from_files[name]
        if name not in INITIALIZERS.names():
            raise unknown("method", name, self.names())  # which has the plugin files' names too
        kind = INITIALIZERS.get(name)
        check_identity(kind, f"method {name!r}")
        return Registered(kind, INITIALIZERS.origin(name))

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
    """Creates the data set of a preset's `[data]` section.

    Raises:
        UserError: no or an unknown name, a wrong option.
    """
    name = str(settings.get("name"))
    kind = DATASETS.get(name)
    return kind(build_options(kind.Options, {k: v for k, v in settings.items() if k != "name"}, f"data ({name})"))
