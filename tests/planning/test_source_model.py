"""Grids with a source model: every method that takes weights from a trained model takes them from that one."""

from __future__ import annotations

from typing import Any

import pytest

from learngene_bench.planning.plan import Plan
from learngene_bench.planning.planner import make_plan
from learngene_bench.planning.request import build_request
from learngene_bench.plugins.registry import Registry
from learngene_bench.schema.stage import AncestorConfig, CellConfig
from learngene_bench.util.errors import UserError


def plan_of(grid: str, methods: str = "all", *settings: str, seeds: int = 1) -> Plan:
    return make_plan(build_request(methods, grid, "digits", seeds, list(settings), Registry(), False))


def sizes(target: Any) -> tuple[int, int]:
    return target["depth"], target["width"]


@pytest.mark.parametrize(
    ("grid", "source", "targets"),
    [
        ("growth", (4, 48), {(8, 48), (4, 96), (8, 96)}),
        ("shrink", (12, 96), {(12, 48), (6, 96), (6, 48)}),
    ],
)
def test_all_methods_take_weights_from_one_model_of_each_seed(
    grid: str, source: tuple[int, int], targets: set[tuple[int, int]]
) -> None:
    plan = plan_of(grid, seeds=2)
    assert {sizes(cell.target) for cell in [*plan.cells, *plan.unsupported]} == targets
    sources = {}
    for cell in plan.cells:
        inputs = plan.stages[cell.address].inputs
        ancestors = plan.stages[inputs["gene"]].inputs.values() if "gene" in inputs else ()
        trained = [
            a for a in ancestors if isinstance(config := plan.stages[a].config, AncestorConfig) and config.recipe
        ]
        if cell.method == "direct-pt":
            assert "source" not in inputs
        elif trained:
            assert trained == [inputs["source"]]
            sources[cell.seed] = plan.stages[inputs["source"]].config
        else:
            assert "source" not in inputs
    assert len({config.model_dump_json() for config in sources.values()}) == 2
    for seed, config in sources.items():
        assert isinstance(config, AncestorConfig)
        assert (sizes(config.spec), config.seed) == (source, seed)


def test_rows_of_the_default_say_nothing_of_the_source_and_those_of_another_one_do() -> None:
    plan = plan_of("growth", "stack,lemon,lemon:source_depth=8,stack:rule=zero-block")
    assert [row.variant for row in plan.methods] == ["", "", "source_depth=8", "rule=zero-block"]
    for cell in plan.cells:
        assert ("source" in plan.stages[cell.address].inputs) == (cell.variant != "source_depth=8")
    assert "source model of depth 4, width ×1" in plan.setting_description
    other = plan_of("growth", "stack", "grid.source_model.depth=2")
    assert other.setting != plan.setting
    assert "source model of depth 2, width ×1" in other.setting_description


def test_recipes_are_those_of_the_size_also_where_a_method_takes_its_ancestor_for_its_base() -> None:
    rates = ("sizes.wide.width=96", "sizes.wide.recipes.finetuning.learning_rate=1e-3")
    plan = plan_of("shrink", "he,heru-lg,subclone", *rates)
    for cell in plan.cells:
        config = plan.stages[cell.address].config
        assert isinstance(config, CellConfig)
        assert config.finetuning is not None
        assert config.finetuning.learning_rate == {"micro": 5e-4, "wide": 1e-3}[cell.size]


def test_a_method_without_a_model_of_the_family_is_as_in_other_grids() -> None:
    same = ("grid.finetuning_factor=1", "grid.depths=[4,8]")
    growth, depth = plan_of("growth", "he,wave,sws", *same), plan_of("depth", "he,wave,sws", *same)
    assert {cell.address for cell in growth.cells if sizes(cell.target) == (8, 48)} == {
        cell.address for cell in depth.cells if sizes(cell.target) == (8, 48)
    }


@pytest.mark.parametrize(
    ("grid", "setting", "message"),
    [
        ("transfer", "grid.source_model.depth=4", "source_model belongs to a grid of the source task"),
        ("growth", "grid.source_model.height=4", "height"),
        ("growth", "grid.source_model.width_factor=0.5", "greater than or equal to 1"),
    ],
)
def test_mistakes(grid: str, setting: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        plan_of(grid, "he", setting)


def test_a_grid_whose_only_target_is_its_source_is_refused() -> None:
    with pytest.raises(UserError, match=r"no target but its source model \(depth 4, width 48\)"):
        plan_of("growth", "he", "grid.depths=[4]", "grid.width_factors=[1]")


def test_a_users_own_trained_model_is_the_source(tmp_path: Any) -> None:
    """A loaded ancestor is one model: all methods of the grid ask for the same, which other grids cannot promise."""
    file = tmp_path / "own.safetensors"
    file.write_bytes(b"weights")
    plan = plan_of("growth", "stack,lemon,net2net,ligo", f"ancestor.checkpoint={file}")
    assert sum(stage.kind == "ancestor" for stage in plan.stages.values()) == 1
