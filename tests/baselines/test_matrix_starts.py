"""Orthogonal, conditioned and DCT initialization against what defines them: singular values, products, SciPy's DCT."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from baseline_models import SMALL, context, initialized, of
from scipy.fft import dct
from torch import Tensor

from learngene_bench.baselines.conditioned import Conditioned
from learngene_bench.baselines.dct import Dct, DctOptions
from learngene_bench.baselines.orthogonal import Orthogonal, OrthogonalOptions
from learngene_bench.contracts.family import ModelSpec
from learngene_bench.contracts.initializer import Initializer, NoOptions
from learngene_bench.models.convnext import ConvNeXtSpec
from learngene_bench.models.swin import SwinSpec

VIT = SMALL.with_depth(2)
SIZES = {"depth": 2, "width": 8, "image_size": 8, "channels": 1, "classes": 5, "patch_size": 2, "stage_ratio": (1, 1)}
SWIN, CONVNEXT = SwinSpec(**SIZES, window=2, head_dimension=4), ConvNeXtSpec(**SIZES)


def before_and_after(method: Initializer, target: ModelSpec, **fields: object) -> dict[str, tuple[Tensor, Tensor]]:
    """Parameters before and after the method, of those that it changes."""
    where = context(target, **fields)  # type: ignore[arg-type]
    base, after = where.base_weights(target), of(initialized(method, target, None, where))  # type: ignore[arg-type]
    return {name: (base[name], after[name]) for name in base if not torch.equal(base[name], after[name])}


@pytest.mark.parametrize("target", [VIT, SWIN, CONVNEXT], ids=lambda target: target.family)
def test_all_singular_values_of_all_matrices_are_equal(target: ModelSpec) -> None:
    changed = before_and_after(Orthogonal(OrthogonalOptions(gain=1.5)), target)
    for name, (_, weight) in changed.items():
        for matrix in weight.flatten(1).chunk(3 if "qkv" in name else 1):
            values = torch.linalg.svdvals(matrix)
            torch.testing.assert_close(values, torch.full_like(values, 1.5), msg=name)
    matrices = {
        name
        for name, shape in target.parameter_shapes().items()
        if len(shape) > 1 and name.endswith("weight") and "conv_dw" not in name
    }
    assert changed.keys() == matrices
    if target is VIT:
        elsewhere = before_and_after(Orthogonal(OrthogonalOptions()), target, same_task=False)
        assert elsewhere.keys() == matrices - {"head.weight"}


@pytest.mark.parametrize(("target", "widths"), [(replace(VIT, width=12, heads=3), (12, 12)), (SWIN, (8, 16))])
def test_conditioned_heads_have_semi_orthogonal_queries_and_keys(target: ModelSpec, widths: tuple[int, ...]) -> None:
    changed = before_and_after(Conditioned(NoOptions()), target)
    assert len(changed) == 2
    drawn = []
    for (name, (_, weight)), width in zip(changed.items(), widths, strict=True):
        assert name.endswith("attn.qkv.weight")
        query, key, value = weight.split(width)
        for part in (query, key):
            for head in part.split(4):
                torch.testing.assert_close(head @ head.mT, torch.eye(4))
                drawn.append(head[0, :4])
        assert torch.equal(value, torch.eye(width))
    assert len({tuple(head.tolist()) for head in drawn}) == len(drawn)  # each drawn for itself


@pytest.mark.parametrize("matrices", ["k", "kv", "qkv"])
@pytest.mark.parametrize(("target", "widths"), [(VIT, (8, 8)), (SWIN, (8, 16))])
def test_dct_is_scipys(matrices: str, target: ModelSpec, widths: tuple[int, ...]) -> None:
    """The rule, `dct(eye(D), axis=-1, norm="ortho").T`, so that a layer computes the transform of its input."""
    changed = before_and_after(Dct(DctOptions(matrices=matrices)), target)  # type: ignore[arg-type]
    assert len(changed) == 2
    for (base, weight), width in zip(changed.values(), widths, strict=True):
        x = torch.randn(3, width)
        for letter, old, new in zip("qkv", base.split(width), weight.split(width), strict=True):
            expected = torch.from_numpy(dct(x.numpy(), norm="ortho")) if letter in matrices else x @ old.mT
            torch.testing.assert_close(x @ new.mT, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("method", [Conditioned(NoOptions()), Dct(DctOptions())])
def test_a_model_without_attention_is_refused(method: Initializer) -> None:
    assert method.supports(CONVNEXT, CONVNEXT) == "its blocks have no attention"
