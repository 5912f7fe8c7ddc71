"""`learngene_bench.initialize` refuses what it cannot do in one line, and leaves the model as it was."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from own_timm_models import DEIT, SMALL, images, short_preset, small, wave_gene, weights
from torch import nn

import learngene_bench
from learngene_bench.contracts.gene import Gene
from learngene_bench.contracts.initializer import Initializer
from learngene_bench.models.vit import ViTSpec
from learngene_bench.models.weights import spec_of
from learngene_bench.util.errors import UserError


@pytest.mark.parametrize("role", ["model", "teacher"])
def test_models_without_numbers_are_refused_in_one_line(role: str) -> None:
    with torch.device("meta"):
        empty = timm.create_model("deit_tiny_patch16_224", **SMALL, depth=3, embed_dim=16, num_heads=2)
    model, teacher = (empty, small(width=32)) if role == "model" else (small(), empty)
    with pytest.raises(UserError, match=f'{role} is on the device "meta" and holds no numbers: build it on another'):
        learngene_bench.initialize(model, "weight-selection", teacher=teacher)


def test_a_preset_whose_recipe_the_method_does_not_use(tmp_path: Path) -> None:
    preset = short_preset(tmp_path)
    preset.write_text(preset.read_text().replace("iterations = 3", "iterations = 3\nweight_decay = 0.1"))
    family = replace(spec_of(small(12, 16)), depth=12)
    with pytest.raises(UserError, match="recipe inheritance: wave does not use weight_decay at depth 3, width 16"):
        learngene_bench.initialize(small(), "wave", gene=wave_gene(family), data=images(), preset=preset)


class Broken(Initializer):
    name, title = "broken", "Broken"

    def initialize(self, model: nn.Module, target: ViTSpec, gene: Gene | None, context: Any) -> None:
        nn.init.zeros_(model.get_parameter("head.weight"))
        raise RuntimeError("half way")


class Nameless(Initializer):
    def initialize(self, model: nn.Module, target: ViTSpec, gene: Gene | None, context: Any) -> None:
        """Leaves all as it is."""


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"model": "deit_tiny_patch16_224"}, "model: a module of torch, not str"),
        ({"method": 5}, "method: a name, or a class derived from Initializer that has initialize(), not 5"),
        ({"method": nn.Linear}, "method: a name, or a class derived from Initializer"),
        ({"method": Initializer}, "method: a name, or a class derived from Initializer"),
        ({"method": Nameless}, "method: class Nameless needs a name"),
        ({"method": "wave", "gene": 4}, "gene: a file, a name or a Gene, not int"),
        ({"data": ([np.zeros((1, 12, 12)), np.zeros((1, 6, 6))], [0, 1])}, "data: images and labels are arrays, or"),
        ({"data": (images()[0], images()[1] - 1)}, "data: labels are the numbers of classes, from 0, not -1"),
    ],
)
def test_arguments_of_another_type(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as caught:
        learngene_bench.initialize(**{"model": small(), "method": "he", **given})
    assert str(caught.value).startswith(message)
    assert len(str(caught.value).splitlines()) == 1


def test_a_method_that_fails_leaves_the_model_as_it_was() -> None:
    model = small()
    before = weights(model)
    with pytest.raises(RuntimeError, match="half way"):
        learngene_bench.initialize(model, Broken)
    assert all(torch.equal(value, before[name]) for name, value in weights(model).items())


@pytest.mark.parametrize(
    ("method", "settings", "message"),
    [
        ("mimetik", {}, "unknown method 'mimetik': did you mean 'mimetic'?"),
        ("mimetic", {"b3": 1.0}, "^mimetic: unknown key 'b3': did you mean"),
        (
            "weight-selection",
            {"teacher": "m.pt"},
            r"no option 'teacher'; .* give a model \(torch.nn.Module\), not 'm.pt'",
        ),
        ("mimetic", {"gene": "gene.safetensors"}, "mimetic inherits nothing"),
        ("mimetic", {"teacher": nn.Linear(2, 2)}, "mimetic inherits nothing"),
        ("mimetic", {"device": "abacus"}, "device 'abacus': choose auto, cpu, cuda, or one of several GPUs as cuda:1"),
        ("mimetic", {"device": "xpu"}, "device 'xpu': choose auto, cpu, cuda, or one of several GPUs as cuda:1"),
        ("wave", {}, r"wave needs a gene: give gene=FILE .*, or teacher=MODEL and data= to make one here"),
        ("wave", {"gene": "nowhere.safetensors"}, "gene not found: nowhere.safetensors"),
        (
            "wave",
            {"gene": "GENE"},
            r"wave trains to initialize \(inheritance\), .*: give data=.*, or learn_scalers=False",
        ),
        (
            "wave",
            {"gene": "GENE", "data": images()},
            "the images are 1 x 12 x 12, what is trained on them takes 3 x 224",
        ),
        ("wave", {"gene": "GENE", "data": "digit"}, "unknown data set 'digit': did you mean 'digits'?"),
        ("wave", {"gene": "GENE", "data": np.zeros(3)}, r"a data set by name, or \(images, labels\), not ndarray"),
        ("wave", {"gene": "GENE", "data": (np.zeros(3), np.zeros(3))}, "images are uint8 of shape"),
        ("wave", {"gene": "GENE", "teacher": nn.Linear(2, 2)}, "give either gene= or teacher=, not both"),
        (
            "wave",
            {"gene": "GENE", "auxiliary_depth": 6},
            r"of depth 6, .* this gene is of depth 12, width 192.*options",
        ),
        ("telg", {"gene": "GENE"}, "this is a gene of 'wave', not of 'telg'"),
        ("wave", {"gene": "FOREIGN"}, "not a gene of learngene-bench"),
        ("weight-selection", {"teacher": nn.Linear(2, 2)}, "teacher: Linear has no blocks"),
        ("weight-selection", {"mentor": nn.Linear(2, 2)}, "makes its gene of teacher=MODEL, not of mentor"),
        ("wave", {"teacher": nn.Linear(2, 2), "learn_scalers": False}, "wave trains to make its gene"),
    ],
)
def test_mistakes(method: str, settings: dict[str, Any], message: str, gene: Path, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    foreign = tmp_path / "foreign.safetensors"
    save_file({"weight": torch.zeros(1)}, foreign)
    files = {"GENE": gene, "FOREIGN": foreign}
    given = {name: files.get(value, value) if isinstance(value, str) else value for name, value in settings.items()}
    model = small(3, 192, num_heads=3)
    before = weights(model)
    with pytest.raises(UserError, match=message) as caught:
        learngene_bench.initialize(model, method, **given)
    assert len(str(caught.value).splitlines()) == 1
    assert all(torch.equal(value, before[name]) for name, value in weights(model).items())


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (nn.Linear(2, 2), "Linear has no blocks: none of its lists of layers holds attention"),
        (small(3, 96, num_heads=2), "depth 3, width 96, 2 heads, MLP ratio 4: its templates of width 192 are wider"),
        (small(3, 384, num_heads=12), "its blocks hold heads of dimension 64"),
        (small(3, 192, num_heads=3, mlp_ratio=2.0), "MLP ratio 2"),
    ],
)
def test_models_that_cannot_work(model: nn.Module, message: str, gene: Path) -> None:
    with pytest.raises(UserError, match=message):
        learngene_bench.initialize(model, "wave", gene=gene, learn_scalers=False)


@pytest.mark.parametrize(
    ("teacher", "message"),
    [
        (small(1, 8, num_classes=5), r"teacher: gives outputs of shape \(1, 5\), a model of 10 classes is needed"),
        (small(1, 8, img_size=16), r"teacher: fails on images of shape \(1, 1, 12, 12\): Input height"),
    ],
)
def test_teachers_that_cannot_work(teacher: nn.Module, message: str) -> None:
    with pytest.raises(UserError, match=message):
        learngene_bench.initialize(small(4, 16), "wave", teacher=teacher, data=images())


def test_data_must_be_of_the_models_task() -> None:
    from learngene_bench.api.training_data import load_training_data

    source = load_training_data(images())
    assert (len(source.splits.train.labels), len(source.splits.validation.labels)) == (54, 6)
    assert len(source.splits.test.labels) == 0
    with pytest.raises(UserError, match="10 classes, what is trained on them has 5"):
        source.check_fits(replace(DEIT, image_size=12, patch_size=4, channels=1, classes=5))
