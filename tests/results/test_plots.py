from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from learngene_bench.cli.main import run_command
from learngene_bench.results import load, plots
from learngene_bench.results.plots import names
from learngene_bench.results.plots.page import Page
from learngene_bench.results.records.types import Results
from learngene_bench.util.errors import UserError

KINDS = sorted(plots.KINDS)


def draw(kind: str, results: Results, folder: Path) -> list[Path]:
    return plots.KINDS[kind](results, folder, 2)


def spend(flops: float, iterations: int = 38, batch: int = 32) -> dict[str, float]:
    images = iterations * batch
    return {"epochs": 2.0, "iterations": iterations, "images": images, "flops": flops, "seconds": 1.0}


@pytest.fixture
def costly(runs: Any) -> Any:
    """Two depths and seeds: he needs 100 for each target; wave 1,000 once, and 200 each, with 9,600 images before."""
    cells = []
    for seed in range(2):
        gene = {"gene": runs.gene(f"wave {seed}", 10)}
        for depth in (4, 6):
            nothing = spend(0, 0)
            once = {
                "ancestors": spend(400),
                "prepare": spend(600),
                "initialize": spend(100, 150, 64),
                "finetune": spend(100),
            }
            cells.append(runs.done(runs.cell("wave", depth, seed), 88.0 + depth + seed, 70.0, cost=once, inputs=gene))
            each = {"ancestors": nothing, "prepare": nothing, "initialize": nothing, "finetune": spend(100)}
            cells.append(runs.done(runs.cell("he", depth, seed), 40.0 + depth, 10.0 + seed, cost=each))
    runs.plan(cells)
    return runs


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("gaps", "reliability", "sweep")])
def test_the_same_results_give_the_same_bytes(costly: Any, tmp_path: Path, kind: str) -> None:
    results = load([costly.folder])
    first, second = (draw(kind, results, tmp_path / name) for name in ("first", "second"))
    assert {path.suffix for path in first} == {".png", ".pdf"}
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes()
        assert b"CreationDate" not in one.read_bytes()


def test_files_are_named_by_what_they_show(example: Any, tmp_path: Path) -> None:
    assert [path.name for path in plots.accuracy(load([example.folder]), tmp_path)] == [
        "accuracy-depth-digits-5d1e5d1e-protocol3.png",
        "accuracy-depth-digits-5d1e5d1e-protocol3.pdf",
    ]
    assert [path.name for path in plots.curves(load([example.folder]), tmp_path)][::2] == [
        "curves-depth-micro-digits-5d1e5d1e-protocol3.png",
        "curves-depth-mini-digits-5d1e5d1e-protocol3.png",
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_names_stay_in_the_folder_and_are_no_formulas(runs: Any, tmp_path: Path, kind: str) -> None:
    cells = [
        runs.done(runs.cell(method, 6, seed, title=f"$\\frac{{{method}", task=task, size="../<b>"), 50.0 + seed)
        for method in ("evil", "worse", "worst")
        for task in ("../$x", "b^_")
        for seed in range(2)
    ]
    runs.plan(cells, axis="task", grid="../grid", preset="../../etc")
    (tmp_path / "figures").mkdir()
    written = draw(kind, load([runs.folder]), tmp_path / "figures")
    assert sorted(path for path in tmp_path.rglob("*") if path.suffix in (".png", ".pdf")) == sorted(written)


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_complete_gives_no_figure(runs: Any, tmp_path: Path, kind: str) -> None:
    runs.plan([runs.cell("wave")])
    assert draw(kind, load([runs.folder]), tmp_path / "figures") == []


def test_a_folder_that_cannot_be_written_to(example: Any, tmp_path: Path) -> None:
    (tmp_path / "figures").write_text("a file")
    with pytest.raises(UserError, match=r"figures.* cannot be written"):
        plots.accuracy(load([example.folder]), tmp_path / "figures")


def test_curves_begin_where_initializing_ends(costly: Any, pages: list[Page], tmp_path: Path) -> None:
    plots.curves(load([costly.folder]), tmp_path)
    (page,) = pages
    shallow = page.figure.axes[0]
    he, wave = (line.get_xydata().tolist() for line in shallow.lines)
    assert he == [[0, 10.5], [608, 27.25], [1216, 44.0]]  # means of two seeds that begin at 10 and 11
    assert wave == [[9600, 70.0], [10208, 81.25], [10816, 92.5]]
    assert [axes.get_title(loc="left") for axes in page.figure.axes] == ["depth 4", "depth 6"]


def test_losses_are_those_of_training(costly: Any, pages: list[Page], tmp_path: Path) -> None:
    plots.losses(load([costly.folder]), tmp_path)
    (page,) = pages
    he, wave = (line.get_xydata().tolist() for line in page.figure.axes[0].lines)
    assert he == [[608, 1.5], [1216, 1.25]]  # none before the first step
    assert wave == [[10208, 1.5], [10816, 1.25]]


def test_what_is_not_tuned_is_a_level(costly: Any, pages: list[Page], tmp_path: Path) -> None:
    start = [{"epoch": 0.0, "iterations": 0, "loss": None, "metrics": {"top1": 93.0}}]
    costly.plan([costly.done(costly.cell("direct-pt", 4), 93.0, 93.0, curve=start)])
    plots.curves(load([costly.folder]), tmp_path)
    level = pages[0].figure.axes[0].lines[-1]
    assert level.get_xydata().tolist() == [[0, 93.0], [10816, 93.0]]


def test_the_front_is_drawn_through_what_lies_on_it(costly: Any, pages: list[Page], tmp_path: Path) -> None:
    plots.front(load([costly.folder]), tmp_path)
    for axes, flops in zip(pages[0].figure.axes, (1200.0, (1000 + 2 * 200) / 2), strict=True):
        he, wave, steps = (line.get_xydata().tolist() for line in axes.lines[:3])
        assert (he, wave) == ([[100.0, 45.0]], [[flops, 93.5]])
        assert steps[:2] == [he[0], wave[0]]
        assert steps[2][1] == 93.5


def test_costs_grow_with_the_targets(costly: Any, pages: list[Page], tmp_path: Path) -> None:
    plots.targets(load([costly.folder]), tmp_path)
    he, wave = (line.get_ydata().tolist() for line in pages[0].figure.axes[0].lines[:2])
    assert he == [100.0 * n for n in range(1, 11)]
    assert wave == [1000 + 200.0 * n for n in range(1, 11)]


def test_figures_are_as_wide_as_a_column_or_both(costly: Any, pages: list[Page], tmp_path: Path) -> None:
    results = load([costly.folder])
    for columns in (1, 2):
        plots.accuracy(results, tmp_path, columns)
    plots.targets(results, tmp_path, 2)  # one panel needs no more than a column
    assert [page.figure.get_figwidth() for page in pages] == [3.35, 7.0, 3.35]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("columns", [1, 2])
def test_nothing_leaves_the_figure(costly: Any, pages: list[Page], tmp_path: Path, kind: str, columns: int) -> None:
    cells = [
        costly.done(costly.cell("wave", d, s, variant=f"inheritance=interpolate, t={'x' * 12}"), 60.0 + d + s)
        for d in (4, 6)
        for s in range(2)
    ]
    costly.plan(cells)
    plots.KINDS[kind](load([costly.folder]), tmp_path, columns)
    for page in pages:
        drawn = page.figure.get_tightbbox()  # inches
        assert drawn.x0 >= 0
        assert drawn.y0 >= 0
        assert drawn.x1 <= page.figure.get_figwidth()
        assert drawn.y1 <= page.figure.get_figheight()


def test_names_at_the_line_ends_keep_apart() -> None:
    assert names.spread([0.1, 0.1, 0.98, 0.99], [0.1] * 4) == pytest.approx([0.1, 0.2, 0.9, 1.0])
    # A name on two lines takes twice the room, half of it on either side.
    assert names.spread([0.1, 0.1, 0.1], [0.1, 0.2, 0.1]) == pytest.approx([0.1, 0.25, 0.4])


def test_plot_writes_what_it_prints(costly: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        run_command(["plot", "front", "--runs", str(costly.folder), "-o", str(tmp_path / "new"), "--columns", "1"]) == 0
    )
    printed = capsys.readouterr().out.split()
    assert sorted(printed) == sorted(map(str, (tmp_path / "new").iterdir()))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["colour"], "unknown kind of figure 'colour'"),
        (["curves"], "nothing to draw: too few cells have all their seeds"),
    ],
)
def test_plot_says_what_it_cannot_do(
    runs: Any, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    runs.plan([runs.cell("wave")])
    assert run_command(["plot", *arguments, "--runs", str(runs.folder)]) == 2
    assert message in capsys.readouterr().err
