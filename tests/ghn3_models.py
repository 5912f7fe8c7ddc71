"""A small hypernetwork, and models of all kinds for it; for tests of GHN-3."""

from __future__ import annotations

from dataclasses import replace

import torch

from learngene_bench.baselines.ghn3.layout import Layout
from learngene_bench.baselines.ghn3.network import Hypernetwork
from learngene_bench.models.vit import ViTSpec

SMALL = Layout(hidden=16, layers=2, heads=4, classes=5, channels=16)
TINY = ViTSpec(depth=3, width=24, heads=3, patch_size=4, image_size=12, channels=1, classes=5)
KINDS = {
    "plain": TINY,
    "narrow": replace(TINY, width=8, heads=1),
    "class token": replace(TINY, class_token=True),
    "iRPE": replace(TINY, irpe=True),
    "colour, wide MLP": replace(TINY, channels=3, mlp_ratio=6.0, depth=1),
    "large patches": replace(TINY, patch_size=20, image_size=40),
    "many patches": replace(TINY, patch_size=2, image_size=36),
    "no head": replace(TINY, classes=0),
}


def small_hypernetwork() -> Hypernetwork:
    """Makes weights of another size in every layer, so that no part of the equations is too small to see."""
    torch.manual_seed(0)
    network = Hypernetwork(SMALL)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape))
    return network
