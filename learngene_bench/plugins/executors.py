"""Finds executors, and refuses names that an executor must not have."""

from __future__ import annotations

from learngene_bench.contracts.executor import EXECUTORS, Executor
from learngene_bench.util.errors import UserError

RESERVED = frozenset({"ancestor", "gene", "cell", "plans", "report"})
"""Folders of a runs folder, which an executor's own folder must not be."""


def executor_names() -> list[str]:
    """Lists the names of all installed executors."""
    return EXECUTORS.names()


def executor_class(name: str) -> type[Executor]:
    """Loads an executor's class.

    Raises:
        UserError: an unknown name, or a plugin that cannot be imported or is no executor.
    """
    if name in RESERVED:
        raise UserError(f"executor {name!r}: the name is taken (taken: {', '.join(sorted(RESERVED))})")
    return EXECUTORS.get(name)


def executor_classes() -> list[type[Executor]]:
    """Loads all executors that can be loaded; a broken one is reported when it is asked for by name."""
    return [kind for kind in EXECUTORS.usable() if kind.name not in RESERVED]
