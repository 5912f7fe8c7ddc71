"""The family `convnext`: ConvNeXts of version 1 and 2, as timm builds them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, PositiveInt

from learngene_bench.config.preset import BaseInitialization
from learngene_bench.config.section import Section
from learngene_bench.contracts.family import BASE_DEPTH, EXAMPLE_WIDTH, ModelFamily, ModelSpec
from learngene_bench.models.convnext.spec import ConvNeXtSpec
from learngene_bench.models.convnext.weights import base_value
from learngene_bench.models.hierarchical import STAGE_RATIO

if TYPE_CHECKING:
    from torch import Generator, Tensor, nn


class ConvNeXtArchitecture(Section):
    """Settings that all ConvNeXts of a preset share; see `ConvNeXtSpec`."""

    patch_size: int = Field(4, ge=1)
    kernel_size: int = Field(7, ge=1)
    stage_ratio: tuple[PositiveInt, ...] = Field(STAGE_RATIO, min_length=1, max_length=4)
    version: Literal[1, 2] = 1


class ConvNeXts(ModelFamily):
    """timm's `ConvNeXt`, see `ConvNeXtSpec`; with fewer than its four stages where a preset says so."""

    name = "convnext"
    title = "a timm ConvNeXt"
    Spec = ConvNeXtSpec
    Architecture = ConvNeXtArchitecture
    has_drop_path = True

    def base_spec(
        self, architecture: ConvNeXtArchitecture, *, width: int, image_size: int, channels: int, classes: int
    ) -> ConvNeXtSpec:
        return ConvNeXtSpec(
            depth=BASE_DEPTH,
            width=width,
            image_size=image_size,
            channels=channels,
            classes=classes,
            **architecture.model_dump(),
        )

    def build(self, spec: ConvNeXtSpec, *, drop_path: float = 0.0, device: str = "cpu") -> nn.Module:
        from learngene_bench.models.convnext.modules import build_convnext

        return build_convnext(spec, drop_path=drop_path, device=device)

    def spec_of(self, model: nn.Module) -> ConvNeXtSpec | None:
        from learngene_bench.models.convnext.modules import convnext_spec_of

        return convnext_spec_of(model)

    def base_weights(self, spec: ConvNeXtSpec, base: BaseInitialization, generator: Generator) -> dict[str, Tensor]:
        shapes = spec.parameter_shapes()
        return {name: base_value(name, shape, base, generator) for name, shape in shapes.items()}

    def inherited_blocks(
        self, weights: Mapping[str, Tensor], source: ConvNeXtSpec, target: ConvNeXtSpec
    ) -> dict[str, Tensor]:
        taken, shapes = super().inherited_blocks(weights, source, target), target.parameter_shapes()
        # A linear layer and a convolution of one position hold the same numbers in other shapes.
        return {name: weight.reshape(shapes[name]) for name, weight in taken.items()}

    def timm_call(self, spec: ConvNeXtSpec) -> tuple[str, dict[str, Any]]:
        from learngene_bench.models.convnext.modules import timm_arguments

        return "convnext_tiny" if spec.version == 1 else "convnextv2_tiny", timm_arguments(spec)

    def example_targets(self, *, image_size: int, channels: int, classes: int) -> list[tuple[ModelSpec, ModelSpec]]:
        architecture = ConvNeXtArchitecture(patch_size=2, kernel_size=3, stage_ratio=(1, 1))
        base = self.base_spec(
            architecture, width=EXAMPLE_WIDTH // 2, image_size=image_size, channels=channels, classes=classes
        )
        wide, second = base.with_width(2 * base.width), replace(base, version=2)
        return [
            *((base.with_depth(depth), base) for depth in (6, 4)),
            (second.with_depth(6), second),
            (wide.with_depth(6), base),
            (base.with_depth(6), wide),
        ]
