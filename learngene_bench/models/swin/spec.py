"""`SwinSpec`: the sizes of a Swin Transformer, and the shapes that follow from them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from learngene_bench.contracts.family import ModelSpec, Shapes, Stage
from learngene_bench.models.hierarchical import HierarchicalSpec
from learngene_bench.util.errors import UserError

POSITION_UNITS = 512
"""Hidden units of the network that makes the position biases of version 2 (`cpb_mlp`)."""


@dataclass(frozen=True, kw_only=True)
class SwinSpec(HierarchicalSpec):
    """Describes a Swin Transformer (Liu et al., 2021; version 2: Liu et al., 2022) with timm's parameter names.

    Attributes:
        window: positions along a side of the windows that attention is computed in, where the image is as large.
        head_dimension: width of one attention head, the same in all stages.
        mlp_ratio: hidden width of the MLP over the stage's channels.
        version: 1 has a table of position biases in each block; 2 has a small network that makes them, cosine attention
            with a learned scale, and norms after attention and MLP instead of before.
        pretrained_windows: windows of each stage by which version 2 measures distances, if they are not its own.

    Raises:
        UserError: sizes that no Swin Transformer can have.
    """

    family: ClassVar[str] = "swin"
    window: int = 7
    head_dimension: int = 32
    mlp_ratio: float = 4.0
    version: int = 1
    pretrained_windows: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        self.read_numbers("pretrained_windows")
        self.check_positive("window", "head_dimension")
        super().__post_init__()
        if self.version not in (1, 2):
            raise UserError(f"impossible model: version is {self.version}, Swin Transformers have versions 1 and 2")
        if self.width % self.head_dimension:
            raise UserError(f"width {self.width} is not a multiple of the head dimension {self.head_dimension}")
        if self.image_size % self.patch_size:
            raise UserError(
                f"impossible model: patch size {self.patch_size} does not divide image size {self.image_size}"
            )

    def halved(self, side: int) -> int:
        return (side + 1) // 2  # an odd side is padded

    @property
    def windows(self) -> tuple[int, ...]:
        """Positions along a side of a window, in each stage: a small image is one window."""
        return tuple(min(self.window, side) for side in self.sides)

    @property
    def heads(self) -> tuple[int, ...]:
        """Attention heads of each stage."""
        return tuple(width // self.head_dimension for width in self.widths)

    def hidden(self, width: int) -> int:
        """Hidden width of the MLP in a stage of this width."""
        return int(width * self.mlp_ratio)

    def stages(self) -> tuple[Stage, ...]:
        return tuple(
            Stage(f"layers.{stage}.blocks", depth, width, self._block_shapes(width, window), {"attn": heads})
            for stage, (depth, width, window, heads) in enumerate(
                zip(self.depths, self.widths, self.windows, self.heads, strict=True)
            )
        )

    def _block_shapes(self, width: int, window: int) -> Shapes:
        heads, hidden = width // self.head_dimension, self.hidden(width)
        norms: Shapes = {f"norm{n}.{part}": (width,) for n in (1, 2) for part in ("weight", "bias")}
        positions: Shapes = {"attn.relative_position_bias_table": ((2 * window - 1) ** 2, heads)}
        query_key_value: Shapes = {"attn.qkv.weight": (3 * width, width), "attn.qkv.bias": (3 * width,)}
        if self.version == 2:
            positions = {
                "attn.logit_scale": (heads, 1, 1),
                "attn.cpb_mlp.0.weight": (POSITION_UNITS, 2),
                "attn.cpb_mlp.0.bias": (POSITION_UNITS,),
                "attn.cpb_mlp.2.weight": (heads, POSITION_UNITS),
            }
            query_key_value = {
                "attn.q_bias": (width,),
                "attn.v_bias": (width,),
                "attn.qkv.weight": (3 * width, width),
            }
        return {
            **norms,
            **positions,
            **query_key_value,
            "attn.proj.weight": (width, width),
            "attn.proj.bias": (width,),
            "mlp.fc1.weight": (hidden, width),
            "mlp.fc1.bias": (hidden,),
            "mlp.fc2.weight": (width, hidden),
            "mlp.fc2.bias": (width,),
        }

    def non_block_shapes(self) -> Shapes:
        """Parameter shapes outside the blocks and the head: patch embedding, merging of patches, final norm."""
        d, p = self.width, self.patch_size
        shapes: Shapes = {
            "patch_embed.proj.weight": (d, self.channels, p, p),
            "patch_embed.proj.bias": (d,),
            "patch_embed.norm.weight": (d,),
            "patch_embed.norm.bias": (d,),
        }
        for stage, width in enumerate(self.widths[:-1], 1):
            normalised = 4 * width if self.version == 1 else 2 * width
            merging = f"layers.{stage}.downsample"
            shapes[f"{merging}.norm.weight"] = shapes[f"{merging}.norm.bias"] = (normalised,)
            shapes[f"{merging}.reduction.weight"] = (2 * width, 4 * width)
        return {**shapes, "norm.weight": (self.widths[-1],), "norm.bias": (self.widths[-1],)}

    def head_shapes(self) -> Shapes:
        if not self.classes:
            return {}
        return {"head.fc.weight": (self.classes, self.widths[-1]), "head.fc.bias": (self.classes,)}

    def width_step(self) -> int:
        return self.head_dimension

    def in_sizes_of(self, other: SwinSpec) -> SwinSpec:
        sized = replace(self, depth=other.depth, width=other.width, stage_ratio=other.stage_ratio)
        return replace(sized, head_dimension=other.head_dimension, mlp_ratio=other.mlp_ratio)

    def sizes(self) -> str:
        return f"{super().sizes()}, heads of dimension {self.head_dimension}, MLP ratio {self.mlp_ratio:g}"

    def block_mismatch(self, other: ModelSpec) -> str | None:
        assert isinstance(other, SwinSpec)
        if self.version != other.version:
            return f"its blocks are those of Swin version {other.version}"
        if self.head_dimension != other.head_dimension:
            return f"its blocks hold heads of dimension {other.head_dimension}"
        if self.mlp_ratio != other.mlp_ratio:
            return f"its blocks hold an MLP of ratio {other.mlp_ratio:g}"
        if len(self.stage_ratio) == len(other.stage_ratio):  # tables of other windows are resampled
            other = replace(other, image_size=self.image_size, patch_size=self.patch_size, window=self.window)
        return super().block_mismatch(other)

    def forward_flops(self) -> int:
        """Floating-point operations of one image's forward pass, two for a multiply-add.

        Matrix products only (patch embedding, linear layers, attention, the position network of version 2, head).
        Windows that stick out of the image are padded, and count in full where attention is computed.
        """
        flops = 2 * self.sides[0] ** 2 * self.channels * self.patch_size**2 * self.width
        per_stage = zip(self.depths, self.widths, self.sides, self.windows, self.heads, strict=True)
        for stage, (depth, d, side, window, heads) in enumerate(per_stage):
            padded = (-(-side // window) * window) ** 2
            attention = 2 * padded * 4 * d * d + 2 * 2 * padded * window**2 * d
            positions = 2 * (2 * window - 1) ** 2 * POSITION_UNITS * (2 + heads) if self.version == 2 else 0
            mlp = 2 * 2 * side**2 * d * self.hidden(d)
            merging = 2 * side**2 * 2 * d * d if stage else 0  # 4 * (d / 2) channels to d
            flops += depth * (attention + positions + mlp) + merging
        return flops + 2 * self.widths[-1] * self.classes
