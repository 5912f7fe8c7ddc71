"""A model family is one file: methods are measured on it, and nothing else changes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

FAMILY = {"learngene_bench.families": {"mixer": "toy_mixer:Mixers"}}
MIXER = ("--set", "model.family=mixer", "--set", "model.patch_size=3")
RUN = ("run", "--executor", "inline", "--grid", "depth", "--quick", *MIXER)


@pytest.mark.slow
def test_methods_are_measured_on_another_family(installed: Callable[..., Any], tmp_path: Path) -> None:
    lgbench = installed(FAMILY)
    lgbench(*RUN, "--method", "he,direct-pt,share,wave", "--runs", "runs")
    records = [json.loads(path.read_text()) for path in (tmp_path / "runs/cell").glob("*/result.json")]
    assert {record["cell"]["method"] for record in records} == {"he", "direct-pt", "share"}
    targets = [record["cell"]["target"] for record in records]
    assert {(target["family"], target["patch_size"]) for target in targets} == {("mixer", 3)}
    report = lgbench("report", "--runs", "runs").stdout
    assert "He-Init" in report
    assert "Share Init" in report
    assert "it is made for models of the family vit, swin or convnext, not mixer" in " ".join(report.split())
    lgbench("analyze", "linear-structure", "he", "--runs", "runs")
    export = lgbench("export", "he", "depth", "4", "--runs", "runs", "-o", "model.safetensors", status=2).stderr
    assert "timm cannot build models of the family 'mixer'" in export
    attention = lgbench("analyze", "attention-structure", "he", "--runs", "runs", status=2).stderr
    assert "not for the family mixer, to which linear-structure, copies and similarity apply" in attention


def test_a_family_refuses_settings_of_another(installed: Callable[..., Any]) -> None:
    lgbench = installed(FAMILY)
    wrong = lgbench(*RUN, "--method", "he", "--set", "model.head_dimension=8", status=2).stderr
    assert "model (mixer): unknown key 'head_dimension'" in wrong
    unknown = lgbench("plan", "--method", "he", "--grid", "depth", "--set", "model.family=mixr", status=2).stderr
    assert "unknown model family 'mixr': did you mean 'mixer'?" in unknown


def test_a_family_without_stochastic_depth_refuses_drop_path(installed: Callable[..., Any]) -> None:
    lgbench = installed(FAMILY)
    for recipe, method in (("pretraining", "direct-pt"), ("condensation", "share"), ("finetuning", "he")):
        refused = lgbench(*RUN, "--method", method, "--set", f"{recipe}.drop_path=0.1", status=2).stderr
        assert f"recipe {recipe}: models of the family 'mixer' have no stochastic depth: set drop_path to 0" in refused


METHOD = '''
from learngene_bench import Initializer, write_weights
from learngene_bench.util.lazy import torch

class Mine(Initializer):
    """Normal numbers."""

    name, title, families = "mine", "Mine", ("mixer",)

    def initialize(self, model, target, gene, context):
        generator = context.generator("weights")
        shapes = target.parameter_shapes()
        write_weights(model, {name: 0.1 * torch.randn(shape, generator=generator) for name, shape in shapes.items()})
'''


@pytest.mark.slow
def test_a_method_for_a_family_is_checked_on_it(installed: Callable[..., Any], tmp_path: Path) -> None:
    lgbench = installed(FAMILY)
    (tmp_path / "mine.py").write_text(METHOD)
    assert " passed, 0 failed" in lgbench("check", "mine", "--plugin", "mine.py").stdout
    plan = lgbench("plan", "--method", "mine", "--plugin", "mine.py", "--grid", "depth").stdout
    assert "it is made for models of the family mixer, not vit" in " ".join(plan.split())
