"""Every field of every recipe changes what is trained by it, or a plan refuses it; on a tiny benchmark, in process."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import pytest
import timm
import torch
from timm.layers import DropPath

from learngene_bench.cli.main import run_command
from learngene_bench.config.preset import Teacher
from learngene_bench.config.recipe import Recipe
from learngene_bench.config.section import Section
from learngene_bench.contracts.dataset import DatasetFacts
from learngene_bench.execution.ancestor_stage import AncestorStage
from learngene_bench.execution.cell_stage import CellStage
from learngene_bench.execution.gene_stage import GeneStage
from learngene_bench.planning.plan import Plan, Stage
from learngene_bench.planning.planner import make_plan
from learngene_bench.planning.request import build_request
from learngene_bench.plugins.registry import Registry
from learngene_bench.runs.manifest import describe_cell
from learngene_bench.runs.store import Runs
from learngene_bench.schema.stage import Execution
from learngene_bench.training.ancestors import build_teacher
from learngene_bench.util.errors import UserError

KINDS = {"ancestor": AncestorStage, "gene": GeneStage, "cell": CellStage}

TINY = (
    'data={name="digits", canvas=12, placements=1, test_digits=1200, validation_digits=400}',
    "evaluation_split=validation",
    "compute.num_workers=0",
    "model.head_dimension=8",
    "sizes.micro.width=16",
    "grid.depths=[2]",
)
RECIPE = {"epochs": 1, "batch_size": 96, "learning_rate": 2e-3, "warmup_epochs": 0}
"""Two batches in an epoch of the tiny benchmark, and 5 of 197 images that are left over."""


@dataclass(frozen=True)
class Phase:
    """A phase of training.

    Attributes:
        place: where a preset has its recipe.
        method, grid: in whose plan the phase is.
        kind: stage whose numbers the phase makes; the plan has one of them that is trained.
        settings: what makes the phase small and its recipe the only one that matters.
        refused: fields that a plan refuses with a part of its message.
    """

    place: str
    method: str
    kind: str
    settings: tuple[str, ...] = ()
    grid: str = "depth"
    refused: tuple[tuple[str, str], ...] = ()


UNMEASURED = ("evaluate_every", "only finetuning and downstream use evaluate_every")
ONE_MODEL = ("meta_batch_size", "only recipes that methods declare use meta_batch_size")
COMMON = (UNMEASURED, ONE_MODEL)
TEACHER = ("teacher.width=8", "wave.auxiliary_depth=2")
ONLY_INHERITANCE = ("finetuning.iterations=0", "condensation.iterations=1", "pretraining.iterations=1")
PHASES = {
    "a convnet as teacher": Phase(
        "teacher.recipe",
        "wave",
        "ancestor",
        TEACHER,
        refused=(*COMMON, ("drop_path", "recipe teacher: a convnet has no stochastic depth")),
    ),
    "a teacher of timm": Phase(
        "teacher.recipe", "wave", "ancestor", ("teacher.architecture=test_resnet",), refused=COMMON
    ),
    "pretraining": Phase("recipes.pretraining", "direct-pt", "ancestor", refused=COMMON),
    "condensation": Phase(
        "recipes.condensation", "wave", "gene", (*TEACHER, "teacher.recipe.iterations=1"), refused=COMMON
    ),
    "scaler learning": Phase(
        "recipes.inheritance",
        "wave",
        "cell",
        (*TEACHER, "teacher.recipe.iterations=1", *ONLY_INHERITANCE),
        refused=(*COMMON, ("weight_decay", "recipe inheritance: wave")),
    ),
    "operator learning": Phase(
        "recipes.inheritance",
        "ligo",
        "cell",
        ("ligo.source_depth=1", *ONLY_INHERITANCE),
        refused=(*COMMON, ("weight_decay", "recipe inheritance: ligo")),
    ),
    "hypernetwork": Phase(
        "recipes.hypernetwork",
        "ghn3",
        "gene",
        ("recipes.hypernetwork.meta_batch_size=1", "ghn3.hidden=8", "ghn3.layers=1", "ghn3.heads=1"),
        refused=(UNMEASURED,),
    ),
    "finetuning": Phase("recipes.finetuning", "he", "cell", refused=(ONE_MODEL,)),
    "downstream": Phase(
        "downstream.recipe",
        "he",
        "cell",
        (
            'grid.tasks=["shapes"]',
            'downstream.tasks.shapes.data={name="shapes", canvas=12, placements=1, train_shapes=200, test_shapes=8}',
        ),
        "transfer",
        refused=(ONE_MODEL,),
    ),
}

CROP = "augmentation.random_crop={}"
CHANGES: dict[str, list[tuple[Any, ...]]] = {
    "epochs": [(2,)],
    "iterations": [(1,)],
    "batch_size": [(48,)],
    "learning_rate": [(1e-3,)],
    "minimum_learning_rate": [(1e-3,)],
    "warmup_epochs": [(1,)],
    "warmup_learning_rate": [(1e-3, "warmup_epochs=1")],
    "weight_decay": [(0.5,)],
    "grad_clip_norm": [(0.01,)],
    "label_smoothing": [(0.3,), (0.3, "mixup=0.8")],
    "mixup": [(0.8,)],
    "cutmix": [(1.0,)],
    "drop_path": [(0.5,)],
    "evaluate_every": [(2, "epochs=2")],
    "augmentation.shift": [(2,), (2, CROP)],
    "augmentation.flip": [("true",), ("true", CROP)],
    "augmentation.noise": [(0.2,), (0.2, CROP)],
    "augmentation.color_jitter": [(0.4,), (0.4, CROP)],
    "augmentation.random_erasing": [(0.9,), (0.9, CROP)],
    "augmentation.erase_value": [("noise", "augmentation.random_erasing=0.9")],
    "augmentation.random_crop": [("{}",)],
    "augmentation.random_crop.scale": [([0.3, 0.5], CROP)],
    "augmentation.random_crop.ratio": [([2.0, 3.0], CROP)],
    "augmentation.random_crop.interpolation": [("bilinear", CROP)],
    "augmentation.auto_augment": [("rand-m9-mstd0.5-inc1",)],
    "meta_batch_size": [(3,)],
    "repeated_augmentation": [(3,)],
    "drop_last": [("false",)],
    "optimizer": [("sgd",)],
    "schedule": [("polynomial",)],
}
"""Other values of each field, each with what must be on beside it."""


def fields(section: type[Section], prefix: str = "") -> Iterator[str]:
    """Yields the dotted names of all fields; of a section that may be absent its own name too."""
    for name, field in section.model_fields.items():
        inner = [
            kind
            for kind in (field.annotation, *get_args(field.annotation))
            if inspect.isclass(kind) and issubclass(kind, Section)
        ]
        if not inner or field.default is None:
            yield f"{prefix}{name}"
        for kind in inner:
            yield from fields(kind, f"{prefix}{name}.")


def plan_of(phase: Phase, *changes: str, settings: Sequence[str] = ()) -> Plan:
    """Plans a phase.

    Args:
        changes: values of fields of its recipe, `mixup=0.8`.
        settings: more of `--set`.
    """
    recipe = [f"{name}={value}" for name, value in RECIPE.items()]
    if any(change.startswith("iterations=") for change in changes):
        recipe.remove("epochs=1")
    ours = [f"{phase.place}.{change}" for change in (*recipe, *changes)]
    # The last of several values of a key.
    given = {setting.partition("=")[0]: setting for setting in (*TINY, *phase.settings, *ours, *settings)}
    registry = Registry()
    return make_plan(build_request(phase.method, phase.grid, "digits", 1, [*given.values()], registry, quick=False))


def stage_of(phase: Phase, plan: Plan) -> Stage:
    """Returns the stage whose numbers a phase makes."""
    (stage,) = (stage for stage in plan.stages.values() if stage.kind == phase.kind)
    return stage


def computed(plan: Plan, stage: Stage, runs: Runs) -> Any:
    """Computes a stage and what it needs, unless that is done; returns its weights by hash, and its learning curve."""
    folder = runs.folder(stage.kind, stage.address)
    if not folder.result.exists():
        for address in stage.inputs.values():
            computed(plan, plan.stages[address], runs)
        descriptions = {cell.address: describe_cell(cell, plan) for cell in plan.cells}
        execution = Execution(
            command=(),
            checkpoint_seconds=60.0,
            num_workers=0,
            data=plan.preset.data,
            task_data=plan.task_data.get(stage.address),
            description=descriptions.get(stage.address),
        )
        runs.write_config(stage, execution)
        record = KINDS[stage.kind](runs, stage.address, Registry(), writes=False).compute()
        folder.result.write_text(json.dumps(record.model_dump(mode="json")))
    record = json.loads(folder.result.read_text())
    return record["model"]["sha256"] if stage.kind == "cell" else record["tensors"]["sha256"], record["curve"]


def test_no_field_is_forgotten() -> None:
    assert [*fields(Recipe)] == [*CHANGES]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    return Runs(tmp_path_factory.mktemp("runs"))


@pytest.mark.slow
@pytest.mark.parametrize("name", PHASES)
def test_every_field_of_a_recipe_is_used_or_refused(name: str, runs: Runs) -> None:
    phase, unused, refused = PHASES[name], [], {}

    def numbers(*changes: str) -> Any:
        plan = plan_of(phase, *changes)
        return computed(plan, stage_of(phase, plan), runs)

    for field, cases in CHANGES.items():
        for value, *beside in cases:
            try:
                if numbers(f"{field}={value}", *beside) == numbers(*beside):
                    unused.append((field, *beside))
            except UserError as error:
                refused[field] = str(error)
    assert unused == []
    assert refused.keys() == dict(phase.refused).keys()
    for field, message in phase.refused:
        assert message in refused[field]
        assert "\n" not in refused[field]


OF_A_PART = {
    "sizes.micro.recipes.finetuning": "finetuning",
    "sizes.micro.recipes.condensation": "condensation",
    "sizes.micro.recipes.inheritance": "scaler learning",
    "sizes.micro.recipes.hypernetwork": "hypernetwork",
    "downstream.tasks.shapes.recipe": "downstream",
}


@pytest.mark.parametrize("place", OF_A_PART)
def test_a_field_of_one_size_or_task_is_the_same_as_one_of_all(place: str) -> None:
    phase = PHASES[OF_A_PART[place]]
    refused = {field for field, _ in phase.refused}
    unchanged = stage_of(phase, plan_of(phase)).address
    for field, cases in CHANGES.items():
        for value, *beside in cases:
            change = f"{field}={value}"
            specific = [f"{place}.{each}" for each in (change, *beside)]
            if field in refused:
                with pytest.raises(UserError, match=dict(phase.refused)[field]):
                    plan_of(phase, settings=specific)
                continue
            address = stage_of(phase, plan_of(phase, settings=specific)).address
            assert address == stage_of(phase, plan_of(phase, change, *beside)).address != unchanged


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("teacher.recipe.drop_path=0.1", "recipe teacher: a convnet has no stochastic depth: set drop_path to 0"),
        (
            'teacher={architecture="ghostnet_050", recipe={epochs=1, batch_size=9, learning_rate=1.0, drop_path=0.1}}',
            "recipe teacher: timm's ghostnet_050 has no stochastic depth: set drop_path to 0",
        ),
        (
            "inheritance.weight_decay=0.1",
            "recipe inheritance: wave does not use weight_decay at depth 4, width 48: leave it at 0.05",
        ),
        ("condensation.evaluate_every=2", "--set: condensation: only finetuning and downstream use evaluate_every"),
    ],
)
def test_the_command_refuses_in_one_line(setting: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["plan", "--method", "wave", "--grid", "depth", "--set", setting]) == 2
    assert capsys.readouterr().err.strip().endswith(message)


def test_the_recipe_of_a_loaded_teacher_cannot_be_set(capsys: pytest.CaptureFixture[str]) -> None:
    loaded = ["--set", "teacher.checkpoint=teacher.safetensors", "--set", "teacher.recipe.mixup=0.8"]
    assert run_command(["plan", "--method", "he", "--grid", "depth", *loaded]) == 2
    assert "--set teacher.recipe.mixup: the teacher is loaded, nothing trains it" in capsys.readouterr().err


def test_a_teacher_of_timm_has_the_rate_of_its_recipe() -> None:
    facts = DatasetFacts(classes=2, channels=1, image_size=32, train_images=1, validation_images=1, test_images=1)
    by_default = timm.create_model("swin_tiny_patch4_window7_224")
    assert max(rates(by_default)) > 0
    for rate in (0.0, 0.25):
        recipe = Recipe(epochs=1, batch_size=1, learning_rate=1.0, drop_path=rate)
        teacher = build_teacher(Teacher(architecture="swin_tiny_patch4_window7_224", recipe=recipe), facts)
        assert max(rates(teacher), default=0.0) == pytest.approx(rate)


def rates(network: torch.nn.Module) -> list[float]:
    return [module.drop_prob for module in network.modules() if isinstance(module, DropPath)]
