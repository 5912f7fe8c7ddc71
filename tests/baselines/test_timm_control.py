"""The control `timm` against timm: every parameter of a `VisionTransformer(weight_init="")`, by name."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from baseline_models import SMALL, of
from scipy.stats import ks_2samp
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from learngene_bench.baselines.timm_default import TimmDefault
from learngene_bench.config.preset import BaseInitialization, Compute
from learngene_bench.contracts.initializer import NoOptions
from learngene_bench.models.weights import build_model, write_weights
from learngene_bench.training.context import MeteredContext

TARGET = replace(SMALL, width=96, heads=6, depth=2, patch_size=8, image_size=24, channels=3, class_token=True)
POSITIONS = 0.5


@pytest.fixture(scope="module")
def theirs() -> dict[str, Tensor]:
    sizes = {"img_size": 24, "patch_size": 8, "num_classes": 5, "embed_dim": 96, "depth": 2, "num_heads": 6}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return of(VisionTransformer(**sizes, weight_init=""))


@pytest.fixture(scope="module", params=["xavier", "truncated-normal"])
def ours(request: pytest.FixtureRequest) -> dict[str, Tensor]:
    """Returns the weights that the control gives a target whose preset has this base initialization."""
    base = BaseInitialization(weight_init=request.param, position_std=POSITIONS)
    where = MeteredContext(1, torch.device("cpu"), Compute(), base, TARGET)
    model = build_model(TARGET)
    write_weights(model, where.base_weights(TARGET))
    TimmDefault(NoOptions()).initialize(model, TARGET, None, where)
    return of(model)


def test_every_parameter_has_timms_distribution(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> None:
    """All but the standard deviation of positions, which is the preset's."""
    assert ours.keys() == theirs.keys()
    drawn = set()
    for name, expected in theirs.items():
        found = ours[name] * (0.02 / POSITIONS if name == "pos_embed" else 1.0)
        if expected.std() == 0:
            assert torch.equal(found, expected), name
            continue
        drawn.add(name)
        assert ks_2samp(found.flatten(), expected.flatten()).pvalue > 1e-3, name
    matrices = {name for name, tensor in theirs.items() if tensor.dim() == 2}
    assert drawn == matrices | {"patch_embed.proj.weight", "patch_embed.proj.bias", "pos_embed", "cls_token"}


def test_where_the_distributions_end(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> None:
    bound = (3 * 8 * 8) ** -0.5
    for weights in (ours, theirs):
        for name in ("patch_embed.proj.weight", "patch_embed.proj.bias"):
            assert 0.95 * bound < float(weights[name].abs().max()) <= bound, name
        for name in ("blocks.0.attn.qkv.weight", "blocks.1.mlp.fc2.weight"):
            assert float(weights[name].std()) == pytest.approx(0.02, rel=0.03), name
            assert float(weights[name].abs().max()) > 0.07, name  # cut far outside, at 2: no clipping at two deviations
        assert float(weights["cls_token"].std()) == pytest.approx(1e-6, rel=0.25)
