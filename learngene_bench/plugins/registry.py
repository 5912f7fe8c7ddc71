"""Creates methods, data sets and converters by name: of installed packages, and of files given as `--plugin`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from learngene_bench.config.loader import build_options
from learngene_bench.contracts.dataset import DATASETS, Dataset
from learngene_bench.contracts.initializer import INITIALIZERS, Initializer
from learngene_bench.plugins.own_modules import identity_of_editable
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
        source_hash: identity of a plugin file, or of the module of a package that is installed editable, with the
            modules that it imports, as editing one of them makes other results; None for any other installed package,
            whose methods carry a version.
        plugin: the plugin file; None for an installed package.
    """

    kind: type[Initializer]
    origin: str
    source_hash: str | None = None
    plugin: Path | None = None

    def create(self, options: Mapping[str, Any], where: str | None = None) -> Initializer:
        """Creates the method with these options.

        Args:
            where: place to blame for a wrong option; `--set NAME` if it is not given.

        Raises:
            UserError: an option is wrong.
        """
        return self.kind(build_options(self.kind.Options, options, where or f"--set {self.kind.name}"))


@dataclass
class Registry:
    """All methods by name: those of installed packages, and those of plugin files.

    Attributes:
        notes: what a user should know of the plugin files, a line each.

    Raises:
        UserError: a plugin file cannot be loaded, or a name is given to two methods.
    """

    plugins: Sequence[Path] = ()
    notes: list[str] = field(default_factory=list)
    _from_files: dict[str, Registered] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for path in {plugin.resolve(): plugin for plugin in self.plugins}.values():
            plugin = load_plugin(path)
            for kind in plugin.methods:
                self._check_free(kind, path)
                self._from_files[kind.name] = Registered(kind, str(path), plugin.identity, path)
            self.notes += [
                f"{place}: imports a module by a name that is computed; editing that module does not make new results"
                for place in plugin.imports.unseen
            ]

    def _check_free(self, kind: type[Initializer], path: Path) -> None:
        """Raises `UserError`, naming both, if another method has the name already."""
        owner = None
        if kind.name in self._from_files:
            other = self._from_files[kind.name]
            owner = f"class {other.kind.__name__} of {other.origin}"
        elif kind.name in INITIALIZERS.names():
            owner = f"a method of the installed package {INITIALIZERS.origin(kind.name)}"
        if owner is not None:
            raise UserError(
                f"plugin {path}: class {kind.__name__} is called {kind.name!r}, and so is {owner}: rename one of them"
            )

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
        return Registered(kind, INITIALIZERS.origin(name), identity_of_editable(kind))

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


def settings_anywhere(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the settings of a data set as they hold in any folder: jobs and `lgbench retry` may start in another."""
    options = dataset(settings).options
    read = options.model_dump(mode="json", include={*settings})
    paths = {name: value for name, value in options if name in settings and isinstance(value, Path)}
    return {**settings, **read, **{name: str(path.absolute()) for name, path in paths.items()}}


def dataset(settings: Mapping[str, Any]) -> Dataset:
    """Creates the data set of a preset's `[data]` section.

    Raises:
        UserError: no or an unknown name, a wrong option.
    """
    name = str(settings.get("name"))
    kind = DATASETS.get(name)
    return kind(build_options(kind.Options, {k: v for k, v in settings.items() if k != "name"}, f"data ({name})"))
