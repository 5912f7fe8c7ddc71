"""Finds executors by their entry points in `learngene_bench.executors`."""

from __future__ import annotations

import inspect
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points

from learngene_bench.contracts.executor import Executor
from learngene_bench.util.errors import UserError, one_line, unknown

GROUP = "learngene_bench.executors"

RESERVED = frozenset({"ancestor", "gene", "cell", "plans", "report"})
"""Folders of a runs folder, which an executor's own folder must not be."""


def executor_names() -> list[str]:
    """Lists the names of all installed executors."""
    return sorted(_entry_points())


@lru_cache
def executor_class(name: str) -> type[Executor]:
    """Loads an executor's class.

    Raises:
        UserError: an unknown name, or a plugin that cannot be imported or is no executor.
    """
    points = _entry_points()
    if name not in points:
        raise unknown("executor", name, points)
    try:
        loaded = points[name].load()
    except Exception as error:
        raise UserError(f"executor {name!r} ({points[name].value}) cannot be imported: {one_line(error)}") from error
    if not (inspect.isclass(loaded) and issubclass(loaded, Executor)):
        raise UserError(f"executor {name!r}: {points[name].value} is not an Executor")
    if getattr(loaded, "name", None) != name:
        raise UserError(f"executor {name!r}: {points[name].value} calls itself {getattr(loaded, 'name', None)!r}")
    if name in RESERVED:
        raise UserError(f"executor {name!r}: the name is taken (taken: {', '.join(sorted(RESERVED))})")
    return loaded


def executor_classes() -> list[type[Executor]]:
    """Loads all executors that can be loaded; a broken one is reported when it is asked for by name."""
    found = []
    for name in executor_names():
        try:
            found.append(executor_class(name))
        except UserError:
            continue
    return found


@lru_cache
def _entry_points() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP)}
