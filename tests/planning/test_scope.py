"""Equal budgets: every method sees as many training images, whatever the batch sizes of its phases."""

from __future__ import annotations

from pathlib import Path

import pytest

from learngene_bench.config.recipe import Recipe
from learngene_bench.data.sampler import BatchSchedule
from learngene_bench.planning.plan import Plan
from learngene_bench.planning.planner import make_plan
from learngene_bench.planning.request import build_request
from learngene_bench.plugins.registry import Registry
from learngene_bench.schema.subject import PlannedCell
from learngene_bench.util.rng import RngStreams

SOURCE_IMAGES, SHAPES_IMAGES = 1257, 800


def plan_of(*settings: str, methods: str = "wave,he", grid: str = "depth", plugins: tuple[Path, ...] = ()) -> Plan:
    registry = Registry(list(plugins))
    return make_plan(build_request(methods, grid, "digits", 1, list(settings), registry, False, equal_budget=True))


def finetuning(plan: Plan, cell: PlannedCell) -> Recipe:
    recipe = plan.stages[cell.address].config.finetuning  # type: ignore[union-attr]
    assert isinstance(recipe, Recipe)
    return recipe


def seen(recipe: Recipe, images: int) -> int:
    """Counts the images of all batches as they are drawn."""
    order = BatchSchedule(images, recipe, RngStreams(0), "any")
    return sum(len(order.batch(step).index) for step in range(order.steps))


def test_images_are_equal_where_batch_sizes_of_phases_differ() -> None:
    plan = plan_of("inheritance.batch_size=32")
    # 95 iterations of 64 images, and 150 of 32: 75 of 64.
    assert plan.equal_budget_images == 95 * 64 + 150 * 32
    found = {(cell.method, finetuning(plan, cell).iterations) for cell in plan.cells}
    assert found == {("wave", 95), ("he", 95 + 75)}


@pytest.mark.parametrize("grid", ["depth", "transfer"])
@pytest.mark.parametrize(
    "settings",
    [
        ["inheritance.batch_size=100"],
        ["inheritance.batch_size=48", "finetuning.batch_size=51", "downstream.recipe.batch_size=51"],
        ["finetuning.drop_last=false", "downstream.recipe.drop_last=false", "inheritance.batch_size=7"],
        ["inheritance.drop_last=false", "inheritance.iterations=33"],
        ["inheritance.batch_size=2000", "inheritance.iterations=3"],
        ["finetuning.batch_size=2000", "downstream.recipe.batch_size=2000"],
        ["finetuning.repeated_augmentation=3", "inheritance.batch_size=100"],
        ["finetuning.mixup=0.8", "finetuning.drop_last=false", "finetuning.batch_size=157"],
        ["finetuning.iterations=0", "downstream.recipe.iterations=0"],
    ],
)
def test_no_method_sees_more_than_the_budget_nor_a_batch_less(grid: str, settings: list[str]) -> None:
    plan = plan_of(*settings, grid=grid)
    initialize = {cell.method: plan.stages[cell.address].config.recipes for cell in plan.cells}  # type: ignore[union-attr]
    assert initialize.keys() == {"wave", "he"}
    assert not initialize["he"]
    own = seen(initialize["wave"]["inheritance"], SOURCE_IMAGES)  # what the budget adds to fine-tuning
    for cell in plan.cells:
        images = SHAPES_IMAGES if cell.task == "shapes" else SOURCE_IMAGES
        ordinary = plan.preset.recipe_of("finetuning", int(str(cell.target["width"])))
        if grid == "transfer":
            assert plan.preset.downstream is not None
            ordinary = plan.preset.downstream.recipe
        budget = seen(ordinary, images) + own
        spent = seen(finetuning(plan, cell), images) + (own if cell.method == "wave" else 0)
        assert budget - min(ordinary.batch_size, images) < spent <= budget
        assert budget <= plan.equal_budget_images


def test_an_image_counts_once_for_each_model_that_it_passes_through(tmp_path: Path) -> None:
    plugin = tmp_path / "mine.py"
    plugin.write_text(
        "from learngene_bench.contracts.initializer import Initializer\n"
        "class Mine(Initializer):\n"
        "    name, title, recipe_fallbacks = 'mine', 'Mine', {'adapter': 'inheritance'}\n"
        "    def trains(self): return ('adapter',)\n"
        "    def ignored_recipe_fields(self, recipe, target, base): return ()\n"
        "    def initialize(self, model, target, gene, context): ...\n"
    )

    def left(models: int) -> set[int | None]:
        settings = ("adapter.iterations=40", f"adapter.meta_batch_size={models}")
        plan = plan_of(*settings, methods="mine", plugins=(plugin,))
        return {finetuning(plan, cell).iterations for cell in plan.cells}

    assert (left(1), left(3)) == ({245 - 40}, {245 - 3 * 40})


def test_the_imagenet_preset_differs_in_batch_size_and_is_equal_in_images() -> None:
    request = build_request("wave,he", "depth", "imagenet", 1, [], Registry(), quick=False, equal_budget=True)
    plan = make_plan(request)
    inherited = 300 * 256
    for size, batch_size in (("ti", 512), ("s", 256), ("b", 128)):
        lengths = {cell.method: finetuning(plan, cell).iterations or 0 for cell in plan.cells if cell.size == size}
        assert lengths["he"] - lengths["wave"] == inherited // batch_size
