"""A model family in one file: a small MLP-Mixer (Tolstikhin et al., 2021), with one linear layer over the tokens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from pydantic import Field
from torch import Generator, Tensor, nn

from learngene_bench import ModelFamily, ModelSpec, Section, UserError
from learngene_bench.config.preset import BaseInitialization
from learngene_bench.contracts.family import BASE_DEPTH, Shapes
from learngene_bench.models.weights import xavier


@dataclass(frozen=True, kw_only=True)
class MixerSpec(ModelSpec):
    """Describes a Mixer of square patches."""

    family: ClassVar[str] = "mixer"
    patch_size: int = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.image_size % self.patch_size:
            raise UserError(f"patch size {self.patch_size} does not divide image size {self.image_size}")

    @property
    def tokens(self) -> int:
        return (self.image_size // self.patch_size) ** 2

    def block_shapes(self) -> Shapes:
        n, d = self.tokens, self.width
        return {
            "norm1.weight": (d,),
            "norm1.bias": (d,),
            "tokens.weight": (n, n),
            "tokens.bias": (n,),
            "norm2.weight": (d,),
            "norm2.bias": (d,),
            "fc1.weight": (2 * d, d),
            "fc1.bias": (2 * d,),
            "fc2.weight": (d, 2 * d),
            "fc2.bias": (d,),
        }

    def non_block_shapes(self) -> Shapes:
        d, p = self.width, self.patch_size
        return {"stem.weight": (d, self.channels, p, p), "stem.bias": (d,), "norm.weight": (d,), "norm.bias": (d,)}

    def head_shapes(self) -> Shapes:
        return {"head.weight": (self.classes, self.width), "head.bias": (self.classes,)} if self.classes else {}

    def forward_flops(self) -> int:
        n, d = self.tokens, self.width
        block = 2 * n * n * d + 2 * n * 4 * d * d
        return self.depth * block + 2 * n * self.channels * self.patch_size**2 * d + 2 * d * self.classes


class Block(nn.Module):
    def __init__(self, spec: MixerSpec) -> None:
        super().__init__()
        self.norm1, self.tokens = nn.LayerNorm(spec.width), nn.Linear(spec.tokens, spec.tokens)
        self.norm2, self.fc1 = nn.LayerNorm(spec.width), nn.Linear(spec.width, 2 * spec.width)
        self.fc2 = nn.Linear(2 * spec.width, spec.width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.tokens(self.norm1(x).mT).mT
        return x + self.fc2(self.fc1(self.norm2(x)).relu())


class Mixer(nn.Module):
    def __init__(self, spec: MixerSpec) -> None:
        super().__init__()
        self.spec = spec
        self.stem = nn.Conv2d(spec.channels, spec.width, spec.patch_size, spec.patch_size)
        self.blocks = nn.Sequential(*(Block(spec) for _ in range(spec.depth)))
        self.norm = nn.LayerNorm(spec.width)
        self.head = nn.Linear(spec.width, spec.classes) if spec.classes else nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.stem(images).flatten(2).mT
        return self.head(self.norm(self.blocks(tokens)).mean(1))


class MixerArchitecture(Section):
    patch_size: int = Field(4, ge=1, description="side of a patch in pixels")


class Mixers(ModelFamily):
    name = "mixer"
    title = "a toy Mixer"
    Spec = MixerSpec
    Architecture = MixerArchitecture

    def base_spec(
        self, architecture: MixerArchitecture, *, width: int, image_size: int, channels: int, classes: int
    ) -> MixerSpec:
        return MixerSpec(
            depth=BASE_DEPTH,
            width=width,
            image_size=image_size,
            channels=channels,
            classes=classes,
            patch_size=architecture.patch_size,
        )

    def build(self, spec: MixerSpec, *, drop_path: float = 0.0, device: str = "cpu") -> Mixer:
        with torch.device("meta"):
            model = Mixer(spec)
        return model if device == "meta" else model.to_empty(device=device)

    def spec_of(self, model: nn.Module) -> MixerSpec | None:
        return model.spec if isinstance(model, Mixer) else None

    def base_weights(self, spec: MixerSpec, base: BaseInitialization, generator: Generator) -> dict[str, Tensor]:
        def value(name: str, shape: tuple[int, ...]) -> Tensor:
            if len(shape) > 1:
                return xavier(shape, generator)
            return torch.full(shape, float("norm" in name and name.endswith("weight")))

        shapes: Mapping[str, tuple[int, ...]] = spec.parameter_shapes()
        return {name: value(name, shape) for name, shape in shapes.items()}
