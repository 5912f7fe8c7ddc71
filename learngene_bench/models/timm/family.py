"""The family `timm`: any model with stacks of equal blocks, found by inspection or built by timm's name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pydantic import Field

from learngene_bench.config.preset import BaseInitialization
from learngene_bench.config.section import Section
from learngene_bench.contracts.family import EXAMPLE_WIDTH, ModelFamily, ModelSpec
from learngene_bench.models.timm.spec import TimmSpec
from learngene_bench.models.timm.structure import Structure
from learngene_bench.util.lazy import torch
from learngene_bench.util.rng import seed_globally

if TYPE_CHECKING:
    from torch import Generator, Tensor, nn


class TimmArchitecture(Section):
    """Settings that all models of a preset share; see `TimmSpec`."""

    architecture: str = Field("deit3_small_patch16_224", min_length=1, description="timm's name")
    head_dimension: int | None = Field(None, ge=1)
    patch_size: int | None = Field(None, ge=1)


class Timm(ModelFamily):
    """Any model with stacks of equal blocks that hold attention or an MLP; timm builds those that it has a name for."""

    name = "timm"
    title = "a model with stacks of blocks"
    Spec = TimmSpec
    Architecture = TimmArchitecture
    has_drop_path = True
    is_general = True

    def base_spec(
        self, architecture: TimmArchitecture, *, width: int, image_size: int, channels: int, classes: int
    ) -> TimmSpec:
        from learngene_bench.models.timm.building import architecture_of

        depth = architecture_of(architecture.architecture).depth
        spec = TimmSpec(
            depth=depth,
            width=width,
            image_size=image_size,
            channels=channels,
            classes=classes,
            **architecture.model_dump(),
        )
        assert spec.parts  # raises if timm builds no such model
        return spec

    def build(self, spec: TimmSpec, *, drop_path: float = 0.0, device: str = "cpu") -> nn.Module:
        from learngene_bench.models.timm.building import build_timm

        return build_timm(spec, drop_path=drop_path, device=device)

    def planned_structure(self, spec: TimmSpec) -> Structure:
        """The parts of the model that timm builds for a spec without a structure.

        Raises:
            UserError: timm builds no such model.
        """
        from learngene_bench.models.timm.building import planned_structure

        return planned_structure(spec)

    def planned_flops(self, spec: TimmSpec) -> int:
        """Counts the operations of one image's forward pass in the model that timm builds.

        Raises:
            UserError: timm builds no such model.
        """
        from learngene_bench.models.timm.building import planned_flops

        return planned_flops(spec)

    def spec_of(self, model: nn.Module) -> TimmSpec:
        from learngene_bench.models.timm.inspection import timm_spec_of

        return timm_spec_of(model)

    def base_weights(self, spec: TimmSpec, base: BaseInitialization, generator: Generator) -> dict[str, Tensor]:
        """Draws every parameter as timm does: the preset's base initialization is that of plain Vision Transformers."""
        from learngene_bench.models.timm.building import build_timm

        seed = int(torch.randint(2**31, (), generator=generator))
        with torch.random.fork_rng([]):
            seed_globally(seed)
            model = build_timm(spec)
        return {name: parameter.detach() for name, parameter in model.named_parameters()}

    def inherited_blocks(self, weights: Mapping[str, Tensor], source: TimmSpec, target: TimmSpec) -> dict[str, Tensor]:
        from learngene_bench.models.timm.adaptation import adapted

        return adapted(super().inherited_blocks(weights, source, target), source, target, {})

    def inherited_non_block(
        self,
        weights: Mapping[str, Tensor],
        source: TimmSpec,
        target: TimmSpec,
        current: Mapping[str, Tensor],
        *,
        head: bool,
    ) -> dict[str, Tensor]:
        from learngene_bench.models.timm.adaptation import adapted

        shapes = {**target.non_block_shapes(), **(target.head_shapes() if head else {})}
        return adapted({name: weights[name] for name in shapes if name in weights}, source, target, current)

    def timm_call(self, spec: TimmSpec) -> tuple[str, dict[str, Any]]:
        from learngene_bench.models.timm.building import timm_arguments

        return spec.architecture, timm_arguments(spec)

    def example_targets(self, *, image_size: int, channels: int, classes: int) -> list[tuple[ModelSpec, ModelSpec]]:
        settings = TimmArchitecture(head_dimension=EXAMPLE_WIDTH // 2, patch_size=4)
        base, wide = (
            self.base_spec(settings, width=width, image_size=image_size, channels=channels, classes=classes)
            for width in (EXAMPLE_WIDTH, 2 * EXAMPLE_WIDTH)
        )
        return [
            *((base.with_depth(depth), base) for depth in (6, 4, 12, 5, 1, 13)),
            (wide.with_depth(6), wide),
            (wide.with_depth(6), base),
            (base.with_depth(6), wide),
            (replace(base, depth=6, architecture="vit_small_patch14_reg4_dinov2"), base),
        ]
