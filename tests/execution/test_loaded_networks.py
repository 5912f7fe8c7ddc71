"""Networks that are loaded, teachers and ancestors: refused, or doubted aloud, where they do not fit the task."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from whole_runs import lgbench_here

from learngene_bench.config.preset import Teacher
from learngene_bench.contracts.dataset import DatasetFacts
from learngene_bench.contracts.task import task_kind
from learngene_bench.execution.ancestor_stage import near_chance
from learngene_bench.training.ancestors import build_teacher, forward_flops
from learngene_bench.util.errors import UserError


def facts(classes: int = 10, image_size: int = 12, kind: str = "classification") -> DatasetFacts:
    return DatasetFacts(classes, 1, image_size, train_images=1, validation_images=1, test_images=1, kind=kind)


@pytest.mark.parametrize(
    ("method", "settings"),
    [
        ("wave", ["teacher.architecture=resnet18", "teacher.pretrained=true"]),
        ("heru-lg", ["ancestor.timm=deit_tiny_patch16_224"]),
    ],
)
def test_a_pretrained_head_of_another_task_is_refused_before_anything_is_computed(
    method: str, settings: list[str]
) -> None:
    words = [word for setting in settings for word in ("--set", setting)]
    said = lgbench_here("plan", "--method", method, *words, status=2).stderr
    assert "its pretrained head has 1000 outputs, and this task has 10 classes" in said
    assert f"--set {settings[0].partition('.')[0]}.checkpoint=FILE" in said


def test_a_model_that_is_pretrained_without_a_head_is_refused() -> None:
    with pytest.raises(UserError, match="pretrained without a head, and this task has 10 classes"):
        build_teacher(Teacher(architecture="vit_small_patch14_dinov2", pretrained=True), facts())


def test_a_teacher_of_timm_is_built_for_the_images_of_the_task() -> None:
    recipe = {"epochs": 1, "batch_size": 1, "learning_rate": 1.0}
    teacher = Teacher.model_validate({"architecture": "vit_tiny_patch16_224", "recipe": recipe})
    assert build_teacher(teacher, facts(image_size=32))(torch.zeros(1, 1, 32, 32)).shape == (1, 10)
    with pytest.raises(UserError, match=r"VisionTransformer, fails on images of shape \(1, 12, 12\)"):
        forward_flops(build_teacher(teacher, facts()), facts())


@pytest.mark.parametrize(
    ("classes", "top1", "is_near"), [(12, 100 * 2 / 12, True), (10, 11.5, True), (1000, 60.0, False), (2, 80.0, False)]
)
def test_accuracies_near_chance_are_doubted(classes: int, top1: float, is_near: bool) -> None:
    assert bool(near_chance(task_kind(), facts(classes), {"top1": top1})) is is_near


def test_no_chance_is_claimed_where_it_is_not_known() -> None:
    assert not near_chance(task_kind("segmentation"), facts(kind="segmentation"), {"miou": 1.0})


@pytest.mark.slow
def test_a_run_warns_aloud_of_a_loaded_teacher_that_guesses(tmp_path: Path) -> None:
    teacher = build_teacher(Teacher(architecture="convnet", pretrained=True), facts())
    save_file(teacher.state_dict(), tmp_path / "teacher.safetensors")
    words = ("run", "--quick", "-m", "wave", "--executor", "inline", "--runs", str(tmp_path / "runs"))
    said = lgbench_here(*words, "--set", f"teacher.checkpoint={tmp_path}/teacher.safetensors").stdout
    warning = "WARNING teacher convnet: Top-1 accuracy"
    assert " ".join(said.split()).count(warning) == 2  # when it is measured, and beside the tables
