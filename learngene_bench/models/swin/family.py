"""The family `swin`: Swin Transformers of version 1 and 2, as timm builds them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, PositiveInt

from learngene_bench.config.preset import BaseInitialization
from learngene_bench.config.section import Section
from learngene_bench.contracts.family import BASE_DEPTH, EXAMPLE_WIDTH, ModelFamily, ModelSpec
from learngene_bench.models.hierarchical import STAGE_RATIO
from learngene_bench.models.swin.spec import SwinSpec
from learngene_bench.models.swin.weights import TABLE, base_value, resized_table

if TYPE_CHECKING:
    from torch import Generator, Tensor, nn


class SwinArchitecture(Section):
    """Settings that all Swin Transformers of a preset share; see `SwinSpec`."""

    patch_size: int = Field(4, ge=1)
    window: int = Field(7, ge=1)
    head_dimension: int = Field(32, ge=1)
    mlp_ratio: float = Field(4.0, gt=0)
    stage_ratio: tuple[PositiveInt, ...] = Field(STAGE_RATIO, min_length=1)
    version: Literal[1, 2] = 1


class Swin(ModelFamily):
    """timm's `SwinTransformer` and `SwinTransformerV2`, see `SwinSpec`."""

    name = "swin"
    title = "a timm Swin Transformer"
    Spec = SwinSpec
    Architecture = SwinArchitecture
    has_drop_path = True

    def base_spec(
        self, architecture: SwinArchitecture, *, width: int, image_size: int, channels: int, classes: int
    ) -> SwinSpec:
        return SwinSpec(
            depth=BASE_DEPTH,
            width=width,
            image_size=image_size,
            channels=channels,
            classes=classes,
            **architecture.model_dump(),
        )

    def build(self, spec: SwinSpec, *, drop_path: float = 0.0, device: str = "cpu") -> nn.Module:
        from learngene_bench.models.swin.modules import build_swin

        return build_swin(spec, drop_path=drop_path, device=device)

    def spec_of(self, model: nn.Module) -> SwinSpec | None:
        from learngene_bench.models.swin.modules import swin_spec_of

        return swin_spec_of(model)

    def base_weights(self, spec: SwinSpec, base: BaseInitialization, generator: Generator) -> dict[str, Tensor]:
        shapes = spec.parameter_shapes()
        return {name: base_value(spec, name, shape, base, generator) for name, shape in shapes.items()}

    def inherited_blocks(self, weights: Mapping[str, Tensor], source: SwinSpec, target: SwinSpec) -> dict[str, Tensor]:
        taken = super().inherited_blocks(weights, source, target)
        for stage, window in zip(target.stages(), target.windows, strict=True):
            for layer in range(stage.depth):
                if (name := stage.parameter(layer, TABLE)) in taken:
                    taken[name] = resized_table(taken[name], window)
        return taken

    def timm_call(self, spec: SwinSpec) -> tuple[str, dict[str, Any]]:
        from learngene_bench.models.swin.modules import timm_arguments

        architecture = "swin_tiny_patch4_window7_224" if spec.version == 1 else "swinv2_tiny_window8_256"
        return architecture, timm_arguments(spec)

    def example_targets(self, *, image_size: int, channels: int, classes: int) -> list[tuple[ModelSpec, ModelSpec]]:
        architecture = SwinArchitecture(
            patch_size=2, window=3, head_dimension=EXAMPLE_WIDTH // 2, mlp_ratio=2.0, stage_ratio=(1, 1)
        )
        base = self.base_spec(
            architecture, width=EXAMPLE_WIDTH, image_size=image_size, channels=channels, classes=classes
        )
        wide, second = base.with_width(2 * base.width), replace(base, version=2)
        return [
            *((base.with_depth(depth), base) for depth in (6, 4)),
            (second.with_depth(6), second),
            (wide.with_depth(6), base),
            (base.with_depth(6), wide),
        ]
