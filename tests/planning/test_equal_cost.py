"""A gene that is trained on as many images as another method costs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from whole_runs import lgbench_here

import learngene_bench
from learngene_bench.models.vit import ViTSpec
from learngene_bench.models.weights import build_model
from learngene_bench.planning.plan import Plan
from learngene_bench.planning.planner import make_plan
from learngene_bench.planning.request import build_request
from learngene_bench.plugins.registry import Registry
from learngene_bench.schema.stage import GeneConfig
from learngene_bench.util.errors import UserError

IMAGES, BATCH = 1257, 64
EPOCH = IMAGES // BATCH * BATCH
TEACHER, PRETRAINING, CONDENSATION, INHERITANCE = 15 * EPOCH, 60 * EPOCH, 60 * EPOCH, 150 * BATCH


def plan_of(methods: str, *settings: str, grid: str = "depth") -> Plan:
    request = build_request(methods, grid, "digits", 1, ["grid.depths=[4,6]", *settings], Registry(), quick=False)
    return make_plan(request)


def distilled_images(plan: Plan) -> list[int]:
    """Counts the images of each distillation."""
    genes = [stage.config for stage in plan.stages.values() if isinstance(stage.config, GeneConfig)]
    recipes = [gene.recipes["distillation"] for gene in genes if gene.method.name == "distilled"]
    return [recipe.images_trained_on(IMAGES) for recipe in recipes]


@pytest.mark.parametrize("targets", [1, 3, 10])
def test_it_is_trained_on_what_the_other_method_costs_for_one_of_several_targets(targets: int) -> None:
    """The teachers of both cancel."""
    found = distilled_images(plan_of(f"distilled:cost_of=wave:targets={targets}"))
    wanted = CONDENSATION // targets + INHERITANCE
    assert found == [wanted - wanted % BATCH] * 2


def test_an_ancestor_counts_with_the_method_that_has_it_and_costs_nothing_if_it_is_loaded(tmp_path: Path) -> None:
    assert distilled_images(plan_of("distilled:cost_of=stack")) == [PRETRAINING - TEACHER]
    weights = tmp_path / "teacher.safetensors"
    weights.write_bytes((2).to_bytes(8, "little") + b"{}")
    assert distilled_images(plan_of("distilled:cost_of=stack", f"teacher.checkpoint={weights}")) == [PRETRAINING]


def test_the_schedule_is_stretched_with_the_length() -> None:
    whole, short = (
        next(s.config for s in plan.stages.values() if s.kind == "gene")
        for plan in (
            plan_of("distilled", "distillation.warmup_epochs=6"),
            plan_of("distilled:cost_of=wave:targets=10", "distillation.warmup_epochs=6"),
        )
    )
    assert isinstance(whole, GeneConfig)
    assert isinstance(short, GeneConfig)
    recipe, stretched = whole.recipes["distillation"], short.recipes["distillation"]
    factor = stretched.steps(IMAGES) / recipe.steps(IMAGES)
    assert stretched.warmup_epochs == pytest.approx(6 * factor)
    assert stretched.learning_rate == recipe.learning_rate


def test_settings_of_the_other_method_change_the_length_and_are_named() -> None:
    plan = plan_of("distilled:cost_of=wave", "inheritance.iterations=300")
    assert distilled_images(plan)[0] == CONDENSATION + 300 * BATCH
    assert {row.variant for row in plan.methods} == {"cost_of=wave, wave: inheritance.iterations=300"}
    assert plan.methods[0].title == "Distilled at the cost of wave"


def test_targets_of_other_tasks_inherit_what_was_distilled_at_the_source() -> None:
    def genes(plan: Plan) -> set[str]:
        return {address for address, stage in plan.stages.items() if stage.kind == "gene"}

    assert genes(plan_of("distilled:cost_of=wave", grid="transfer")) == genes(plan_of("distilled:cost_of=wave"))


def test_dashes_say_why() -> None:
    def reason(methods: str, *settings: str) -> str:
        return plan_of(methods, *settings).unsupported[0].reason

    assert "what he costs is 0 images beside the ancestors, less than one batch" in reason("distilled:cost_of=he")
    assert "as much as auto-lg, which has no such target: its learngene" in reason(
        "distilled:cost_of=auto-lg", "auto-lg.blocks=5"
    )


def test_mistakes() -> None:
    with pytest.raises(UserError, match="did you mean 'wave'"):
        plan_of("distilled:cost_of=wvae")
    with pytest.raises(UserError, match="distilled: distilled has no cost of its own to train for"):
        plan_of("distilled:cost_of=distilled", "distilled.cost_of=wave")


def test_the_library_knows_no_costs() -> None:
    model = ViTSpec(depth=1, width=8, heads=2, patch_size=2, image_size=4, channels=1, classes=5)
    with pytest.raises(UserError, match="what another method costs is known to `lgbench run` only"):
        learngene_bench.initialize(build_model(model), "distilled", cost_of="wave", teacher=torch.nn.Flatten())


def test_records_of_both_count_as_many_images(tmp_path: Path) -> None:
    small = ("--quick", "--set", "data.placements=1", "--set", "grid.depths=[4]", "--runs", str(tmp_path))
    lgbench_here("run", "--executor", "inline", "-m", "wave,distilled:cost_of=wave", *small)
    records = [json.loads(path.read_text()) for path in tmp_path.glob("cell/*/result.json")]
    images = {
        record["cell"]["method"]: [record["cost"][phase]["images"] for phase in record["cost"]] for record in records
    }
    teacher, each = 4 * 64, 4 * 64
    assert images == {"wave": [teacher, each, each, each], "distilled": [teacher, 2 * each, 0, each]}
