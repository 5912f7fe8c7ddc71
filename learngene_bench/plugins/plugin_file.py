"""Reads the methods of a Python file that is given as `--plugin`."""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import re
import sys
import traceback
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from learngene_bench.config.preset import Preset
from learngene_bench.config.recipe import RECIPES, follow_fallbacks
from learngene_bench.contracts.initializer import Group, Initializer
from learngene_bench.plugins.own_modules import Imports, check_current, find_imports
from learngene_bench.util.errors import UserError, describe_error, unknown

_loaded_by: dict[tuple[Path, str], set[str]] = {}
"""Names of the modules that a plugin file of this hash imported while it was loaded: only the first time it imports."""


@dataclass(frozen=True)
class PluginFile:
    """A plugin file that is loaded.

    Attributes:
        methods: the methods that it defines.
        identity: SHA-256 of the file, and of all that it imports but the suite and what the suite needs.
        imports: what it imports.
    """

    path: Path
    methods: Sequence[type[Initializer]]
    identity: str
    imports: Imports


def load_plugin(path: Path) -> PluginFile:
    """Imports a Python file and finds the methods that it defines.

    Raises:
        UserError: the file cannot be read or imported, or defines no method; the line names where. Or a module that it
            imports was edited after this process imported it.
    """
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
    before = set(sys.modules)
    try:
        with redirect_stdout(sys.stderr):  # standard output is for what a command answers, also as JSON
            spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        trace = traceback.extract_tb(error.__traceback__)
        frames = [frame for frame in trace if Path(frame.filename).resolve() == path.resolve()]
        line = f", line {frames[-1].lineno}" if frames else ""
        raise UserError(f"plugin {path}{line}: {describe_error(error)}") from error
    classes = [kind for kind in vars(module).values() if inspect.isclass(kind) and kind.__module__ == module_name]
    methods = [kind for kind in classes if issubclass(kind, Initializer) and not inspect.isabstract(kind)]
    if not methods:
        raise UserError(f"plugin {path}: defines no Initializer with an initialize() method")
    for kind in methods:
        check_identity(kind, f"plugin {path}")
    loaded = _loaded_by.setdefault((path.resolve(), source_hash), set())
    loaded |= sys.modules.keys() - before
    imports = find_imports(path, loaded)
    check_current(imports.modules, before)
    return PluginFile(path, methods, imports.identity(source_hash), imports)


def check_identity(kind: type[Initializer], where: str) -> None:
    """Checks that a method can be called by its name, and that tables have a place for it.

    Raises:
        UserError: naming `where` and what is wrong.
    """
    if not isinstance(getattr(kind, "name", None), str) or not isinstance(getattr(kind, "title", None), str):
        raise UserError(f"{where}: class {kind.__name__} needs a name and a title")
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", kind.name):
        raise UserError(f"{where}: name {kind.name!r}: lower-case letters, digits and single hyphens, as in my-init")
    taken = {*Preset.model_fields, *RECIPES, "grid"}
    if kind.name in {*taken, "all"}:
        raise UserError(f"{where}: name {kind.name!r} is taken: it means something else in --set or --method")
    for recipe in kind.recipe_fallbacks:
        if recipe in taken:
            raise UserError(f"{where}: recipe_fallbacks: the name {recipe!r} is taken by the suite")
        if follow_fallbacks(recipe, RECIPES, kind.recipe_fallbacks) is None:
            raise UserError(f"{where}: recipe_fallbacks: {recipe!r} leads to none of {', '.join(RECIPES)}")
    if kind.group not in get_args(Group):
        raise unknown(f"group of {where}, class {kind.__name__},", kind.group, get_args(Group))
