"""One ordered merge of settings: preset < size or task < family < grid < user; old names; recipes of methods' own."""

from __future__ import annotations

import itertools
import random
from pathlib import Path
from typing import Any

import pytest

from learngene_bench.cli.main import run_command
from learngene_bench.config.loader import load_grid, load_preset, shipped_files
from learngene_bench.config.preset import Preset
from learngene_bench.planning.plan import Plan
from learngene_bench.planning.planner import make_plan
from learngene_bench.planning.request import build_request
from learngene_bench.plugins.registry import Registry
from learngene_bench.util.errors import UserError


def plan_of(methods: str, *settings: str, preset: str = "imagenet", grid: str = "depth") -> Plan:
    return make_plan(build_request(methods, grid, preset, 1, list(settings), Registry(), quick=False))


def finetuning(plan: Plan, key: str) -> dict[str, Any]:
    """A value of the recipe that cells are fine-tuned by, by size or task."""
    on_tasks = plan.grid.axis == "task"
    return {
        cell.task if on_tasks else cell.size: getattr(plan.stages[cell.address].config.finetuning, key)
        for cell in plan.cells
    }


def fallbacks() -> dict[str, str]:
    return {"adapter": "inheritance", "hypernetwork": "condensation", "small-adapter": "adapter"}


def test_what_the_user_sets_reaches_every_size() -> None:
    assert finetuning(plan_of("he"), "learning_rate") == {"ti": 5e-4, "s": 2.5e-4, "b": 1.25e-4}
    plan = plan_of("he", "finetuning.learning_rate=5e-5")
    assert finetuning(plan, "learning_rate") == {"ti": 5e-5, "s": 5e-5, "b": 5e-5}
    assert finetuning(plan, "batch_size") == {"ti": 512, "s": 256, "b": 128}
    assert plan.setting_description == "imagenet, finetuning.learning_rate=5e-05"


def test_a_mistake_is_named_as_it_was_typed() -> None:
    with pytest.raises(UserError, match=r"^--set: unknown key 'finetuning\.epoch': did you mean 'finetuning\.epochs'"):
        plan_of("he", "finetuning.epoch=3")
    with pytest.raises(UserError, match=r"^--set: unknown key 'recipes\.finetuning\.epoch'"):
        plan_of("he", "recipes.finetuning.epoch=3")
    with pytest.raises(UserError, match=r"^--set: sizes\.s\.recipes\.finetuning: unknown key 'epoch'"):
        plan_of("he", "sizes.s.recipes.finetuning.epoch=3")


def test_what_the_user_sets_for_one_size_reaches_that_one() -> None:
    plan = plan_of("he", "sizes.s.recipes.finetuning.learning_rate=1e-5")
    assert finetuning(plan, "learning_rate") == {"ti": 5e-4, "s": 1e-5, "b": 1.25e-4}
    assert plan.setting_description == "imagenet, sizes.s.recipes.finetuning.learning_rate=1e-05"
    both = plan_of("he", "sizes.s.recipes.finetuning.learning_rate=1e-5", "finetuning.learning_rate=1e-3")
    assert finetuning(both, "learning_rate") == {"ti": 1e-3, "s": 1e-5, "b": 1e-3}
    assert both.setting_description == (
        "imagenet, finetuning.learning_rate=0.001, sizes.s.recipes.finetuning.learning_rate=1e-05"
    )


def test_a_size_set_to_what_it_had_is_no_longer_claimed_to_be_as_all_others() -> None:
    settings = ["finetuning.learning_rate=1e-3", "sizes.s.recipes.finetuning.learning_rate=2.5e-4"]
    assert plan_of("he", *settings).setting_description == (
        "imagenet, finetuning.learning_rate=0.001, sizes.s.recipes.finetuning.learning_rate=0.00025"
    )


def test_what_the_user_sets_reaches_every_downstream_task() -> None:
    plan = plan_of("he", "downstream.recipe.learning_rate=1e-4", "grid.sizes=['ti']", grid="transfer")
    assert set(finetuning(plan, "learning_rate").values()) == {1e-4}
    assert plan.setting_description == "imagenet, downstream.recipe.learning_rate=0.0001"
    key = "downstream.tasks.cars196.recipe.learning_rate"
    one = plan_of("he", "downstream.recipe.learning_rate=1e-4", f"{key}=2e-4", grid="transfer")
    assert {task: rate for task, rate in finetuning(one, "learning_rate").items() if rate != 1e-4} == {"cars196": 2e-4}
    assert one.setting_description == f"imagenet, downstream.recipe.learning_rate=0.0001, {key}=0.0002"


def test_a_section_that_the_user_sets_replaces_that_of_every_size(tmp_path: Path) -> None:
    preset = tmp_path / "mine.toml"
    text = shipped_files("preset")["digits"].read_text()
    own = "recipes.finetuning.augmentation = { shift = 2, noise = 0.1 }"
    preset.write_text(text.replace("width = 48", f"width = 48\n{own}"))
    whole = load_preset(str(preset), {"recipes.finetuning.augmentation": {"flip": True}})
    assert whole.recipe_of("finetuning", 48).augmentation.model_dump(exclude_defaults=True) == {"flip": True}
    single = load_preset(str(preset), {"recipes.finetuning.augmentation.shift": 1})
    assert single.recipe_of("finetuning", 48).augmentation.model_dump(exclude_defaults=True) == {
        "shift": 1,
        "noise": 0.1,
    }


def test_the_grid_comes_before_the_user() -> None:
    assert finetuning(plan_of("he", grid="instinct"), "epochs") == {"ti": 20, "s": 20, "b": 20}
    plan = plan_of("he", "finetuning.epochs=3", grid="instinct")
    assert finetuning(plan, "epochs") == {"ti": 3, "s": 3, "b": 3}
    assert plan.setting_description == "imagenet, finetuning.epochs=3"
    assert plan_of("he", grid="instinct").setting_description == "imagenet, finetuning.epochs=20"
    longer = plan_of("he", "grid.finetuning_factor=2", grid="transfer")
    assert finetuning(longer, "epochs") == {
        task: 600 if task != "inat2019" else 200 for task in finetuning(longer, "epochs")
    }


@pytest.mark.parametrize("recipe", ["finetuning", "recipes.finetuning", "downstream.recipe"])
def test_two_lengths_are_refused(recipe: str) -> None:
    for other in ("grid.finetuning_factor=3", f"{recipe}.iterations=5"):
        with pytest.raises(UserError, match="give one of them"):
            plan_of("he", f"{recipe}.epochs=3", other)


def test_nothing_is_claimed_that_is_not_applied() -> None:
    """A value set to what it was is no change."""
    assert plan_of("he", "finetuning.epochs=10", "data.crop=0.875").setting_description == "imagenet"
    rows = plan_of("wave,he,ghn3", "sizes.s.recipes.condensation.epochs=2", "pretraining.epochs=9").methods
    assert {(row.method, row.variant) for row in rows} == {
        ("wave", ""),
        ("wave", "condensation.epochs=2"),
        ("he", ""),
        ("ghn3", ""),
    }


def test_equal_addresses_have_equal_descriptions() -> None:
    settings = ["condensation.learning_rate=1e-3", "sizes.s.recipes.inheritance.iterations=7", "teacher.seed=1"]
    described: dict[str, str] = {}
    for chosen in itertools.chain.from_iterable(itertools.combinations(settings, n) for n in range(4)):
        for cell in plan_of("wave,he,weight-selection,ligo", *chosen, "grid.depths=[6]").cells:
            assert described.setdefault(cell.address, cell.variant) == cell.variant


OVERRIDES: dict[str, Any] = {
    "recipes.finetuning": {"epochs": 4, "batch_size": 32, "learning_rate": 1e-3},
    "recipes.finetuning.iterations": 9,
    "recipes.finetuning.augmentation.shift": 2,
    "recipes.condensation.learning_rate": 0.1,
    "recipes.condensation.epochs": 2,
    "sizes.s.recipes.finetuning.learning_rate": 7.0,
    "sizes.s.recipes.condensation": {"batch_size": 8},
    "sizes.b.recipes.condensation.iterations": 5,
    "sizes.b.width": 704,
    "recipes.adapter.learning_rate": 0.5,
    "sizes.ti.recipes.small-adapter.iterations": 2,
    "downstream.recipe.augmentation": {"flip": True},
    "downstream.tasks.cub200.recipe.augmentation.color_jitter": 0.1,
    "downstream.tasks.cub200.data.name": "cars196",
    "downstream.tasks.cub200.data.image_size": 64,
    "teacher.architecture": "convnet",
}


@pytest.mark.parametrize("seed", range(20))
def test_the_order_of_settings_does_not_matter(seed: int) -> None:
    drawn = random.Random(seed)
    chosen = drawn.sample(sorted(OVERRIDES), drawn.randint(2, len(OVERRIDES)))
    first = {key: OVERRIDES[key] for key in chosen}
    drawn.shuffle(chosen)
    second = {key: OVERRIDES[key] for key in chosen}
    assert load_preset("imagenet", first, None, fallbacks) == load_preset("imagenet", second, None, fallbacks)


@pytest.mark.parametrize("seed", range(20))
def test_every_setting_is_applied_unless_a_more_specific_one_is(seed: int) -> None:
    drawn, preset = random.Random(seed), load_preset("imagenet")
    keys = {"learning_rate": 0.5, "drop_path": 0.25, "augmentation.noise": 0.125, "weight_decay": 0.75}
    recipe = drawn.choice(sorted(preset.recipes))
    general = {key: value for key, value in keys.items() if drawn.random() < 0.6}
    specific = {size: {key: value / 2 for key, value in keys.items() if drawn.random() < 0.4} for size in preset.sizes}
    overrides = {f"recipes.{recipe}.{key}": value for key, value in general.items()}
    for size, values in specific.items():
        overrides |= {f"sizes.{size}.recipes.{recipe}.{key}": value for key, value in values.items()}
    made = load_preset("imagenet", overrides)
    for name in preset.recipes:
        for size, about in preset.sizes.items():
            expected = preset.recipe_of(name, about.width).model_dump()
            for key, value in {**general, **specific[size]}.items() if name == recipe else ():
                target = expected["augmentation"] if "." in key else expected
                target[key.rpartition(".")[2]] = value
            assert made.recipe_of(name, about.width).model_dump() == expected


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("tuning.epochs=3", "--set tuning.epochs: tuning is now finetuning"),
        ("finetuning.clip_gradient=1", "--set: finetuning: clip_gradient is now grad_clip_norm"),
        ("hypernetwork.networks=4", "--set: hypernetwork: networks is now meta_batch_size"),
        ("finetuning.augmentation.erased_to=noise", "augmentation: erased_to is now erase_value"),
        ("sizes.s.tuning.epochs=3", "--set: sizes.s: tuning is now recipes.finetuning"),
        ("sizes.s.condensation.epochs=3", "--set: sizes.s: condensation is now recipes.condensation"),
        (
            "sizes.s.recipes.finetuning.clip_gradient=1",
            "sizes.s.recipes.finetuning: clip_gradient is now grad_clip_norm",
        ),
        ("base.matrices=xavier", "--set: base: matrices is now weight_init"),
        ("compute.loaders=2", "--set: compute: loaders is now num_workers"),
        ("grid.tuning_factor=2", "--set: tuning_factor is now finetuning_factor"),
    ],
)
def test_old_names_are_answered_with_those_of_today(
    setting: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["plan", "-m", "he", "--preset", "imagenet", "--set", setting]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("new", "old", "message"),
    [
        ("[recipes.finetuning]", "[tuning]", "mine.toml: tuning is now recipes.finetuning"),
        ("[recipes.condensation]", "[condensation]", "mine.toml: condensation is now recipes.condensation"),
        ("[recipes.hypernetwork]", "[hypernetwork]", "mine.toml: hypernetwork is now recipes.hypernetwork"),
        ("weight_init =", "matrices =", "mine.toml: base: matrices is now weight_init"),
    ],
)
@pytest.mark.parametrize("settings", [[], ["--set", "compute.threads=2"]])
def test_old_names_in_files(
    new: str,
    old: str,
    message: str,
    settings: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    text = shipped_files("preset")["digits"].read_text()
    assert new in text
    Path("mine.toml").write_text(text.replace(new, old))
    for preset in ("mine", "mine.toml"):
        assert run_command(["plan", "-m", "he", "--preset", preset, *settings]) == 2
        assert capsys.readouterr().err == f"lgbench: {message}\n"


def test_a_recipe_that_a_method_declares_is_made_of_the_one_it_falls_back_to() -> None:
    def adapter(overrides: dict[str, Any], name: str = "adapter", width: int = 192) -> dict[str, Any]:
        preset = load_preset("imagenet", overrides, None, fallbacks)
        return preset.recipe_of(name, width, fallbacks()).model_dump()

    inheritance = load_preset("imagenet").recipes["inheritance"].model_dump()
    assert adapter({}) == inheritance
    assert adapter({"recipes.adapter.batch_size": 8}) == {**inheritance, "batch_size": 8}
    both = {"recipes.adapter.batch_size": 8, "recipes.inheritance.learning_rate": 0.5}
    assert adapter(both) == {**inheritance, "batch_size": 8, "learning_rate": 0.5}
    assert adapter({"sizes.ti.recipes.adapter.batch_size": 8}) == {**inheritance, "batch_size": 8}
    assert adapter({"sizes.ti.recipes.adapter.batch_size": 8}, width=384) == inheritance
    assert adapter({"recipes.small-adapter.batch_size": 8}, "small-adapter") == {**inheritance, "batch_size": 8}


def test_unknown_recipes(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--set: unknown recipe 'adaptor': did you mean 'adapter'"):
        load_preset("digits", {"recipes.adaptor.epochs": 3}, None, fallbacks)
    with pytest.raises(UserError, match=r"sizes.micro.recipes.adaptor: unknown recipe of the preset 'adaptor'"):
        load_preset("digits", {"sizes.micro.recipes.adaptor.epochs": 3}, None, fallbacks)
    text = shipped_files("preset")["digits"].read_text()
    mine = tmp_path / "mine.toml"
    mine.write_text(text.replace("[recipes.hypernetwork]", "[recipes.hypernet]"))
    with pytest.raises(UserError, match=r"mine.toml: unknown recipe 'hypernet': did you mean 'hypernetwork'"):
        load_preset(str(mine), {}, None, fallbacks)
    mine.write_text(text.replace("[recipes.finetuning]", "[recipes.finetunin]"))
    with pytest.raises(UserError, match=r"recipes.finetuning is missing"):
        load_preset(str(mine))


def test_shipped_presets_have_recipes_that_methods_declare() -> None:
    """`load_preset` relies on it: it imports no method to read a shipped preset."""
    declared = Registry().recipe_fallbacks()
    for name in shipped_files("preset"):
        load_preset(name, None, load_grid("instinct"), lambda: pytest.fail("imported methods"))
        assert {*load_preset(name).recipes} <= {"pretraining", "condensation", "inheritance", "finetuning", *declared}


@pytest.mark.parametrize("place", ["recipes.condensation", "recipes.inheritance", "teacher.recipe"])
def test_fields_that_a_recipe_does_not_use_are_refused(place: str) -> None:
    for key, users in (("evaluate_every", "finetuning and downstream"), ("meta_batch_size", "recipes that methods")):
        with pytest.raises(UserError, match=f"only {users}"):
            load_preset("digits", {f"{place}.{key}": 3})
    assert isinstance(load_preset("digits", {"recipes.hypernetwork.meta_batch_size": 3}), Preset)
    with pytest.raises(
        UserError, match=r"sizes.s.recipes.finetuning: only recipes that methods declare use meta_batch"
    ):
        load_preset("imagenet", {"sizes.s.recipes.finetuning.meta_batch_size": 3})


def test_a_preset_has_settings_for_one_family(tmp_path: Path) -> None:
    text = shipped_files("preset")["digits"].read_text()
    text += """
[families.mixer]
model.patch_size = 6
sizes.micro.width = 24
recipes.finetuning.epochs = 3
[families.other]
sizes.micro.width = 12
"""
    text = text.replace("width = 48", "width = 48\nrecipes.finetuning.epochs = 9")
    path = tmp_path / "mine.toml"
    path.write_text(text)
    plain, mixer = load_preset(str(path)), load_preset(str(path), {"model.family": "mixer"})
    assert (plain.model["patch_size"], plain.sizes["micro"].width, plain.recipe_of("finetuning", 48).epochs) == (
        4,
        48,
        9,
    )
    # The family comes after the size, the grid after the family, the user last.
    assert mixer.model == {"family": "mixer", "patch_size": 6}
    assert (mixer.sizes["micro"].width, mixer.recipe_of("finetuning", 24).epochs) == (24, 3)
    mine = load_preset(str(path), {"model.family": "mixer", "sizes.micro.width": 36}, load_grid("instinct"))
    assert (mine.sizes["micro"].width, mine.model["patch_size"]) == (36, 6)


def test_a_plan_is_described_by_its_family_and_what_the_user_changes() -> None:
    described = plan_of("he", "model.family=swin", preset="digits").setting_description
    assert described == "digits, model.family=swin"
    changed = plan_of("he", "model.family=swin", "model.window=2", preset="digits").setting_description
    assert changed == "digits, model.window=2, model.family=swin"


def test_a_mistake_in_what_a_preset_says_for_a_family_is_the_files(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(shipped_files("preset")["digits"].read_text() + "\n[families.mixer]\nsizes.micro.widht = 24\n")
    assert isinstance(load_preset(str(path)), Preset)
    with pytest.raises(UserError, match=r"mine\.toml: .*widht"):
        load_preset(str(path), {"model.family": "mixer", "model.patch_size": 3})


def plugin(path: Path, name: str, declared: dict[str, str]) -> Path:
    path.write_text(
        "from learngene_bench.contracts.initializer import Initializer\n"
        "class Mine(Initializer):\n"
        f"    name, title, recipe_fallbacks = '{name}', 'Mine', {declared}\n"
        "    def initialize(self, model, target, gene, context): ...\n"
    )
    return path


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ({"finetuning": "condensation"}, "the name 'finetuning' is taken by the suite"),
        ({"compute": "condensation"}, "the name 'compute' is taken by the suite"),
        ({"adapter": "adaptation"}, "'adapter' leads to none of pretraining, condensation, inheritance, finetuning"),
        ({"one": "other", "other": "one"}, "'one' leads to none of pretraining"),
    ],
)
def test_recipes_that_a_method_cannot_declare(declared: dict[str, str], message: str, tmp_path: Path) -> None:
    mine = plugin(tmp_path / "mine.py", "mine", declared)
    with pytest.raises(UserError, match=message):
        Registry([mine])


def test_methods_that_disagree_about_a_recipe(tmp_path: Path) -> None:
    one = plugin(tmp_path / "one.py", "one", {"adapter": "inheritance"})
    other = plugin(tmp_path / "other.py", "other", {"adapter": "condensation"})
    with pytest.raises(UserError, match="its recipe 'adapter' falls back to 'condensation', that of another method to"):
        Registry([one, other]).recipe_fallbacks()
