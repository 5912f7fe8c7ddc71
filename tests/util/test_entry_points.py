"""A broken plugin is one line that names it and what is wrong with it, and disturbs nobody else."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

import pytest

from learngene_bench.util.entry_points import Plugins
from learngene_bench.util.errors import UserError


class Toy(ABC):
    name: ClassVar[str]

    @abstractmethod
    def play(self) -> None: ...


MODULE = """
from tests_of_entry_points import Toy

class Good(Toy):
    name = "good"
    def play(self): pass

class Renamed(Good):
    name = "another"

class Unfinished(Toy):
    name = "unfinished"

other = 3
"""
POINTS = {
    "good": "toys:Good",
    "renamed": "toys:Renamed",
    "unfinished": "toys:Unfinished",
    "number": "toys:other",
    "missing": "toys:Missing",
    "broken": "broken_toys:Good",
}


@pytest.fixture
def toys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plugins[Toy]:
    for package, points in (("first", POINTS), ("second", {"good-too": "toys:Good", "unfinished": "toys:Good"})):
        info = tmp_path / f"{package}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        lines = [f"{name} = {value}" for name, value in points.items()]
        (info / "entry_points.txt").write_text("\n".join(["[tests.toys]", *lines]))
    (tmp_path / "toys.py").write_text(MODULE)
    (tmp_path / "broken_toys.py").write_text("1 / 0")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(__import__("sys").modules, "tests_of_entry_points", __import__(__name__))
    return Plugins("tests.toys", "toy", Toy)


def test_a_class_is_found_by_its_name(toys: Plugins[Toy]) -> None:
    assert "good" in toys.names()
    assert toys.get("good").name == "good"
    assert toys.origin("good") == "first"
    assert [kind.name for kind in toys.usable()] == ["good"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("god", "unknown toy 'god': did you mean 'good'"),
        ("renamed", "toy 'renamed': toys:Renamed needs the class attribute name = 'renamed', not 'another'"),
        ("number", "toy 'number': toys:other is no subclass of Toy"),
        ("missing", "toy 'missing' (toys:Missing) cannot be imported: AttributeError"),
        ("broken", "toy 'broken' (broken_toys:Good) cannot be imported: ZeroDivisionError: division by zero"),
        ("unfinished", "toy 'unfinished' is announced twice, as "),
    ],
)
def test_a_broken_one_is_one_line(toys: Plugins[Toy], name: str, message: str) -> None:
    with pytest.raises(UserError) as error:
        toys.get(name)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_an_unfinished_class_names_what_is_missing(toys: Plugins[Toy], tmp_path: Path) -> None:
    (tmp_path / "second-1.0.dist-info" / "entry_points.txt").unlink()
    with pytest.raises(UserError, match="toys:Unfinished does not define play"):
        Plugins[Toy]("tests.toys", "toy", Toy).get("unfinished")
