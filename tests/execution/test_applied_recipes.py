"""Check that the recipe in config.json is the one that trains and the one that tables describe, for every size."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from learngene_bench.config.loader import shipped_files
from learngene_bench.config.recipe import Recipe
from learngene_bench.execution import ancestor_stage, cell_stage, gene_stage
from learngene_bench.planning.plan import Plan
from learngene_bench.planning.planner import make_plan
from learngene_bench.planning.request import build_request
from learngene_bench.plugins.registry import Registry
from learngene_bench.runs.manifest import describe_cell
from learngene_bench.runs.store import Runs
from learngene_bench.schema.stage import Execution
from learngene_bench.training import context

SETTINGS = (
    "finetuning.learning_rate=5e-5",
    "finetuning.iterations=2",
    "sizes.wide.recipes.condensation.learning_rate=1e-4",
    "inheritance.iterations=1",
    "condensation.iterations=3",
    "teacher.recipe.iterations=1",
)


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> dict[str, Recipe]:
    """Recipes that training loops were called with, by the name of the training."""
    seen: dict[str, Recipe] = {}
    train = context.train

    def spy(network: Any, data: Any, recipe: Recipe, run: Any) -> Any:
        seen[run.name] = recipe
        return train(network, data, recipe, run)

    for module in (context, cell_stage, ancestor_stage):
        monkeypatch.setattr(module, "train", spy)
    return seen


def plan_of_two_sizes(folder: Path) -> Plan:
    preset = folder / "two.toml"
    wide = "[sizes.wide]\nwidth = 64\nrecipes.finetuning = { learning_rate = 1e-3, drop_path = 0.1 }\n\n[sizes.micro]"
    preset.write_text(shipped_files("preset")["digits"].read_text().replace("[sizes.micro]", wide))
    settings = ["grid.depths=[4]", *SETTINGS]
    return make_plan(build_request("wave", "depth", str(preset), 1, settings, Registry(), quick=False))


def test_the_recorded_recipe_is_the_one_that_trains(tmp_path: Path, trained: dict[str, Recipe]) -> None:
    plan, runs = plan_of_two_sizes(tmp_path), Runs(tmp_path / "runs")
    descriptions = {cell.address: describe_cell(cell, plan) for cell in plan.cells}
    kinds = {"ancestor": ancestor_stage.AncestorStage, "gene": gene_stage.GeneStage, "cell": cell_stage.CellStage}
    for stage in plan.stages.values():
        execution = Execution(
            command=(), checkpoint_seconds=60.0, data=plan.preset.data, description=descriptions.get(stage.address)
        )
        folder = runs.write_config(stage, execution)
        trained.clear()
        record = kinds[stage.kind](runs, stage.address, Registry()).compute()
        (folder.path / "result.json").write_text(json.dumps(record.model_dump(mode="json")))
        written = json.loads((folder.path / "config.json").read_text())["config"]
        recorded = {**written.get("recipes", {}), "finetuning": written.get("finetuning")}
        recorded["teacher"] = written.get("teacher", {}).get("recipe")
        assert {name: recipe.model_dump(mode="json") for name, recipe in trained.items()} == {
            name: recipe for name, recipe in recorded.items() if recipe
        }
        if stage.kind == "cell":
            assert (trained["finetuning"].learning_rate, trained["finetuning"].iterations) == (5e-5, 2)
    assert plan.setting_description == "digits, finetuning.iterations=2, finetuning.learning_rate=5e-05"
    common = "teacher.recipe.iterations=1, inheritance.iterations=1, condensation.iterations=3"
    assert {cell.size: cell.variant for cell in plan.cells} == {
        "micro": common,
        "wide": f"{common}, condensation.learning_rate=0.0001",
    }
