"""Reads the import graph of the package and checks it against the layers of docs/architecture.md.

    python tools/architecture.py    # one line for each fault; exit status 1 if there is any

Every import counts, also one inside a function or under TYPE_CHECKING. tests/test_architecture.py runs the same checks,
tools/draw_architecture.py draws the same graph.
"""

from __future__ import annotations

import ast
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "learngene_bench"

LAYERS = {
    "version": "version, protocol",
    "util": "errors, files, random streams",
    "distributed": "several processes, one model",
    "config": "presets, grids, --set",
    "schema": "configurations, records, addresses",
    "contracts": "what a plugin implements",
    "plugins": "finds implementations",
    "models": "families of models",
    "expansion": "from a gene to weights",
    "data": "images to batches",
    "training": "the loop, evaluation",
    "planning": "cells and their stages",
    "runs": "folders of results",
    "tracking": "curves for trackers",
    "execution": "computes stages",
    "conformance": "lgbench check",
    "results": "records to tables",
    "analysis": "lgbench analyze",
    "cli": "the command lgbench",
    "api": "initialize, run, load",
}
"""The rooms from bottom to top, and what is in them. A room may import the rooms before it."""

IMPLEMENTATIONS = {
    "methods": "learngene initializers",
    "baselines": "all other initializers",
    "tasks": "grids, presets, data sets",
}
"""Rooms that are found by entry point: they may import everything up to `training`, and no room imports them."""

RESULTS_MAY_IMPORT = ("version", "util", "config", "schema", "contracts")
"""Tables must be made without torch, so `results` sees fewer rooms than its place in the layers would allow."""

FACADE = "__init__"
"""`learngene_bench/__init__.py`, and `__main__.py`: they may import every room, and no room imports them."""

MOST_TOP_LEVEL_MODULES = 5
MOST_LINES = 350
MOST_LINES_OF_A_METHOD = 120
"""Most lines of a module of a method, its docstring included."""
LONG_METHODS = ("methods.wave.", "baselines.ghn3.")
"""Methods that may have longer modules: WAVE, for three families of models, and GHN-3, with a network of its own."""


@dataclass(frozen=True)
class ImportGraph:
    """The modules of the package and what they import.

    Attributes:
        files: the file of each module, by the module's name without "learngene_bench.".
        imports: the modules that each module imports, by the same names.
    """

    files: dict[str, Path]
    imports: dict[str, set[str]]

    def arrows(self) -> Iterator[tuple[str, str]]:
        """Yields every import as (importing module, imported module), sorted."""
        for module in sorted(self.imports):
            for imported in sorted(self.imports[module]):
                yield module, imported

    def room_arrows(self) -> Counter[tuple[str, str]]:
        """Counts the imports between different rooms, as (importing room, imported room)."""
        rooms = ((room_of(module), room_of(imported)) for module, imported in self.arrows())
        return Counter(pair for pair in rooms if pair[0] != pair[1])


def read_import_graph(root: Path = ROOT) -> ImportGraph:
    """Parses every module of the package in the folders that setuptools' `package-dir` names."""
    settings = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    files = {}
    for package, folder in settings["tool"]["setuptools"]["package-dir"].items():
        for path in sorted((root / folder).rglob("*.py")):
            parts = (*package.split(".")[1:], *path.relative_to(root / folder).with_suffix("").parts)
            name = ".".join(parts)
            files[name if name == FACADE else name.removesuffix(f".{FACADE}")] = path
    imports = {module: set(_imported(path, files)) - {module} for module, path in files.items()}
    return ImportGraph(files, imports)


def _imported(path: Path, modules: dict[str, Path]) -> Iterator[str]:
    """Yields the package's modules that a file imports; a package stands for a name that is no module of it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                raise SystemExit(f"{path}:{node.lineno}: write the import with the full name of the module")
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            top, _, rest = name.partition(".")
            if top == PACKAGE:
                yield next((n for n in (rest, rest.rpartition(".")[0]) if n in modules), FACADE)


def room_of(module: str) -> str:
    """The room of a module: its first folder, or its own name directly in the package."""
    room = module.partition(".")[0]
    return FACADE if room == "__main__" else room


def height(room: str) -> int:
    """The place of a room in the layers, counted from the bottom; implementations stand beside what they may use."""
    return list(LAYERS).index("training" if room in IMPLEMENTATIONS else room)


def may_import(importer: str, imported: str) -> bool:
    """True if the layers allow an import from one room to another."""
    if importer in (imported, FACADE):
        return True
    if imported not in LAYERS:
        return False
    if importer == "results":
        return imported in RESULTS_MAY_IMPORT
    if importer in IMPLEMENTATIONS:
        return height(imported) <= height(importer)
    return importer in LAYERS and height(imported) < height(importer)


def upward_imports(graph: ImportGraph) -> list[str]:
    """Names the imports that the layers forbid."""
    return [f"{a} -> {b}" for a, b in graph.arrows() if not may_import(room_of(a), room_of(b))]


def sibling_imports(graph: ImportGraph) -> list[str]:
    """Names the imports of one method by another."""
    pairs = ((a, b) for a, b in graph.arrows() if room_of(a) == room_of(b) and room_of(a) in ("methods", "baselines"))
    return [f"{a} -> {b}" for a, b in pairs if a.split(".")[1:2] != b.split(".")[1:2]]


def cycles(graph: ImportGraph) -> list[str]:
    """Names cycles of imports, no module twice."""
    imports = graph.imports
    found = []
    while True:
        try:
            TopologicalSorter(imports).prepare()
        except CycleError as error:
            cycle = error.args[1]  # each module is imported by the next one, the last is the first
            found.append(" -> ".join(reversed(cycle)))
            imports = {m: imported - set(cycle) for m, imported in imports.items() if m not in cycle}
        else:
            return found


def top_level_modules(graph: ImportGraph) -> list[str]:
    """Names the modules directly in the package if they are too many."""
    modules = [module for module, path in graph.files.items() if path.parent.name == PACKAGE]
    return modules if len(modules) > MOST_TOP_LEVEL_MODULES else []


def long_files(graph: ImportGraph) -> list[str]:
    """Names the modules with too many lines."""
    lengths = {m: len(path.read_text(encoding="utf-8").splitlines()) for m, path in graph.files.items()}
    return [f"{module}: {lines} lines" for module, lines in sorted(lengths.items()) if lines > MOST_LINES]


def long_methods(graph: ImportGraph) -> list[str]:
    """Names the modules of methods that are longer than a method should be, without those that may be."""
    found = []
    for module, path in sorted(graph.files.items()):
        lines = len(path.read_text(encoding="utf-8").splitlines())
        if room_of(module) in ("methods", "baselines") and not module.startswith(LONG_METHODS):
            found += [f"{module}: {lines} lines"] if lines > MOST_LINES_OF_A_METHOD else []
    return found


CHECKS = {
    "imports against the layers": upward_imports,
    "one method imports another": sibling_imports,
    "cycles of imports": cycles,
    f"more than {MOST_TOP_LEVEL_MODULES} modules directly in {PACKAGE}/": top_level_modules,
    f"files of more than {MOST_LINES} lines": long_files,
    f"methods of more than {MOST_LINES_OF_A_METHOD} lines": long_methods,
}
"""Every check by what it finds: a function from the graph to one text for each fault."""


def main() -> None:
    """Prints the faults, one a line."""
    graph = read_import_graph()
    faults = [f"{name}: {fault}" for name, check in CHECKS.items() for fault in check(graph)]
    print(*faults or ["no fault"], sep="\n")
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
