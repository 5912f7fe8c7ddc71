"""LSUV against its definition: variances in float64, and one whole forward pass for every scaling of every layer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from baseline_models import SMALL, context, initialized, of
from torch import Tensor, nn

from learngene_bench.baselines.lsuv import Lsuv, LsuvOptions
from learngene_bench.contracts.family import ModelSpec
from learngene_bench.data.batch_augment import DeviceImages, Normalization
from learngene_bench.data.splits import Images
from learngene_bench.models.convnext import ConvNeXtSpec
from learngene_bench.models.swin import SwinSpec
from learngene_bench.models.weights import orthogonal_matrices
from learngene_bench.training.context import MeteredContext, SourceData
from learngene_bench.util.errors import UserError

VIT = replace(SMALL, depth=2)
SIZES = {"depth": 2, "width": 8, "image_size": 8, "channels": 1, "classes": 5, "patch_size": 2, "stage_ratio": (1, 1)}
SWIN, CONVNEXT = SwinSpec(**SIZES, window=2, head_dimension=4), ConvNeXtSpec(**SIZES)


def with_images(target: ModelSpec, side: int = 0, channels: int = 1, **fields: object) -> MeteredContext:
    random = np.random.default_rng(0)
    side = side or target.image_size
    images = Images((random.random((20, channels, side, side)) * 255).astype(np.uint8), np.arange(20) % 5)
    split = DeviceImages(images, Normalization((0.5,) * channels, (0.3,) * channels), torch.device("cpu"))
    source = SourceData(train={}, plain=split, validation=split, classes=5)
    return context(target, source=source, **fields)  # type: ignore[arg-type]


def outputs(model: nn.Module, names: list[str], images: Tensor) -> dict[str, list[Tensor]]:
    """Outputs of each matrix by the name of its weight; of a fused one, those of its parts."""
    found: dict[str, list[Tensor]] = {}
    hooks = []
    for name in names:
        layer = model.get_submodule(name.removesuffix(".weight"))
        axis, parts = (1 if isinstance(layer, nn.Conv2d) else -1), (3 if "qkv" in name else 1)

        def keep(*passed: object, name: str = name, axis: int = axis, parts: int = parts) -> None:
            found[name] = list(passed[-1].chunk(parts, axis))  # type: ignore[attr-defined]

        hooks.append(layer.register_forward_hook(keep))
    with torch.no_grad():
        model.double()(images.double())
    for hook in hooks:
        hook.remove()
    return found


@pytest.mark.parametrize("target", [VIT, replace(VIT, irpe=True, class_token=True), SWIN, CONVNEXT])
def test_outputs_of_every_matrix_have_variance_1(target: ModelSpec) -> None:
    where = with_images(target)
    model = initialized(Lsuv(LsuvOptions(images=16)), target, None, where)  # type: ignore[arg-type]
    assert (where.cost.images, where.cost.iterations) == (16, 0)
    assert 16 * target.forward_flops() < where.cost.flops < 48 * target.forward_flops()
    assert next(model.parameters()).device.type == "cpu"
    drawn = orthogonal_matrices(target, where.generator("lsuv"))
    assert len(drawn) >= 7
    found = outputs(model, list(drawn), where.source_images(16))
    assert found.keys() == drawn.keys()
    for name, parts in found.items():
        for part in parts:
            assert float(part.var(unbiased=False)) == pytest.approx(1, abs=0.1), name


def test_it_is_the_algorithm_with_a_whole_pass_for_every_scaling() -> None:
    """Matrices one by one, the first first: pass, measure, divide by the deviation, and again."""
    where = with_images(VIT)
    weights = of(initialized(Lsuv(LsuvOptions(images=16)), VIT, None, where))
    plain = with_images(VIT)
    model = initialized(Lsuv(LsuvOptions(images=2, iterations=1, tolerance=1e9)), VIT, None, plain).double()
    images, parameters = where.source_images(16), dict(model.named_parameters())
    names = ["patch_embed.proj.weight"]
    names += [f"blocks.{i}.{m}.weight" for i in (0, 1) for m in ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2")]
    for name in [*names, "head.weight"]:
        for _ in range(10):
            parts = outputs(model, [name], images)[name]
            scales = [part.var(unbiased=False).item() for part in parts]
            if all(abs(scale - 1) <= 0.1 for scale in scales):
                break
            with torch.no_grad():
                for rows, scale in zip(parameters[name].chunk(len(parts)), scales, strict=True):
                    if abs(scale - 1) > 0.1:
                        rows /= scale**0.5
    for name, parameter in parameters.items():
        torch.testing.assert_close(weights[name].double(), parameter.detach(), rtol=1e-3, atol=1e-5, msg=name)


def test_on_another_task_the_head_is_the_base_and_images_are_resized() -> None:
    where = with_images(VIT, side=10, same_task=False)
    weights = of(initialized(Lsuv(LsuvOptions()), VIT, None, where))
    assert torch.equal(weights["head.weight"], where.base_weights(VIT)["head.weight"])
    assert where.cost.images == 20  # all that there are


def test_what_cannot_be_done_is_said() -> None:
    with pytest.raises(
        UserError, match=r"images of the source task have shape \(3, 6, 6\), the model takes \(1, 6, 6\)"
    ):
        initialized(Lsuv(LsuvOptions()), VIT, None, with_images(VIT, channels=3))
    two = replace(SWIN, version=2)
    assert Lsuv(LsuvOptions()).supports(two, two) == "the outputs of query, key and value cannot be seen in Swin 2"
