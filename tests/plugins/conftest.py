"""Packages that announce the plugins of this folder, as pip would install them, for processes of their own."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from forked import MAIN, run

Lgbench = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def installed(tmp_path: Path) -> Callable[[Mapping[str, Mapping[str, str]]], Lgbench]:
    """Gives a function that announces entry points, and gives `lgbench` in an environment that has them.

    Its argument maps groups to names to objects: {"learngene_bench.families": {"mixer": "toy_mixer:Mixers"}}.
    Worker processes inherit the environment.
    """

    def announce(groups: Mapping[str, Mapping[str, str]]) -> Lgbench:
        package = tmp_path / "site" / "toy_plugins-1.0.dist-info"
        package.mkdir(parents=True)
        (package / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-plugins\nVersion: 1.0\n")
        lines = [line for group, points in groups.items() for line in (f"[{group}]", *_lines(points))]
        (package / "entry_points.txt").write_text("\n".join(lines) + "\n")
        path = os.pathsep.join([str(package.parent), str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])

        def lgbench(*arguments: str, status: int = 0) -> subprocess.CompletedProcess[str]:
            environment = {**os.environ, "PYTHONPATH": path, "COLUMNS": "120"}
            paths = [package.parent, Path(__file__).parent]
            done = run(MAIN, argv=arguments, environment=environment, folder=tmp_path, path=paths)
            assert done.returncode == status, done.stderr + done.stdout
            return done

        return lgbench

    return announce


def _lines(points: Mapping[str, str]) -> list[str]:
    return [f"{name} = {value}" for name, value in points.items()]
