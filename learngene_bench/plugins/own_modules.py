"""Finds what a plugin file imports: modules of the user's own, which are part of its identity, and distributions.

Import statements are read, also those inside functions; so a module counts before its first use. What a plugin imports
while it is loaded counts however it does so. Only a name that a function computes cannot be seen, and is reported.
"""

from __future__ import annotations

import ast
import re
import sys
import sysconfig
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.machinery import ModuleSpec
from importlib.metadata import PackageNotFoundError, packages_distributions, requires, version
from pathlib import Path

from learngene_bench.util.errors import UserError
from learngene_bench.util.files import address_of, file_hash

_SUITE = "learngene_bench"
_INSTALLED = ("site-packages", "dist-packages")
"""Names of the folders that installers write to."""
_IMPORTERS = ("import_module", "__import__")
_LOADERS = ("exec", "run_path", "run_module", "spec_from_file_location", "SourceFileLoader")
"""Calls that may import a module whatever their arguments are."""

_seen: dict[str, tuple[ModuleSpec | None, str]] = {}
"""Spec of each of the user's own modules by name, None before it is imported, and the hash of its file then."""


@dataclass
class Imports:
    """Everything that a plugin file imports, directly or through modules of the user's own.

    Attributes:
        modules: files of the user's own modules by their dotted names, in the order of these.
        distributions: versions of installed distributions, without those that the suite itself needs.
        unseen: places that import a module whose name is known only when they run, as "FILE, line N".
    """

    modules: dict[str, Path] = field(default_factory=dict)
    distributions: dict[str, str] = field(default_factory=dict)
    unseen: list[str] = field(default_factory=list)

    def identity(self, plugin_hash: str) -> str:
        """Returns the identity of a plugin file that imports this; of a file that imports nothing, its SHA-256."""
        if not self.modules and not self.distributions:
            return plugin_hash
        modules = {name: file_hash(path) for name, path in self.modules.items()}
        return address_of({"plugin": plugin_hash, "modules": modules, "distributions": self.distributions})


def identity_of_editable(kind: type) -> str | None:
    """Returns the identity of a class by the user's own files: its module and all that this imports.

    None for a class of the suite, and of a distribution that is installed otherwise than editable: it changes with its
    version only.
    """
    path = _file_of(kind.__module__)
    if path is None or kind.__module__.partition(".")[0] == _SUITE or _is_installed(path):
        return None
    found = find_imports(path, package=kind.__module__.rpartition(".")[0])
    check_current({kind.__module__: path, **found.modules}, sys.modules)
    return found.identity(file_hash(path))


def check_current(modules: Mapping[str, Path], imported: Collection[str]) -> None:
    """Checks that this process has modules as their files are: Python imports a module once, however it is edited.

    Args:
        modules: files of the user's own modules, by name.
        imported: names of the modules that this process had before it looked for these.

    Raises:
        UserError: a file was edited after it was imported, so its hash would name other code than runs here.
    """
    for name, path in modules.items():
        spec, found = getattr(sys.modules.get(name), "__spec__", None), file_hash(path)
        before, hash_before = _seen.get(name, (spec, found))
        was_reloaded = before is not None and before is not spec
        if name in imported and not was_reloaded and hash_before != found:
            _seen[name] = spec, hash_before
            raise UserError(f"{path}: edited after this process imported it: start Python anew, or reload {name}")
        _seen[name] = spec, found


def find_imports(plugin: Path, loaded: Iterable[str] = (), package: str = "") -> Imports:
    """Finds what a plugin file imports.

    Args:
        loaded: names of the modules that were imported while the plugin was.
        package: the package that the file is a module of.

    Raises:
        OSError: a file cannot be read.
    """
    found, packages = Imports(), set[str]()
    names = [(name, False) for name in loaded]
    waiting = [*names, *((name, True) for name in _read_imports(plugin, package, found))]
    seen: set[tuple[str, bool]] = set()
    while waiting:
        name, is_named = waiting.pop()
        top = name.partition(".")[0]
        if (name, is_named) in seen or top == _SUITE or top in sys.stdlib_module_names:
            continue
        seen.add((name, is_named))
        path = _file_of(name)
        if path is None or path.resolve() == plugin.resolve():
            continue
        if _is_installed(path):
            packages |= {top} if is_named else set()
            continue
        if name in found.modules:
            continue
        found.modules[name] = path
        package = name if path.stem == "__init__" else name.rpartition(".")[0]
        if path.suffix == ".py":
            waiting += [(other, True) for other in _read_imports(path, package, found)]
    found.modules = dict(sorted(found.modules.items()))
    found.distributions = _versions(packages)
    return found


def _read_imports(path: Path, package: str, found: Imports) -> Iterator[str]:
    """Yields the names that a file imports, and those of their packages; notes the places where names are unknown."""
    try:
        tree = ast.parse(path.read_bytes(), str(path))
    except (SyntaxError, ValueError):
        return
    outside = _nodes_outside_functions(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = _from(node, package)
        elif isinstance(node, ast.Call) and (called := _name_of(node.func)) in (*_IMPORTERS, *_LOADERS):
            first = node.args[0].value if node.args and isinstance(node.args[0], ast.Constant) else None
            if called in _LOADERS or not isinstance(first, str):
                if node not in outside:  # what runs while the plugin is loaded is seen by its effect
                    found.unseen.append(f"{path}, line {node.lineno}")
                continue
            names = [first] if not first.startswith(".") else [f"{package}{first}"]
        else:
            continue
        for name in names:
            parts = name.split(".")
            yield from (".".join(parts[:end]) for end in range(1, len(parts) + 1))


def _nodes_outside_functions(tree: ast.Module) -> set[ast.AST]:
    found: set[ast.AST] = set()
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        found.add(node)
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            waiting += ast.iter_child_nodes(node)
    return found


def _from(node: ast.ImportFrom, package: str) -> list[str]:
    """Names of `from ... import ...`: the module, and each name of it, as that may be a module too."""
    start = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
    module = ".".join([*filter(None, start), *([node.module] if node.module else [])])
    names = [alias.name for alias in node.names if alias.name != "*"]
    return [module, *(f"{module}.{name}" for name in names)] if module else names


def _name_of(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _file_of(name: str) -> Path | None:
    """Returns the file of a module that is imported, or would be; nothing is imported to find out."""
    module = sys.modules.get(name)
    if module is not None:
        path = getattr(module, "__file__", None)
        return Path(path) if isinstance(path, str) and Path(path).is_file() else None
    spec = _spec_of(name)
    return Path(spec.origin) if spec and spec.origin and spec.has_location and Path(spec.origin).is_file() else None


def _spec_of(name: str) -> ModuleSpec | None:
    package, _, _ = name.rpartition(".")
    folders: Iterable[str] | None = None
    if package:
        parent = sys.modules.get(package)
        spec = _spec_of(package) if parent is None else getattr(parent, "__spec__", None)
        folders = spec.submodule_search_locations if spec else None
        if folders is None:
            return None
    for finder in sys.meta_path:
        if (find := getattr(finder, "find_spec", None)) and (found := find(name, folders)) is not None:
            return found
    return None


@cache
def _library_folders() -> tuple[Path, ...]:
    return tuple(Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib"))


def _is_installed(path: Path) -> bool:
    """Returns True for a file of Python's library or of an installed distribution, not for one installed editable."""
    parents = path.resolve().parents
    if any(parent.name in _INSTALLED for parent in parents):
        return True
    return any(folder in parents for folder in _library_folders()) or any(
        next(parent.glob("*.dist-info"), None) is not None for parent in parents if str(parent) in sys.path
    )


def _versions(packages: set[str]) -> dict[str, str]:
    """Returns the versions of the distributions that hold these packages, by the distributions' names."""
    if not packages:
        return {}
    known: Mapping[str, list[str]] = packages_distributions()
    names = {name for package in packages for name in known.get(package, ())}
    own = {_normal(re.split(r"[^\w.-]", line)[0]) for line in _requirements()} | {_normal(_SUITE)}
    return {name: version(name) for name in sorted(names) if _normal(name) not in own}


def _requirements() -> list[str]:
    try:
        return requires(_SUITE.replace("_", "-")) or []
    except PackageNotFoundError:
        return []


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
