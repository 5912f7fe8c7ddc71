"""Analyses of models of several stages give what they give for each stage alone."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from learngene_bench.analysis import copies, linear_structure, similarity
from learngene_bench.analysis.blocks import Panels, layers_of, matrices
from learngene_bench.config.preset import BaseInitialization
from learngene_bench.models.convnext import ConvNeXtSpec
from learngene_bench.models.swin import SwinSpec
from learngene_bench.results.plots import style
from learngene_bench.training.inputs import new_model

CONVNEXT = ConvNeXtSpec(
    depth=5, width=6, patch_size=2, image_size=12, channels=1, classes=5, kernel_size=3, stage_ratio=(2, 3)
)
SWIN = SwinSpec(
    depth=4, width=8, patch_size=2, image_size=12, channels=1, classes=5, head_dimension=4, window=3, stage_ratio=(1, 3)
)


def random_model(spec: ConvNeXtSpec | SwinSpec) -> nn.Module:
    return new_model(spec, BaseInitialization(weight_init="xavier", position_std=0.5), 0).eval()


def test_matrices_are_those_of_all_stages() -> None:
    """Convolutions are matrices, tables are none; layers of a network within a block keep its name."""
    assert dict(matrices(CONVNEXT)["conv_dw"]) == {
        0: "stages.0.blocks/conv_dw.weight",
        1: "stages.1.blocks/conv_dw.weight",
    }
    assert list(matrices(CONVNEXT)) == ["conv_dw", "fc1", "fc2"]
    assert list(matrices(SWIN)) == ["qkv", "proj", "fc1", "fc2"]
    assert {"cpb_mlp.0", "cpb_mlp.2"} < set(matrices(replace(SWIN, version=2)))


def test_only_stages_of_three_layers_have_a_linear_structure() -> None:
    model = random_model(CONVNEXT)
    found = linear_structure._structures(model, CONVNEXT)
    assert set(found) == {name for name in CONVNEXT.components() if name.startswith("stages.1.")}
    weights = [model.get_parameter(f"stages.1.blocks.{layer}.mlp.fc1.weight").detach().flatten() for layer in range(3)]
    assert found["stages.1.blocks/mlp.fc1.weight"] == linear_structure.structure(torch.stack(weights))


def test_copied_channels_of_a_convolution_are_seen() -> None:
    """A depthwise convolution has one input for each output, so only its outputs can be copies."""
    model, name = random_model(CONVNEXT), "stages.1.blocks/conv_dw.weight"
    with torch.no_grad():
        kernels = model.get_parameter("stages.1.blocks.2.conv_dw.weight")
        kernels[6:] = kernels[:6]
    found = copies.repetitions(layers_of(model, CONVNEXT), [name])
    assert [one.copies for one in found[name, "outputs"]] == [0, 0, 1]
    assert (name, "inputs") not in found


@pytest.mark.parametrize("spec", [CONVNEXT, SWIN])
def test_representations_are_those_after_every_block_of_every_stage(spec: ConvNeXtSpec | SwinSpec) -> None:
    """Compared with a pass through the parts of timm's model, one after another."""
    model = random_model(spec)
    images = torch.randn(6, 1, 12, 12, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        if isinstance(spec, ConvNeXtSpec):
            x, stages = model.get_submodule("stem")(images), model.get_submodule("stages")
        else:
            x, stages = model.get_submodule("patch_embed")(images), model.get_submodule("layers")
        seen = []
        for stage in stages.children():
            x = stage.get_submodule("downsample")(x)
            seen += [] if seen else [x]
            for block in stage.get_submodule("blocks").children():
                x = block(x)
                seen.append(x)
    grams = similarity.grams_of(model, spec, images, batch=4)
    assert len(grams) == len(seen) == spec.depth + 1
    for gram, features in zip(grams, seen, strict=True):
        centred = features.flatten(1).double() - features.flatten(1).double().mean(0)
        torch.testing.assert_close(gram, centred @ centred.T, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("spec", [CONVNEXT, replace(SWIN, version=2)])
def test_names_of_matrices_stay_in_the_picture(spec: ConvNeXtSpec | SwinSpec) -> None:
    images = torch.randn(4, 1, 12, 12, generator=torch.Generator().manual_seed(0))
    model, cell = random_model(spec), SimpleNamespace(target=spec, label="He-Init")
    found = similarity.compare(cell, model, None, model, images)  # type: ignore[arg-type]
    with style.drawing():
        page = similarity.page([found], "test", 4)
        drawn = page.figure.get_tightbbox()  # inches
    assert drawn.x0 >= 0
    assert drawn.x1 <= page.figure.get_figwidth()


def test_panels_of_many_matrices_stand_in_even_rows() -> None:
    assert [Panels(count, 2).across for count in (1, 4, 5, 7)] == [1, 4, 3, 4]
    panels = Panels(5, 2)
    places = [panels.place(measure, matrix) for measure in range(2) for matrix in range(5)]
    assert places == [0, 1, 2, 3, 4, 6, 7, 8, 9, 10]
    assert panels.count == 11
