"""Grids beyond depth: widths, downstream tasks, ablations; what they share and what tells their cells apart."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from learngene_bench.cli.main import run_command
from learngene_bench.config.loader import load_preset, shipped_files
from learngene_bench.config.recipe import Augmentation
from learngene_bench.contracts.family import spec_from_dict
from learngene_bench.planning.plan import Plan
from learngene_bench.planning.planner import make_plan
from learngene_bench.planning.request import build_request
from learngene_bench.plugins.registry import Registry, dataset
from learngene_bench.util.errors import UserError

METHODS = "he,wave,weight-selection,direct-pt"


def plan_of(grid: str, methods: str | None = METHODS, *settings: str, preset: str = "digits", seeds: int = 1) -> Plan:
    return make_plan(build_request(methods, grid, preset, seeds, list(settings), Registry(), quick=False))


def inputs(plan: Plan) -> set[str]:
    return {address for address, stage in plan.stages.items() if stage.kind != "cell"}


@pytest.mark.parametrize("grid", shipped_files("grid"))
@pytest.mark.parametrize("preset", shipped_files("preset"))
def test_every_grid_can_be_planned_at_every_scale(grid: str, preset: str) -> None:
    """No data are needed for that: what is published is known, and the rest is embedded."""
    plan = plan_of(grid, "all", preset=preset)
    assert plan.cells
    assert {row.method for row in plan.methods} == set(Registry().names())


@pytest.mark.parametrize("grid", ["components", "templates", "instinct"])
def test_an_ablation_has_rows_of_its_own(grid: str) -> None:
    plan = plan_of(grid, None)
    assert len(plan.methods) > 3
    assert not plan.unsupported


def test_baselines_are_starts_without_any_input_and_cells_of_the_grid_of_depths() -> None:
    plan, depth = plan_of("baselines", None), plan_of("depth", "he,timm,jax,mimetic,depth-scaled")
    assert [row.title for row in plan.methods] == [
        *("He-Init", "timm default", "timm jax", "Mimetic"),
        *("Zero residual", "Fix-init", "GPT-2 scale", "T-Fixup scale", "ZerO"),
    ]
    assert not plan.unsupported
    assert not inputs(plan)
    assert plan.setting == depth.setting
    assert {cell.address for cell in plan.cells if not cell.variant} < {cell.address for cell in depth.cells}


def test_widths_are_those_of_the_paper() -> None:
    plan = plan_of("width", "he,wave", preset="imagenet")
    assert {cell.size for cell in plan.cells} == {"s"}
    assert [cell.target["width"] for cell in plan.cells if cell.method == "he"] == [384, 576, 768, 1152, 1536]
    sides = {
        cell.target["width"]: plan.stages[plan.stages[cell.address].inputs["gene"]].config.settings["template_size"]
        for cell in plan.cells
        if cell.method == "wave"
    }
    assert sides == {384: 384, 576: 192, 768: 384, 1152: 384, 1536: 384}


def test_widths_are_whole_heads() -> None:
    targets = [spec_from_dict(cell.target) for cell in plan_of("width", "he").cells]
    assert [target.width for target in targets] == [48, 80, 96, 144, 192]  # 72 would be four heads and a half
    assert {target.head_dimension for target in targets} == {16}


def test_transfer_needs_nothing_that_depth_does_not_make() -> None:
    """Genes and ancestors are of the source task, Direct PT's too."""
    assert inputs(plan_of("transfer")) <= inputs(plan_of("depth"))


def test_downstream_targets_fit_their_task() -> None:
    plan = plan_of("transfer", METHODS, "downstream.tasks.shapes.data.canvas=16")
    facts = {cell.task: (cell.target["classes"], cell.target["image_size"]) for cell in plan.cells}
    assert facts == {
        "digits-parity": (2, 12),
        "digits-turned": (4, 12),
        "digits-inverted": (10, 12),
        "shapes": (8, 16),
    }
    for cell in plan.cells:
        config = plan.stages[cell.address].config
        assert config.data["name"] == "digits"
        assert config.task.data["name"] == cell.task
        assert config.finetuning.epochs == load_preset("digits").downstream.recipe.epochs  # type: ignore[union-attr]
    assert not any(getattr(stage.config, "task", None) for stage in plan_of("depth").stages.values())


def test_a_task_changes_the_recipe_for_itself_alone() -> None:
    def epochs(plan: Plan) -> Mapping[str, float]:
        return {cell.task: plan.stages[cell.address].config.finetuning.epochs for cell in plan.cells}

    changed = plan_of("transfer", "he", "downstream.tasks.shapes.recipe.epochs=3")
    assert epochs(changed) == {**epochs(plan_of("transfer", "he")), "shapes": 3}
    assert changed.setting != plan_of("transfer", "he").setting


def test_some_tasks_are_a_table_of_their_own_with_the_same_cells() -> None:
    whole, part = plan_of("transfer"), plan_of("transfer", METHODS, 'grid.tasks=["shapes"]')
    assert part.setting != whole.setting
    assert {cell.address for cell in part.cells} == {cell.address for cell in whole.cells if cell.task == "shapes"}


def test_where_data_lie_changes_neither_address_nor_setting(tmp_path: Path) -> None:
    from PIL import Image

    def tree(root: Path) -> str:
        for split in ("train", "val"):
            for name in ("a", "b"):
                folder = root / "photos" / split / name
                folder.mkdir(parents=True)
                for number in range(3):
                    Image.new("L", (12, 12), 40 * number).save(folder / f"{number}.png")
        return f'downstream.tasks.photos.data={{name="imagefolder",root="{root / "photos"}",image_size=12,channels=1}}'

    one, other = (plan_of("transfer", "he", tree(tmp_path / place)) for place in ("here", "there"))
    assert {cell.address for cell in one.cells} == {cell.address for cell in other.cells}
    assert (one.setting, one.setting_description) == (other.setting, other.setting_description)
    assert str(tmp_path) not in one.setting_description


def test_the_instinct_grid_finetunes_longer_from_the_same_genes() -> None:
    plan, depth = plan_of("instinct", None), plan_of("depth", "he,heru-lg,auto-lg,telg,wave,direct-pt")
    lengths = {plan.stages[cell.address].config.finetuning.epochs for cell in plan.cells if cell.method == "he"}
    assert lengths == {2 * load_preset("digits").recipes["finetuning"].epochs}  # type: ignore[operator]
    assert inputs(plan) <= inputs(depth)
    assert plan.setting != depth.setting


def test_equal_budget_counts_the_iterations_of_the_task() -> None:
    request = build_request("wave,he", "transfer", "digits", 1, [], Registry(), quick=False, equal_budget=True)
    plan = make_plan(request)
    for cell in plan.cells:
        config = plan.stages[cell.address].config
        own = sum(recipe.steps(1257) for recipe in config.recipes.values())
        images = {"shapes": 800}.get(cell.task, 1257)
        ordinary = load_preset("digits").downstream.recipe.steps(images)  # type: ignore[union-attr]
        assert config.finetuning.iterations + own == ordinary + 150


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (['grid.tasks=["shape"]'], "unknown task of preset 'digits' 'shape': did you mean 'shapes'?"),
        (["downstream.tasks.shapes.recipe.epoch=3"], "downstream: tasks.shapes.recipe: unknown key 'epoch'"),
        (["downstream.tasks.shapes.data.canvas=18"], "task 'shapes': impossible model: patch size 4 does not divide"),
        (["data.test_digits=100"], "task 'digits-parity': test_digits is 360 here and 100 at the source"),
        (["inheritance.networks=2"], "inheritance: networks is now meta_batch_size"),
        (
            ["inheritance.meta_batch_size=2"],
            "inheritance: only recipes that methods declare use meta_batch_size",
        ),
        (["grid.width_factors=[0.5]"], "width_factors.0: input should be greater than or equal to 1"),
        (
            ['grid.axis="depth"', 'grid.tasks=["shapes"]'],
            "tasks belong to a grid of axis 'task' or 'share', not 'depth'",
        ),
    ],
)
def test_mistakes(settings: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message.replace("[", r"\[").replace("?", r"\?")):
        plan_of("transfer", "he", *settings)


def test_a_task_with_colours_needs_a_source_with_colours(tmp_path: Path) -> None:
    for split in ("train", "val"):
        for name in ("a", "b"):
            (tmp_path / split / name).mkdir(parents=True)
            for number in range(3):
                (tmp_path / split / name / f"{number}.png").write_bytes(b"not looked at")
    with pytest.raises(UserError, match="task 'photos': its images have 3 channels, those of the source task 1"):
        plan_of(
            "transfer", "he", f'downstream.tasks.photos.data={{name="imagefolder",root="{tmp_path}",image_size=12}}'
        )


def test_a_task_without_validation_images_is_not_measured_on_them() -> None:
    with pytest.raises(UserError, match="evaluation_split is 'validation', and flowers102 has no validation images"):
        plan_of("transfer", "he", "evaluation_split=validation", preset="imagenet")


def test_another_data_set_of_a_task_does_not_inherit_its_options() -> None:
    preset = load_preset("tiny-imagenet-laptop", {"downstream.tasks.cifar10.data.name": "flowers102"})
    assert preset.downstream is not None
    assert preset.downstream.tasks["cifar10"].data == {"name": "flowers102"}


def test_a_run_looks_for_all_data_before_it_begins(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    task = f'downstream.tasks.late.data={{name="cifar10",root="{tmp_path}",channels=1,image_size=12}}'
    command = ["run", "-m", "telg", "--grid", "transfer", "--quick", "--runs", str(tmp_path / "runs"), "--set", task]
    assert run_command([*command, "--set", 'grid.tasks=["shapes","late"]']) == 2
    assert capsys.readouterr().err.startswith(f"lgbench: task 'late': {tmp_path}")
    assert not (tmp_path / "runs").exists()


def test_a_preset_without_tasks_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = shipped_files("preset")["digits"].read_text().split("[downstream.recipe]")
    preset = tmp_path / "bare.toml"
    preset.write_text(text[0] + "[compute]\nthreads = 1\n")
    assert run_command(["plan", "-m", "he", "--grid", "transfer", "--preset", str(preset)]) == 2
    assert "grid 'transfer' measures on downstream tasks, and preset 'digits' has none" in capsys.readouterr().err


def test_a_method_or_a_grid_that_names_some(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["plan", "--grid", "depth"]) == 2
    assert "--method is missing, and grid 'depth' names no methods" in capsys.readouterr().err


def test_own_files_go_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("shallow.toml").write_text('name = "shallow"\ntitle = "Very shallow"\naxis = "depth"\ndepths = [2]')
    Path("pyproject.toml").write_text('[project]\nname = "something else"')
    Path("broken.toml").write_text("axis = = 1")
    assert run_command(["list", "grids", "--format", "json"]) == 0
    listed = {entry["name"]: entry for entry in json.loads(capsys.readouterr().out)["grids"]}
    assert listed["shallow"] == {"name": "shallow", "title": "Very shallow", "from": "this folder"}
    assert listed.keys() == {*shipped_files("grid"), "shallow"}
    assert run_command(["plan", "-m", "he", "--grid", "shallow"]) == 0
    assert "Very shallow" in capsys.readouterr().out
    assert run_command(["plan", "-m", "he", "--grid", "shalow"]) == 2
    assert "did you mean 'shallow'?" in capsys.readouterr().err


def test_segmenters_protocol_is_a_recipe_of_the_preset_imagenet() -> None:
    """Its steps, and nothing of what the common recipe does to images."""
    downstream = load_preset("imagenet").downstream
    assert downstream is not None
    recipe, task = downstream.recipe_of("ade20k"), downstream.tasks["ade20k"]
    images = dataset(task.data).facts().train_images
    assert (images, recipe.steps(images)) == (20_210, 161_664)
    assert round(recipe.warmup_epochs * recipe.steps_per_epoch(images)) == 1500
    assert recipe.augmentation == Augmentation()
    assert downstream.recipe_of("cub200").augmentation.random_crop is not None
