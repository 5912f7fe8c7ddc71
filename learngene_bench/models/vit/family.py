"""The family `vit`: plain Vision Transformers as timm builds them, with iRPE where a preset asks for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pydantic import Field

from learngene_bench.config.preset import BaseInitialization
from learngene_bench.config.section import Section
from learngene_bench.contracts.family import BASE_DEPTH, EXAMPLE_WIDTH, ModelFamily, ModelSpec
from learngene_bench.models.vit.spec import ViTSpec
from learngene_bench.models.vit.weights import base_value, inherited_positions
from learngene_bench.util.errors import UserError

if TYPE_CHECKING:
    from timm.models.vision_transformer import VisionTransformer
    from torch import Generator, Tensor, nn


class ViTArchitecture(Section):
    """Settings that all Vision Transformers of a preset share; see `ViTSpec`."""

    patch_size: int = Field(ge=1)
    head_dimension: int = Field(ge=1)
    mlp_ratio: float = Field(4.0, gt=0)
    class_token: bool = False
    irpe: bool = False


class ViT(ModelFamily):
    """timm's `VisionTransformer`, as DeiT; without a class token as in the WAVE paper, see `ViTSpec`."""

    name = "vit"
    title = "a timm VisionTransformer"
    Spec = ViTSpec
    Architecture = ViTArchitecture
    has_drop_path = True

    def base_spec(
        self, architecture: ViTArchitecture, *, width: int, image_size: int, channels: int, classes: int
    ) -> ViTSpec:
        one_head = ViTSpec(
            depth=BASE_DEPTH,
            width=architecture.head_dimension,
            heads=1,
            image_size=image_size,
            channels=channels,
            classes=classes,
            **architecture.model_dump(exclude={"head_dimension"}),
        )
        return one_head.with_width(width)

    def build(self, spec: ViTSpec, *, drop_path: float = 0.0, device: str = "cpu") -> VisionTransformer:
        from learngene_bench.models.vit.modules import build_vit

        return build_vit(spec, drop_path=drop_path, device=device)

    def spec_of(self, model: nn.Module) -> ViTSpec | None:
        from timm.models.vision_transformer import VisionTransformer

        from learngene_bench.models.vit.function import computes_as
        from learngene_bench.models.vit.modules import vit_spec_of

        if not isinstance(model, VisionTransformer):
            return None
        spec = vit_spec_of(model)
        return spec if spec is not None and computes_as(model, spec) else None

    def base_weights(self, spec: ViTSpec, base: BaseInitialization, generator: Generator) -> dict[str, Tensor]:
        shapes = spec.parameter_shapes()
        return {name: base_value(spec, name, shape, base, generator) for name, shape in shapes.items()}

    def inherited_non_block(
        self,
        weights: Mapping[str, Tensor],
        source: ViTSpec,
        target: ViTSpec,
        current: Mapping[str, Tensor],
        *,
        head: bool,
    ) -> dict[str, Tensor]:
        taken = super().inherited_non_block(weights, source, target, current, head=head)
        # Also where the shapes agree: the image size decides, not the number of tokens.
        return {**taken, "pos_embed": inherited_positions(weights["pos_embed"], source, target, current["pos_embed"])}

    def timm_call(self, spec: ViTSpec) -> tuple[str, dict[str, Any]]:
        from learngene_bench.models.vit.modules import timm_arguments

        if spec.irpe:
            raise UserError("timm has no iRPE, so it cannot load this model")
        return "vit_tiny_patch16_224", timm_arguments(spec)

    def example_targets(self, *, image_size: int, channels: int, classes: int) -> list[tuple[ModelSpec, ModelSpec]]:
        architecture = ViTArchitecture(patch_size=4, head_dimension=EXAMPLE_WIDTH // 2)
        base = self.base_spec(
            architecture, width=EXAMPLE_WIDTH, image_size=image_size, channels=channels, classes=classes
        )
        wide = base.with_width(2 * base.width)
        with_irpe, with_token = replace(base, irpe=True), replace(base, class_token=True)
        return [
            *((base.with_depth(depth), base) for depth in (6, 4, 12, 5, 1, 13)),
            (wide.with_depth(6), wide),
            *((with_irpe.with_depth(depth), with_irpe) for depth in (6, 4)),
            (with_token.with_depth(6), with_token),
            # Grown from a narrower base, evenly and not; shrunk; with other heads; with another MLP.
            (wide.with_depth(6), base),
            (base.with_depth(6).with_width(base.width + base.head_dimension), base),
            (base.with_depth(6), wide),
            (replace(base, depth=6, heads=2 * base.heads), base),
            (replace(base, depth=6, mlp_ratio=2.0), base),
        ]
