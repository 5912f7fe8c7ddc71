"""Grids along which one target is fine-tuned in several ways: for longer, on fewer images."""

from __future__ import annotations

from typing import Any

import pytest

from learngene_bench.config.recipe import Recipe
from learngene_bench.planning.plan import Plan
from learngene_bench.planning.planner import make_plan
from learngene_bench.planning.request import build_request
from learngene_bench.plugins.registry import Registry
from learngene_bench.runs.manifest import describe_cell
from learngene_bench.training.optimizer import schedule_of
from learngene_bench.util.errors import UserError


def plan_of(grid: str, *settings: str, seeds: int = 1, **options: Any) -> Plan:
    methods = "he,wave,direct-pt"
    return make_plan(build_request(methods, grid, "digits", seeds, list(settings), Registry(), False, **options))


def cells(plan: Plan, method: str, name: str) -> dict[Any, str]:
    """Addresses of a method's cells of the first seed, by horizon or share."""
    return {getattr(cell, name): cell.address for cell in plan.cells if cell.method == method and not cell.seed}


@pytest.mark.parametrize("schedule", ["cosine", "polynomial"])
def test_the_schedule_is_stretched_with_the_length(schedule: str) -> None:
    import torch

    def rates(recipe: Recipe) -> list[float]:
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=recipe.learning_rate)
        made = schedule_of(optimizer, recipe, recipe.steps(640), recipe.steps_per_epoch(640))
        found = []
        for step in range(recipe.steps(640)):
            made.step_update(step)
            found.append(optimizer.param_groups[0]["lr"])
        return found

    recipe = Recipe(epochs=4, batch_size=64, learning_rate=1e-3, warmup_epochs=1, schedule=schedule)  # type: ignore[arg-type]
    long = recipe.stretched(3)
    assert (long.steps(640), long.evaluate_every, long.stretched(1)) == (120, 3, long)
    assert rates(long)[::3] == pytest.approx(rates(recipe))


def test_a_length_in_iterations_is_stretched_too() -> None:
    recipe = Recipe(iterations=5, batch_size=64, learning_rate=1e-3, evaluate_every=2)
    assert (recipe.stretched(1.5).iterations, recipe.stretched(0.1).iterations) == (8, 1)
    assert recipe.stretched(0.1).evaluate_every == 1


@pytest.mark.parametrize("fewer", [13, 64, 100, 377, 1257])
def test_steps_and_their_schedule_are_the_same_on_a_part(fewer: int) -> None:
    recipe = Recipe(epochs=10, batch_size=64, learning_rate=1e-3, warmup_epochs=2)
    part = recipe.at_equal_steps(1257, fewer)
    assert part.steps(fewer) == recipe.steps(1257) == 190
    assert round(part.warmup_epochs * part.steps_per_epoch(fewer)) == 38
    # as many measurements, give or take what rounding to whole epochs takes
    assert part.evaluate_every * part.steps_per_epoch(fewer) == pytest.approx(19, abs=part.steps_per_epoch(fewer) / 2)
    assert part.batch_sizes(fewer)[0] == min(64, fewer)


def test_horizons_begin_with_the_same_genes_and_the_first_is_the_cell_of_other_grids() -> None:
    plan, depth = plan_of("horizon"), plan_of("depth", "grid.depths=[6]")
    assert {a for a, stage in plan.stages.items() if stage.kind != "cell"} == {
        address for address, stage in depth.stages.items() if stage.kind != "cell"
    }
    assert plan.setting == depth.setting
    for method in ("he", "wave"):
        found = cells(plan, method, "horizon")
        assert list(found) == [1, 3, 10, 30]
        assert found[1] == cells(depth, method, "horizon")[1]
        assert len({plan.stages[address].inputs.get("gene") for address in found.values()}) == 1
        epochs = [plan.stages[address].config.finetuning.epochs for address in found.values()]  # type: ignore[union-attr]
        assert epochs == [5, 15, 50, 150]


def test_a_model_that_is_not_finetuned_is_one_cell_at_every_horizon() -> None:
    plan = plan_of("horizon", "grid.horizons=[3,10]")
    assert len(set(cells(plan, "direct-pt", "horizon").values())) == 1
    horizons = {cell.method: describe_cell(cell, plan).cell.horizon for cell in plan.cells if cell.horizon == 10}
    assert horizons == {"he": 10, "wave": 10, "direct-pt": 1}


def test_at_equal_budget_a_horizon_has_its_own_budget() -> None:
    plan = plan_of("horizon", equal_budget=True)
    for name, own in (("he", 0), ("wave", 150)):
        iterations = [plan.stages[a].config.finetuning.iterations for a in cells(plan, name, "horizon").values()]  # type: ignore[union-attr]
        assert iterations == [19 * 5 * factor + 150 - own for factor in (1, 3, 10, 30)]


def test_shares_are_drawn_by_the_seed_and_all_images_are_the_cell_of_transfer() -> None:
    task = 'grid.tasks=["shapes"]'
    plan, transfer = plan_of("data-size", task, seeds=2), plan_of("transfer", task)
    assert plan.setting == transfer.setting
    assert cells(plan, "wave", "share")[100] == cells(transfer, "wave", "share")[100]
    drawn = {
        (cell.share, cell.seed): plan.stages[cell.address].config.task.part  # type: ignore[union-attr]
        for cell in plan.cells
        if cell.method == "wave"
    }
    assert {key: (part.share, part.seed) for key, part in drawn.items() if part} == {
        (share, seed): (share, seed) for share in (1, 3, 10, 30) for seed in (0, 1)
    }
    assert [drawn[100, seed] for seed in (0, 1)] == [None, None]
    labels = [stage.label for stage in plan.stages.values() if stage.kind == "cell"]
    assert "he micro depth 6 on shapes share 3 seed 1" in labels
    assert len(set(labels)) == len(labels)


@pytest.mark.parametrize(
    ("grid", "setting", "message"),
    [
        ("depth", "grid.horizons=[1,3]", "horizons belong to a grid of axis 'horizon', not 'depth'"),
        ("transfer", "grid.shares=[10]", "shares belong to a grid of axis 'share', not 'task'"),
        ("horizon", 'grid.tasks=["shapes"]', "tasks belong to a grid of axis 'task' or 'share', not 'horizon'"),
        ("horizon", "grid.horizons=[0]", "horizons.0: input should be greater than 0"),
        ("data-size", "grid.shares=[101]", "shares.0: input should be less than or equal to 100"),
        ("data-size", "grid.task_kind=segmentation", "task 'digit-scenes' is of the kind 'segmentation'"),
    ],
)
def test_mistakes(grid: str, setting: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        plan_of(grid, setting)
