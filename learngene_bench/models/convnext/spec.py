"""`ConvNeXtSpec`: the sizes of a ConvNeXt, and the shapes that follow from them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from learngene_bench.contracts.family import ModelSpec, Shapes, Stage
from learngene_bench.models.hierarchical import HierarchicalSpec
from learngene_bench.util.errors import UserError

MLP_RATIO = 4


@dataclass(frozen=True, kw_only=True)
class ConvNeXtSpec(HierarchicalSpec):
    """Describes a ConvNeXt (Liu et al., 2022; version 2: Woo et al., 2023) with timm's parameter names.

    Attributes:
        kernel_size: side of the depthwise convolutions.
        version: 1 scales what a block adds by a learned `gamma` (LayerScale); 2 has a global response normalization in
            the MLP (`mlp.grn`) instead.
        convolutional_mlp: True if the linear layers of the MLP are held as convolutions of one position, as in timm's
            small models; they compute the same.

    Raises:
        UserError: sizes that no ConvNeXt can have.
    """

    family: ClassVar[str] = "convnext"
    kernel_size: int = 7
    version: int = 1
    convolutional_mlp: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.version not in (1, 2):
            raise UserError(f"impossible model: version is {self.version}, ConvNeXts have versions 1 and 2")
        if self.kernel_size < 1 or self.kernel_size % 2 == 0:
            raise UserError(f"impossible model: kernel_size is {self.kernel_size}, an odd number is needed")

    def stages(self) -> tuple[Stage, ...]:
        return tuple(
            Stage(f"stages.{stage}.blocks", depth, width, self._block_shapes(width))
            for stage, (depth, width) in enumerate(zip(self.depths, self.widths, strict=True))
        )

    def _block_shapes(self, d: int) -> Shapes:
        hidden, position = MLP_RATIO * d, (1, 1) if self.convolutional_mlp else ()
        scale: Shapes = {"gamma": (d,)} if self.version == 1 else {}
        response: Shapes = {"mlp.grn.weight": (hidden,), "mlp.grn.bias": (hidden,)} if self.version == 2 else {}
        return {
            **scale,
            "conv_dw.weight": (d, 1, self.kernel_size, self.kernel_size),
            "conv_dw.bias": (d,),
            "norm.weight": (d,),
            "norm.bias": (d,),
            "mlp.fc1.weight": (hidden, d, *position),
            "mlp.fc1.bias": (hidden,),
            **response,
            "mlp.fc2.weight": (d, hidden, *position),
            "mlp.fc2.bias": (d,),
        }

    def non_block_shapes(self) -> Shapes:
        """Parameter shapes outside the blocks and the head: stem, layers between stages, final norm."""
        d, p = self.width, self.patch_size
        shapes: Shapes = {
            "stem.0.weight": (d, self.channels, p, p),
            "stem.0.bias": (d,),
            "stem.1.weight": (d,),
            "stem.1.bias": (d,),
        }
        for stage, width in enumerate(self.widths[:-1], 1):
            downsampling = f"stages.{stage}.downsample"
            shapes[f"{downsampling}.0.weight"] = shapes[f"{downsampling}.0.bias"] = (width,)
            shapes[f"{downsampling}.1.weight"] = (2 * width, width, 2, 2)
            shapes[f"{downsampling}.1.bias"] = (2 * width,)
        return {**shapes, "head.norm.weight": (self.widths[-1],), "head.norm.bias": (self.widths[-1],)}

    def head_shapes(self) -> Shapes:
        if not self.classes:
            return {}
        return {"head.fc.weight": (self.classes, self.widths[-1]), "head.fc.bias": (self.classes,)}

    def in_sizes_of(self, other: ConvNeXtSpec) -> ConvNeXtSpec:
        return replace(
            self,
            depth=other.depth,
            width=other.width,
            stage_ratio=other.stage_ratio,
            kernel_size=other.kernel_size,
        )

    def sizes(self) -> str:
        return f"{super().sizes()}, kernels of {self.kernel_size} x {self.kernel_size}"

    def block_mismatch(self, other: ModelSpec) -> str | None:
        assert isinstance(other, ConvNeXtSpec)
        if self.version != other.version:
            return f"its blocks are those of ConvNeXt version {other.version}"
        if self.kernel_size != other.kernel_size:
            return f"its blocks hold kernels of {other.kernel_size} x {other.kernel_size}"
        return super().block_mismatch(replace(other, convolutional_mlp=self.convolutional_mlp))

    def forward_flops(self) -> int:
        """Floating-point operations of one image's forward pass, two for a multiply-add.

        Matrix products and convolutions only (stem, depthwise convolutions, MLP, layers between stages, head).
        """
        flops = 2 * self.sides[0] ** 2 * self.channels * self.patch_size**2 * self.width
        for stage, (depth, d, side) in enumerate(zip(self.depths, self.widths, self.sides, strict=True)):
            positions = side**2
            convolution = 2 * positions * d * self.kernel_size**2
            mlp = 2 * 2 * positions * d * MLP_RATIO * d
            downsampling = 2 * positions * 4 * (d // 2) * d if stage else 0
            flops += depth * (convolution + mlp) + downsampling
        return flops + 2 * self.widths[-1] * self.classes
