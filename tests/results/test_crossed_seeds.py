"""Results of crossed seeds: tables have independent runs, nothing is lost, and plans of both kinds go together."""

from __future__ import annotations

from pathlib import Path

import pytest
from recorded_runs import RecordedRuns, record_plan

from learngene_bench.planning.planner import make_plan
from learngene_bench.planning.request import build_request
from learngene_bench.planning.stages import StageMaker
from learngene_bench.plugins.registry import Registry
from learngene_bench.results import load, make_tables
from learngene_bench.results.leaderboard import manage
from learngene_bench.results.records.grouping import SeedPair, TableCells
from learngene_bench.results.records.selection import planned_cells, table_cells
from learngene_bench.results.tables import tidy
from learngene_bench.runs.listing import find_one_finished
from learngene_bench.schema.seeds import parse_seeds
from learngene_bench.util.errors import UserError

METHODS = "wave,he,direct-pt"


def recorded(folder: Path, seeds: str, methods: str = METHODS, created: int = 0, *settings: str) -> RecordedRuns:
    overrides = ["grid.depths=[4]", *settings]
    plan = make_plan(build_request(methods, "depth", "digits", parse_seeds(seeds), overrides, Registry(), False))
    return record_plan(folder, plan, f"2026-11-20T12:00:{created:02}Z")


def cells_of(folder: Path) -> TableCells:
    (found,) = table_cells(load([folder]))
    return found


def by_method(cells: TableCells) -> dict[str, list[int]]:
    return {row.method: sorted(seeds) for (row, _), seeds in cells.cells.items()}


def pairs(cells: TableCells) -> dict[str, set[SeedPair]]:
    return {row.method: {*found} for (row, _), found in cells.crossed.items()}


def test_a_table_has_independent_runs_of_as_many_seeds_for_each_method(tmp_path: Path) -> None:
    recorded(tmp_path, "2x3")
    cells = cells_of(tmp_path)
    assert by_method(cells) == {"wave": [0, 1], "he": [0, 1], "direct-pt": [0, 1]}
    assert pairs(cells) == {
        "wave": {SeedPair(gene, target) for gene in range(2) for target in range(3)},
        "he": {SeedPair(None, target) for target in range(3)},
        "direct-pt": {SeedPair(gene, None) for gene in range(2)},
    }
    (table,) = make_tables(load([tmp_path]))
    assert {entry.state for row in table.rows for entry in row.entries} == {"done"}


def test_nothing_is_lost_in_exports_and_leaderboards(tmp_path: Path) -> None:
    made = recorded(tmp_path / "runs", "2x3")
    every = {cell.address for cell in made.plan.cells}
    assert planned_cells(load([made.folder])).keys() == every
    rows = tidy.rows(load([made.folder]))
    assert {row["address"] for row in rows} == every
    assert sorted((row["gene_seed"], row["seed"]) for row in rows if row["gene_seed"] is not None) == [
        (0, 1),
        (0, 2),
        (1, 0),
        (1, 2),
    ]
    manage.add(tmp_path / "board", made.folder)
    assert manage.difference(tmp_path / "board") is None
    published = load([tmp_path / "board"])
    assert pairs(table_cells(published)[0]) == pairs(cells_of(made.folder))
    assert find_one_finished(made.runs, "wave depth 4 gene 1 seed 0").read_config().config.gene_seed == 1  # type: ignore[union-attr]


def test_plans_of_both_kinds_share_cells_and_a_table(tmp_path: Path) -> None:
    recorded(tmp_path, "2x3", "wave,he")
    recorded(tmp_path, "4", METHODS, 1)
    recorded(tmp_path, "3x2", "wave", 2)
    cells = cells_of(tmp_path)
    assert by_method(cells) == {"wave": [0, 1, 2, 3], "he": [0, 1, 2, 3], "direct-pt": [0, 1, 2, 3]}
    assert len(pairs(cells)["wave"]) == 6
    assert max(found.gene or 0 for found in pairs(cells)["wave"]) == 2  # the newer of two plans of one size
    assert "direct-pt" not in pairs(cells)


def test_the_newer_version_of_a_method_replaces_crossed_cells_too(tmp_path: Path) -> None:
    recorded(tmp_path, "2x2", "wave")
    newer = recorded(tmp_path, "2", "wave", 1)
    # As if the method had changed: the newer plan has another cell at the same place and seed.
    plan = next(path for path in (tmp_path / "plans").iterdir() if '"crossed"' not in path.read_text())
    other = {cell.address: "5" * 64 for cell in newer.plan.cells if cell.seed == 0}
    text = plan.read_text()
    for address, replacement in other.items():
        text = text.replace(address, replacement)
    plan.write_text(text)
    cells = cells_of(tmp_path)
    assert not cells.crossed
    assert {cell.address for found in cells.cells.values() for cell in found.values()} >= {"5" * 64}
    assert len(cells.replaced) == 3


def test_records_without_a_plan_keep_their_seeds(tmp_path: Path) -> None:
    recorded(tmp_path, "2x2", "wave")
    for path in (tmp_path / "plans").iterdir():
        path.unlink()
    cells = cells_of(tmp_path)
    assert by_method(cells) == {"wave": [0, 1]}
    assert len(pairs(cells)["wave"]) == 4


def test_a_leaderboard_takes_no_cell_whose_gene_is_of_another_seed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ordinary = StageMaker._gene
    monkeypatch.setattr(
        StageMaker, "_gene", lambda maker, spec, request, recipes, seed: ordinary(maker, spec, request, recipes, 0)
    )
    made = recorded(tmp_path / "runs", "2x1", "wave")
    with pytest.raises(UserError, match=r"gene 1 seed 0.*its gene is of seed 0, and its configuration says 1"):
        manage.add(tmp_path / "board", made.folder)
