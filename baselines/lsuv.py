"""LSUV: orthogonal matrices, each scaled so that its outputs on one batch of images have variance 1."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from pydantic import Field

from learngene_bench.config.section import Section
from learngene_bench.contracts.family import ModelSpec
from learngene_bench.contracts.initializer import Initializer
from learngene_bench.models.layers import stacked_matrices
from learngene_bench.models.swin import SwinSpec
from learngene_bench.models.weights import orthogonal_matrices, write_weights
from learngene_bench.schema.cost import Cost
from learngene_bench.util.errors import UserError
from learngene_bench.util.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor, nn

    from learngene_bench.contracts.context import Context
    from learngene_bench.contracts.gene import Gene


class LsuvOptions(Section):
    images: int = Field(64, ge=2, description="training images of the batch that is looked at")
    tolerance: float = Field(0.1, gt=0, description="distance from 1 that a variance may keep")
    iterations: int = Field(10, ge=1, description="most times that a matrix is scaled")


class Lsuv(Initializer[LsuvOptions]):
    """Layer-sequential unit variance (Mishkin and Matas, 2016): no labels, no training, one batch of images.

    Every matrix is drawn orthogonal, as under `orthogonal`. Then, in the order of the forward pass, each is divided by
    the standard deviation of its outputs over images, tokens and channels, until their variance is within `tolerance`
    of 1, or for `iterations` times. Later layers see the outputs of those that were scaled before, so one pass of the
    batch is enough. It is counted, and so are outputs that are computed again.

    Faithful: orthogonal start, tolerance .1, at most 10 iterations (ducha-aiki/LSUVinit). Choices of this suite: query,
    key and value are scaled each for itself; 64 images, the first of the training split, resized where the target takes
    larger or smaller ones; biases, which add to the variance, norms, positions and depthwise convolutions keep the
    preset's base initialization, and so does the head on another task than the source.
    """

    name = "lsuv"
    title = "LSUV"
    group = "direct"
    families = ("vit", "swin", "convnext")
    citation = "Mishkin and Matas, All You Need Is a Good Init, ICLR 2016"
    Options = LsuvOptions

    def reads_images(self) -> bool:
        return True

    def supports(self, target: ModelSpec, base: ModelSpec) -> str | None:
        if isinstance(target, SwinSpec) and target.version == 2:
            return "the outputs of query, key and value cannot be seen in Swin 2"
        return None

    def initialize(self, model: nn.Module, target: ModelSpec, gene: Gene | None, context: Context) -> None:
        matrices = orthogonal_matrices(target, context.generator("lsuv"), head=context.same_task)
        write_weights(model, matrices)
        images = _fitted(context.source_images(self.options.images), target).to(context.device)
        shapes, again = target.parameter_shapes(), list[int]()
        layers = {name: model.get_submodule(name.removesuffix(".weight")) for name in matrices}
        hooks = [
            layer.register_forward_hook(partial(self._scale, stacked_matrices(name, shapes), again))
            for name, layer in layers.items()
        ]
        was_training = model.training
        try:
            with torch.no_grad():
                model.to(context.device).eval()(images)
        finally:
            for hook in hooks:
                hook.remove()
            model.cpu().train(was_training)
        context.spend(Cost(flops=len(images) * target.forward_flops() + sum(again)))

    def _scale(
        self, number: int, again: list[int], layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor
    ) -> Tensor:
        """Scales the matrices of a layer, and returns its outputs with them.

        Args:
            number: matrices that the layer holds one below another.
            again: receives the operations of outputs that are computed again.
        """
        weight = layer.get_parameter("weight")
        channels = 1 if weight.dim() == 4 else -1
        for _ in range(self.options.iterations):
            variances = torch.stack([part.var(unbiased=False) for part in output.chunk(number, dim=channels)])
            is_far = ((variances - 1).abs() > self.options.tolerance) & (variances > 0)
            if not is_far.any():
                break
            factors = torch.where(is_far, variances.rsqrt(), torch.ones_like(variances))
            weight.mul_(factors.repeat_interleave(len(weight) // number).view(-1, *[1] * (weight.dim() - 1)))
            output = layer.forward(*inputs)
            again.append(2 * output.numel() * weight[0].numel())
        return output


def _fitted(images: Tensor, target: ModelSpec) -> Tensor:
    """Resizes images (N, C, H, W) to those that a model takes.

    Raises:
        UserError: they have other channels.
    """
    channels, *sides = target.image_shape()
    if images.shape[1] != channels:
        theirs = tuple(images.shape[1:])
        raise UserError(f"lsuv: images of the source task have shape {theirs}, the model takes {target.image_shape()}")
    if list(images.shape[2:]) == sides:
        return images
    return torch.nn.functional.interpolate(images, tuple(sides), mode="bilinear", antialias=True)
