"""Layers whose result for an image depends on its whole batch: batch norm and drop path.

A process of several has only a part of the batch. While `whole_batch` is open, batch norm takes its statistics over
all parts, and drop path draws for all images and takes the own ones, so that training is that of one process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import torch
import torch.nn.functional as F
from timm.layers import DropPath
from timm.layers.drop import drop_path
from torch import Tensor, nn

from learngene_bench.distributed.shard import Part
from learngene_bench.distributed.world import World
from learngene_bench.util.errors import MethodFailure

_batch_norm = F.batch_norm


@contextmanager
def whole_batch(network: nn.Module, part: Callable[[], Part], world: World) -> Iterator[None]:
    """Lets `network` train on a part of the batch as if it had the whole; does nothing where there is one process.

    Batch norm is replaced as a function, as every kind of it comes through there, timm's with an activation too;
    drop path in its class, as that of a `MaterialisedModel` is in a module that is none of its own.

    Args:
        part: what this process has of the current batch.

    Raises:
        MethodFailure: the network has dropout, whose random numbers would be others than those of one process.
    """
    if world.size == 1:
        yield
        return
    for name, module in network.named_modules():
        if isinstance(module, nn.modules.dropout._DropoutNd) and module.p > 0:
            raise MethodFailure(f"several processes cannot train a network with dropout ({name}); use drop path")

    def batch_norm(images: Tensor, mean: Tensor | None, variance: Tensor | None, *others: Any, **named: Any) -> Tensor:
        return _batch_norm_over_all(part(), images, mean, variance, *others, **named)

    def forward(layer: DropPath, images: Tensor) -> Tensor:
        if layer.drop_prob == 0.0 or not layer.training:
            return images
        ones = images.new_ones((part().used, *[1] * (images.ndim - 1)))
        return images * part().select(drop_path(ones, layer.drop_prob, True, layer.scale_by_keep))

    with ExitStack() as stack:
        stack.enter_context(patch.object(F, "batch_norm", batch_norm))
        stack.enter_context(patch.object(DropPath, "forward", forward))
        yield


@torch.compiler.disable  # collectives inside an autograd function
def _batch_norm_over_all(
    part: Part,
    images: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """`torch.nn.functional.batch_norm` (Ioffe & Szegedy 2015) with the statistics of all processes' images.

    torch's own SyncBatchNorm refuses CPUs. Two sums over the processes, the variance after the mean: from sums of
    squares it would cancel in float32.
    """
    if not training:
        return _batch_norm(images, running_mean, running_var, weight, bias, training, momentum, eps)
    values = images.to(torch.promote_types(images.dtype, torch.float32))
    over = [axis for axis in range(values.ndim) if axis != 1]
    shape = [-1 if axis == 1 else 1 for axis in range(values.ndim)]
    count = round(values.numel() // values.shape[1] / part.share)
    mean = _SumOverAll.apply(values.sum(over)) / count
    centred = values - mean.view(shape)
    variance = _SumOverAll.apply(centred.square().sum(over)) / count
    with torch.no_grad():
        if running_mean is not None:
            running_mean.lerp_(mean.to(running_mean.dtype), momentum)
        if running_var is not None:
            running_var.lerp_((variance * (count / (count - 1))).to(running_var.dtype), momentum)
    scale = (variance + eps).rsqrt() if weight is None else (variance + eps).rsqrt() * weight
    result = centred * scale.view(shape)
    return (result if bias is None else result + bias.view(shape)).to(images.dtype)


class _SumOverAll(torch.autograd.Function):
    """The sum of a tensor over all processes; its gradient is the sum of theirs."""

    @staticmethod
    def forward(context: Any, tensor: Tensor) -> Tensor:
        total = tensor.clone()
        torch.distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:
        total = gradient.clone()
        torch.distributed.all_reduce(total)
        return total
