"""Counts the floating-point operations of a network's forward pass."""

from __future__ import annotations

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


def counted_flops(network: nn.Module, image_shape: tuple[int, ...], device: str = "cpu") -> int:
    """Counts the operations of one image's forward pass, two for a multiply-add, by torch on a dummy image.

    Args:
        image_shape: channels, height and width.
        device: where the network is; on "meta" nothing is computed.
    """
    counter = FlopCounterMode(display=False)
    training, learned = network.training, [p for p in network.parameters() if p.requires_grad]
    # The counter follows modules through gradients, and cannot where a parameter itself is what comes in.
    network.requires_grad_(False)
    with torch.no_grad(), counter:
        network.eval()(torch.zeros(1, *image_shape, device=device))
    for parameter in learned:
        parameter.requires_grad_(True)
    network.train(training)
    return counter.get_total_flops()
