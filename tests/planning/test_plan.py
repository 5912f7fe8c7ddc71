"""Plans: what shares an address and what does not, presets and overrides, and what cannot exist."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from learngene_bench.config.loader import load_preset, shipped_files
from learngene_bench.planning.plan import Plan
from learngene_bench.planning.planner import make_plan
from learngene_bench.planning.request import build_request
from learngene_bench.plugins.registry import Registry
from learngene_bench.util.errors import UserError


def plan_of(
    methods: str = "wave,he", *settings: str, seeds: int = 1, quick: bool = False, preset: str = "digits"
) -> Plan:
    return make_plan(build_request(methods, "depth", preset, seeds, list(settings), Registry(), quick))


def addresses(plan: Plan, kind: str) -> set[str]:
    return {address for address, stage in plan.stages.items() if stage.kind == kind}


def of_method(plan: Plan, name: str) -> set[str]:
    return {cell.address for cell in plan.cells if cell.method == name}


def test_one_gene_for_all_depths_and_one_teacher_for_all_seeds() -> None:
    plan = plan_of(seeds=3)
    assert len(addresses(plan, "ancestor")) == 1
    assert len(addresses(plan, "gene")) == 3
    assert len(addresses(plan, "cell")) == 30
    order = list(plan.stages)
    for address, stage in plan.stages.items():
        assert all(order.index(needed) < order.index(address) for needed in stage.inputs.values())


def test_direct_pretraining_has_a_model_for_every_target_and_seed() -> None:
    plan = plan_of("direct-pt", seeds=2)
    assert [len(addresses(plan, kind)) for kind in ("ancestor", "gene", "cell")] == [10, 10, 10]


@pytest.mark.parametrize(
    ("setting", "changes"),
    [
        ("finetuning.epochs=6", {"cell he", "cell wave"}),
        ("condensation.epochs=7", {"gene", "cell wave"}),
        ("inheritance.iterations=10", {"cell wave"}),
        ("wave.inheritance=interpolate", {"cell wave"}),
        ("wave.per_position=1", {"gene", "cell wave"}),
        ("teacher.recipe.epochs=1", {"ancestor", "gene", "cell wave"}),
        ("data.noise=0.1", {"ancestor", "gene", "cell he", "cell wave"}),
        ("compute.threads=2", {"ancestor", "gene", "cell he", "cell wave"}),
        ("pretraining.epochs=3", set()),
        ("compute.device=cpu", set()),
        ("compute.checkpoint_seconds=1", set()),
        ("compute.keep_probabilities=true", set()),
    ],
)
def test_an_address_changes_with_what_the_result_depends_on(setting: str, changes: set[str]) -> None:
    def parts(plan: Plan) -> Mapping[str, set[str]]:
        return {
            "ancestor": addresses(plan, "ancestor"),
            "gene": addresses(plan, "gene"),
            "cell he": of_method(plan, "he"),
            "cell wave": of_method(plan, "wave"),
        }

    before, after = parts(plan_of()), parts(plan_of("wave,he", setting))
    assert {name for name in before if before[name] != after[name]} == changes
    assert all(not (before[name] & after[name]) for name in changes)


def test_addresses_do_not_depend_on_the_run_they_are_planned_in() -> None:
    small = plan_of("he", seeds=1)
    large = plan_of("timm,he,wave", "grid.depths=[12,4,6]", seeds=2)
    assert len(of_method(small, "he") & of_method(large, "he")) == 3


def test_variants_share_their_gene_and_are_rows_of_their_own() -> None:
    plan = plan_of("wave,wave:learn_scalers=false,wave:inheritance=interpolate:noise=0")
    assert len(addresses(plan, "gene")) == 1
    assert [row.variant for row in plan.methods] == ["", "learn_scalers=false", "inheritance=interpolate, noise=0"]


def test_overrides_name_the_row_or_the_setting_they_change() -> None:
    plain, plan = plan_of(), plan_of("wave,he", "condensation.epochs=7")
    assert [row.variant for row in plan.methods] == ["condensation.epochs=7", ""]
    assert plan.setting == plain.setting
    tuned = plan_of("wave,he", "finetuning.epochs=7")
    assert tuned.setting != plain.setting
    assert tuned.setting_description == "digits, finetuning.epochs=7"


def test_equal_budget_takes_own_training_off_the_finetuning() -> None:
    ordinary = plan_of("wave,he,wave:learn_scalers=false")
    request = build_request("wave,he,wave:learn_scalers=false", "depth", "digits", 1, [], Registry(), False, True)
    plan = make_plan(request)
    assert (plan.equal_budget_of, plan.setting != ordinary.setting) == (ordinary.setting, True)
    assert addresses(plan, "gene") == addresses(ordinary, "gene")
    iterations = {(c.method, c.variant): plan.stages[c.address].config.finetuning.iterations for c in plan.cells}
    # 5 epochs of 19 steps and 150 iterations for scalers, all in batches of 64: 245 in all.
    assert iterations == {("wave", ""): 95, ("he", ""): 245, ("wave", "learn_scalers=false"): 245}
    assert plan.equal_budget_images == 245 * 64


def test_quick_is_another_setting() -> None:
    plan = plan_of(quick=True)
    assert plan.preset.name == "digits-quick"
    assert not (plan.stages.keys() & plan_of().stages.keys())
    assert {cell.target["depth"] for cell in plan.cells} == {4, 6}


def test_recipes_of_a_size(tmp_path: Path) -> None:
    text = shipped_files("preset")["digits"].read_text()
    recipe = "recipes.condensation = {epochs = 1, batch_size = 8}"
    mine = tmp_path / "mine.toml"
    mine.write_text(text.replace("[sizes.micro]", f"[sizes.wide]\nwidth = 64\n{recipe}\n\n[sizes.micro]"))
    preset = load_preset(str(mine))
    assert preset.recipe_of("condensation", 64).epochs == 1
    assert preset.recipe_of("condensation", 48) == preset.recipes["condensation"]
    plan = plan_of("wave", preset=str(mine))
    assert {(cell.size, cell.target["width"], cell.prepare_epochs) for cell in plan.cells} == {
        ("wide", 64, 1),
        ("micro", 48, preset.recipes["condensation"].epochs),
    }


def test_an_ancestor_from_a_file_is_told_apart_by_its_content(tmp_path: Path) -> None:
    def ancestors(file: Path) -> set[tuple[str, str]]:
        plan = plan_of("direct-pt", f"ancestor.checkpoint={file}", "grid.depths=[4]", seeds=2)
        return {(address, stage.label) for address, stage in plan.stages.items() if stage.kind == "ancestor"}

    weights = tmp_path / "a.safetensors"
    weights.write_bytes(b"one")
    first = ancestors(weights)
    assert len(first) == 1  # the same file for every seed
    assert "a.safetensors" not in str(first)  # labels are published, paths are not
    moved = weights.rename(tmp_path / "b.safetensors")
    assert ancestors(moved) == first
    moved.write_bytes(b"two")
    assert ancestors(moved) != first
    with pytest.raises(UserError, match="names one model, but these methods and targets need several: depth 4"):
        plan_of("direct-pt", f"ancestor.checkpoint={moved}")
    with pytest.raises(UserError, match="file of weights not found: nowhere"):
        plan_of("direct-pt", "ancestor.checkpoint=nowhere.safetensors", "grid.depths=[4]")


def test_widths_that_heads_do_not_divide() -> None:
    with pytest.raises(UserError, match="width 50 is not a multiple of the head dimension 16"):
        plan_of("he", "sizes.micro.width=50")


def test_nothing_is_planned_twice() -> None:
    plan = plan_of("wave,wave,he", "grid.depths=[4,4]")
    assert len(plan.cells) == len(addresses(plan, "cell")) == 2


def test_a_variants_list_keeps_its_commas() -> None:
    plan = plan_of('wave:parts=["attention", "mlp"],he')
    assert [row.variant for row in plan.methods] == ["parts=attention+mlp", ""]


def test_a_recipe_of_a_size_names_the_rows_that_use_it() -> None:
    plan = plan_of("wave,he", "sizes.micro.recipes.condensation.epochs=7")
    assert [row.variant for row in plan.methods] == ["condensation.epochs=7", ""]


@pytest.mark.parametrize("change", [{"device": "cuda"}, {"processes": 2}])
def test_numbers_of_another_kind_of_device_or_of_several_processes_have_addresses_of_their_own(
    change: dict[str, Any],
) -> None:
    """GPUs do not add in the order of CPUs, and several processes draw from streams of their own."""
    request = build_request("wave,he", "depth", "digits", 1, [], Registry(), quick=False)
    plain, other = make_plan(request), make_plan(replace(request, **change))
    assert not plain.stages.keys() & other.stages.keys()
    assert plain.setting != other.setting
    assert plain.setting_description == "digits"
    assert other.setting_description == ("digits, cuda" if "device" in change else "digits, 2 processes for a model")


def test_where_it_is_computed_is_no_part_of_a_preset() -> None:
    """`compute.device = "auto"` comes to a kind of device before anything is planned."""
    assert plan_of("he", "compute.device=cpu").stages.keys() == plan_of("he").stages.keys()


def test_a_method_that_initializes_longer_than_the_equal_budget_is_left_out(tmp_path: Path) -> None:
    plugin = tmp_path / "mine.py"
    plugin.write_text(
        "from learngene_bench.contracts.initializer import Initializer\n"
        "class Mine(Initializer):\n"
        "    name, title, recipe_fallbacks = 'mine', 'Mine', {'adapter': 'inheritance'}\n"
        "    def trains(self): return ('adapter',)\n"
        "    def initialize(self, model, target, gene, context): ...\n"
    )
    settings, registry = ["adapter.iterations=300"], Registry([plugin])
    request = build_request("mine,he", "depth", "digits", 1, settings, registry, quick=False, equal_budget=True)
    plan = make_plan(request)
    assert {cell.method for cell in plan.cells} == {"he"}
    assert {cell.reason for cell in plan.unsupported} == {
        "it trains on 19,200 images while it initializes, and the equal budget is 15,680 images"
    }
    assert not make_plan(replace(request, equal_budget=False)).unsupported
