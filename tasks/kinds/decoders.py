"""Decoders of Segmenter (Strudel et al., 2021): from the last representation of a timm model to a map of classes."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable
from itertools import product

import torch
from timm.models.vision_transformer import Block
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from learngene_bench.util.errors import UserError

PIXELS_AT_ONCE = 2**22
"""Pixels of the windows that the network sees at a time."""


class Decoder(nn.Module):
    """A model and what makes a map of classes of its last representation, as large as the images.

    Every position of that representation, after the final norm, passes the model's own head as if it were an image of
    one position: pooling over it changes nothing. So any timm model will do, whatever its head is made of.

    An image of the model's size is one window; a larger one is covered by several.

    Args:
        side: side of the images that the model sees.
        stride: pixels from one window to the next, at most `side`.

    Raises:
        UserError: the model is not built like timm's.
    """

    def __init__(self, model: nn.Module, side: int, stride: int) -> None:
        super().__init__()
        if not (hasattr(model, "forward_features") and hasattr(model, "forward_head")):
            raise UserError(
                f"a {type(model).__name__} has no forward_features and forward_head, as models of timm have, so its "
                "representation of an image cannot be decoded"
            )
        self.model, self.side, self.stride = model, side, stride

    @abstractmethod
    def window(self, images: Tensor) -> Tensor:
        """Maps images of the model's size, (B, C, side, side), to logits (B, classes, side, side)."""

    def forward(self, images: Tensor) -> Tensor:
        """Maps images (B, C, H, W), in which a window has room, to logits (B, classes, H, W)."""
        if images.shape[-2:] == (self.side, self.side):
            return self.window(images)
        return over_windows(self.window, images, self.side, self.stride)

    def no_weight_decay(self) -> set[str]:
        """Names the parameters that timm's optimizers do not decay: positions, class token."""
        names: set[str] = getattr(self.model, "no_weight_decay", set)()
        return {f"model.{name}" for name in names}

    def at_every_position(self, images: Tensor, *, features: bool) -> Tensor:
        """Applies the model's head at every position: (B, rows, columns, classes).

        Args:
            features: True for the numbers that the head's last layer would see, (B, rows, columns, D).
        """
        model = self.model
        tokens = model.forward_features(images)  # type: ignore[operator]
        channels_first = tokens.ndim == 4 and getattr(model, "output_fmt", "NCHW") == "NCHW"
        if tokens.ndim == 3:
            tokens = tokens[:, getattr(model, "num_prefix_tokens", 0) :]
            side = math.isqrt(tokens.shape[1])
            positions, grid = tokens.reshape(-1, 1, tokens.shape[-1]), (side, side)
        elif channels_first:
            positions, grid = tokens.permute(0, 2, 3, 1).reshape(-1, tokens.shape[1], 1, 1), tokens.shape[2:]
        else:
            positions, grid = tokens.reshape(-1, 1, 1, tokens.shape[-1]), tokens.shape[1:3]
        made: Tensor = model.forward_head(positions, pre_logits=features)  # type: ignore[operator]
        return made.reshape(len(images), *grid, -1)


class LinearDecoder(Decoder):
    """The model's head at every position, drawn larger: no parameters of its own."""

    def window(self, images: Tensor) -> Tensor:
        return _enlarged(self.at_every_position(images, features=False), images)


class MaskDecoder(Decoder):
    """Two Transformer blocks over positions and one token for each class; a logit is a product of two of them.

    Dropout .1, no stochastic depth. Products are of vectors of length 1, and are normalised over the classes.

    Args:
        model: without a head.
        generator: draws all parameters.
    """

    def __init__(self, model: nn.Module, side: int, stride: int, classes: int, generator: Generator) -> None:
        super().__init__(model, side, stride)
        width, self.classes = int(model.num_features), classes  # type: ignore[arg-type]
        heads = max(1, width // 64)
        while width % heads:
            heads -= 1
        with torch.device("meta"):
            self.embedding = nn.Linear(width, width)
            self.class_tokens = nn.Parameter(torch.empty(1, classes, width))
            self.blocks = nn.Sequential(
                *(Block(width, heads, qkv_bias=True, proj_drop=0.1, attn_drop=0.1) for _ in range(2))
            )
            self.norm = nn.LayerNorm(width)
            self.project_positions = nn.Parameter(torch.empty(width, width))
            self.project_classes = nn.Parameter(torch.empty(width, width))
            self.class_norm = nn.LayerNorm(classes)
        for name, part in list(self.named_children()):
            if name != "model":
                part.to_empty(device="cpu")
        for name in ("class_tokens", "project_positions", "project_classes"):
            setattr(self, name, nn.Parameter(torch.empty(getattr(self, name).shape)))
        self._draw(width, generator)

    @torch.no_grad()
    def _draw(self, width: int, generator: Generator) -> None:
        for name, parameter in self.named_parameters():
            if name.startswith("model."):
                continue
            if name.startswith("project_"):
                parameter.normal_(std=width**-0.5, generator=generator)
            elif "norm" in name and name.endswith("weight"):
                parameter.fill_(1.0)
            elif parameter.dim() == 1:
                parameter.zero_()
            else:
                nn.init.trunc_normal_(parameter, std=0.02, generator=generator)

    def no_weight_decay(self) -> set[str]:
        return {*super().no_weight_decay(), "class_tokens"}

    def window(self, images: Tensor) -> Tensor:
        features = self.at_every_position(images, features=True)
        grid = features.shape[1:3]
        tokens = torch.cat([self.embedding(features.flatten(1, 2)), self.class_tokens.expand(len(images), -1, -1)], 1)
        tokens = self.norm(self.blocks(tokens))
        positions = F.normalize(tokens[:, : -self.classes] @ self.project_positions, dim=-1)
        classes = F.normalize(tokens[:, -self.classes :] @ self.project_classes, dim=-1)
        return _enlarged(self.class_norm(positions @ classes.mT).unflatten(1, grid), images)


def over_windows(network: Callable[[Tensor], Tensor], images: Tensor, side: int, stride: int) -> Tensor:
    """Computes logits (B, classes, H, W) window by window, and averages them where windows overlap.

    Args:
        network: maps images (B, C, side, side) to logits (B, classes, side, side).
        images: (B, C, H, W), neither side smaller than a window.
    """
    height, width = images.shape[-2:]
    rows, columns = (window_starts(length, side, stride) for length in (height, width))
    places = [(slice(top, top + side), slice(left, left + side)) for top, left in product(rows, columns)]
    windows = torch.cat([images[:, :, place[0], place[1]] for place in places])
    logits = torch.cat([network(some) for some in windows.split(max(1, PIXELS_AT_ONCE // side**2))])
    total = logits.new_zeros(len(images), logits.shape[1], height, width)
    count = logits.new_zeros(height, width)
    for (row, column), part in zip(places, logits.split(len(images)), strict=True):
        total[:, :, row, column] += part
        count[row, column] += 1
    return total / count


def window_starts(length: int, side: int, stride: int) -> list[int]:
    """Returns the first pixel of each window along a length; the last window is shifted inwards to the border."""
    return [min(start, length - side) for start in range(0, length - side + stride, stride)]


def _enlarged(logits: Tensor, images: Tensor) -> Tensor:
    """Draws maps (B, rows, columns, classes) as large as the images, bilinearly: (B, classes, H, W)."""
    return F.interpolate(logits.permute(0, 3, 1, 2).float(), images.shape[-2:], mode="bilinear")
