"""Identity of the code that computes (commit, hash of its files), and a frozen copy for jobs that start later.

`submitit.helpers.RsyncSnapshot` copies a git checkout, needs git and rsync, and changes the current folder. The suite
may be installed as a wheel, its packages lie in several folders of the checkout, and plugin files lie elsewhere; so
this copies the files that Python imports.
"""

from __future__ import annotations

import hashlib
import importlib.util
import shutil
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from learngene_bench.util import provenance

_PARTS = ("learngene_bench", *(f"learngene_bench.{part}" for part in ("methods", "baselines", "tasks", "results")))
"""Packages of the suite that lie in folders of their own in its repository."""


@cache
def identity() -> dict[str, Any]:
    """Returns commit and dirtiness, where it is a checkout, and a hash of all files that numbers depend on."""
    digest = hashlib.sha256()
    for name, path in _files():
        if name.startswith("learngene_bench/results/") or path.suffix not in (".py", ".toml"):
            continue
        digest.update(f"{name} {path.stat().st_size}\n".encode())
        digest.update(path.read_bytes())
    return {**provenance.git(), "sha256": digest.hexdigest()}


def has_changed(submitted: dict[str, Any] | None) -> bool:
    """Returns True if this is not the code that a job was submitted with."""
    return submitted is not None and submitted["sha256"] != identity()["sha256"]


def snapshot(
    folder: Path, plugins: Sequence[Path], modules: Mapping[str, Path] | None = None
) -> tuple[Path, list[Path]]:
    """Copies the suite and plugin files.

    Args:
        modules: files of the modules that the plugins import, by dotted name; data beside them are not copied.

    Returns:
        The folder to put on Python's path, and the copies of the plugins.
    """
    for name, path in _files():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, target)
    for name, path in (modules or {}).items():
        package = folder.joinpath(*name.split("."))
        target = package / path.name if path.stem == "__init__" else package.parent / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, target)
    copies = []
    for number, plugin in enumerate(plugins):
        target = folder / "plugins" / str(number) / plugin.name
        target.parent.mkdir(parents=True, exist_ok=True)
        copies.append(Path(shutil.copy2(plugin, target)))
    return folder, copies


def _files() -> Iterator[tuple[str, Path]]:
    """Yields every file of the suite with its path in an installed one, in a fixed order."""
    for part in _PARTS:
        found = importlib.util.find_spec(part)
        assert found is not None
        for root in map(Path, found.submodule_search_locations or []):
            for path in sorted(root.rglob("*")):
                inside = path.relative_to(root)
                other = any(name.startswith(".") or name in ("__pycache__", "leaderboards") for name in inside.parts)
                if path.is_file() and not other:
                    yield f"{part.replace('.', '/')}/{inside.as_posix()}", path
