from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from learngene_bench.errors import UserError
from learngene_bench.results import load, plots
from learngene_bench.results.plots import names


def test_the_same_results_give_the_same_bytes(example: Any, tmp_path: Path) -> None:
    results = load([example.folder])
    first, second = (plots.accuracy(results, tmp_path / name) for name in ("first", "second"))
    assert [path.name for path in first] == [
        "accuracy-depth-digits-5d1e5d1e-protocol1.png",
        "accuracy-depth-digits-5d1e5d1e-protocol1.pdf",
    ]
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes()
        assert b"CreationDate" not in one.read_bytes()


def test_names_stay_in_the_folder_and_are_no_formulas(runs: Any, tmp_path: Path) -> None:
    cells = [runs.done(runs.cell("evil", 6, title="$\\frac{", task=task), 50.0) for task in ("../$x", "b")]
    runs.plan(cells, axis="task", preset="../../etc")
    (tmp_path / "figures").mkdir()
    written = plots.accuracy(load([runs.folder]), tmp_path / "figures")
    assert sorted(tmp_path.rglob("*.p[nd][gf]")) == sorted(written)


def test_nothing_complete_gives_no_figure(runs: Any, tmp_path: Path) -> None:
    runs.plan([runs.cell("wave")])
    assert plots.accuracy(load([runs.folder]), tmp_path / "figures") == []


def test_a_folder_that_cannot_be_written_to(example: Any, tmp_path: Path) -> None:
    (tmp_path / "figures").write_text("a file")
    with pytest.raises(UserError, match=r"figures.* cannot be written"):
        plots.accuracy(load([example.folder]), tmp_path / "figures")


def test_names_at_the_line_ends_keep_apart() -> None:
    assert names.apart([0.1, 0.1, 0.98, 0.99], [0.1] * 4) == pytest.approx([0.1, 0.2, 0.9, 1.0])
    # A name on two lines takes twice the room, half of it on either side.
    assert names.apart([0.1, 0.1, 0.1], [0.1, 0.2, 0.1]) == pytest.approx([0.1, 0.25, 0.4])
