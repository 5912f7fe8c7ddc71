"""The installed package holds everything: packages and the files that they read."""

from __future__ import annotations

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]


def folder_of(package: str) -> Path:
    """Returns the folder of a package in the repository, as setuptools finds it."""
    places: dict[str, str] = SETTINGS["package-dir"]
    known = max((name for name in places if package == name or package.startswith(f"{name}.")), key=len)
    return ROOT / places[known] / package.removeprefix(known).strip(".").replace(".", "/")


def test_every_package_is_listed() -> None:
    listed = {folder_of(package) for package in SETTINGS["packages"]}
    found = {path.parent for place in SETTINGS["package-dir"].values() for path in (ROOT / place).rglob("__init__.py")}
    assert listed == found


def test_every_file_that_is_no_code_is_listed_or_only_for_readers() -> None:
    data = {
        path
        for package, patterns in SETTINGS["package-data"].items()
        for pattern in patterns
        for path in folder_of(package).glob(pattern)
    }
    for place in SETTINGS["package-dir"].values():
        for path in (ROOT / place).rglob("*"):
            kept = path.suffix in (".py", ".pyc", ".md") or "leaderboards" in path.parts
            assert kept or path.is_dir() or path in data, path


def test_no_two_files_of_tests_have_one_name() -> None:
    """Pytest imports a file by its name alone, and refuses the second of a name only if it is asked for both."""
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert sorted(set(names)) == sorted(names)
