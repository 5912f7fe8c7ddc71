"""`ViTSpec`: describes a Vision Transformer, its parameter shapes and its cost, without torch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from learngene_bench.contracts.family import SOLE_STAGE, ModelSpec, Shapes, Stage
from learngene_bench.util.errors import UserError

IRPE_BUCKETS = 49
"""Buckets of one iRPE table: 7 x 7, product method, ratio 1.9 (microsoft/Cream, `iRPE`)."""


@dataclass(frozen=True, kw_only=True)
class ViTSpec(ModelSpec):
    """Describes a Vision Transformer.

    The paper's DeiT (section 0.1 of the method notes, WAVE's 49 iRPE buckets) has no class token, normalises
    every token and then pools by the mean; `class_token=True` gives timm's plain DeiT.

    Attributes:
        width: embedding dimension D.
        heads: attention heads; must divide the width.
        patch_size: side of a square patch in pixels; must divide the image size.
        mlp_ratio: hidden width of the MLP over D.
        class_token: True if a class token is prepended, which the head then reads.
        irpe: image relative position encoding on q, k and v, shared over heads.

    Raises:
        UserError: sizes that no Vision Transformer can have.
    """

    family: ClassVar[str] = "vit"
    heads: int
    patch_size: int
    mlp_ratio: float = 4.0
    class_token: bool = False
    irpe: bool = False

    def __post_init__(self) -> None:
        self.check_positive("depth", "width", "heads", "patch_size", "image_size", "channels")
        if self.width % self.heads:
            divisors = ", ".join(str(h) for h in range(1, self.width + 1) if self.width % h == 0)
            raise UserError(
                f"impossible model: {self.heads} heads do not divide width {self.width} (heads: {divisors})"
            )
        if self.image_size % self.patch_size:
            raise UserError(
                f"impossible model: patch size {self.patch_size} does not divide image size {self.image_size}"
            )

    @property
    def patches(self) -> int:
        """Number of patches of one image."""
        return (self.image_size // self.patch_size) ** 2

    @property
    def tokens(self) -> int:
        """Number of tokens that the blocks see: the patches, and the class token if there is one."""
        return self.patches + self.class_token

    @property
    def head_dimension(self) -> int:
        """Width of one attention head."""
        return self.width // self.heads

    @property
    def hidden(self) -> int:
        """Hidden width of the MLP."""
        return int(self.width * self.mlp_ratio)

    def block_shapes(self) -> Shapes:
        """Parameter shapes of one block, by timm's names within the block, in timm's order."""
        d, hidden = self.width, self.hidden
        tables: Shapes = {}
        if self.irpe:
            table = (1, self.head_dimension, IRPE_BUCKETS)
            tables = {"attn.rpe_q": table, "attn.rpe_k": table, "attn.rpe_v": (1, IRPE_BUCKETS, self.head_dimension)}
        return {
            "norm1.weight": (d,),
            "norm1.bias": (d,),
            **tables,
            "attn.qkv.weight": (3 * d, d),
            "attn.qkv.bias": (3 * d,),
            "attn.proj.weight": (d, d),
            "attn.proj.bias": (d,),
            "norm2.weight": (d,),
            "norm2.bias": (d,),
            "mlp.fc1.weight": (hidden, d),
            "mlp.fc1.bias": (hidden,),
            "mlp.fc2.weight": (d, hidden),
            "mlp.fc2.bias": (d,),
        }

    def stages(self) -> tuple[Stage, ...]:
        return (Stage(SOLE_STAGE, self.depth, self.width, self.block_shapes(), {"attn": self.heads}),)

    def non_block_shapes(self) -> Shapes:
        """Parameter shapes outside the blocks and the head: patch and position embedding, final norm."""
        d, p = self.width, self.patch_size
        return {
            **({"cls_token": (1, 1, d)} if self.class_token else {}),
            "pos_embed": (1, self.tokens, d),
            "patch_embed.proj.weight": (d, self.channels, p, p),
            "patch_embed.proj.bias": (d,),
            "norm.weight": (d,),
            "norm.bias": (d,),
        }

    def head_shapes(self) -> Shapes:
        if not self.classes:
            return {}
        return {"head.weight": (self.classes, self.width), "head.bias": (self.classes,)}

    def with_width(self, width: int) -> ViTSpec:
        if width % self.head_dimension:
            raise UserError(f"width {width} is not a multiple of the head dimension {self.head_dimension}")
        return replace(self, width=width, heads=width // self.head_dimension)

    def width_step(self) -> int:
        return self.head_dimension

    def in_sizes_of(self, other: ViTSpec) -> ViTSpec:
        return replace(self, depth=other.depth, width=other.width, heads=other.heads, mlp_ratio=other.mlp_ratio)

    def sizes(self) -> str:
        return f"depth {self.depth}, width {self.width}, {self.heads} heads, MLP ratio {self.mlp_ratio:g}"

    def block_mismatch(self, other: ModelSpec) -> str | None:
        assert isinstance(other, ViTSpec)
        if self.width != other.width:
            return f"its blocks have width {other.width}"
        if self.head_dimension != other.head_dimension:
            return f"its blocks hold heads of dimension {other.head_dimension}"
        if self.hidden != other.hidden:
            return f"its blocks hold an MLP of hidden width {other.hidden}"
        return None  # iRPE tables that only one of two models has are left out

    def forward_flops(self) -> int:
        """Floating-point operations of one image's forward pass, two for a multiply-add.

        Matrix products only (patch embedding, linear layers, attention, iRPE look-ups, head): norms,
        activations and softmax are left out, as is usual.
        """
        n, d = self.tokens, self.width
        linear = 2 * n * (3 * d * d + d * d + 2 * d * self.hidden)
        attention = 2 * 2 * n * n * d
        irpe = 3 * 2 * n * d * IRPE_BUCKETS if self.irpe else 0
        patch_embedding = 2 * self.patches * self.channels * self.patch_size**2 * d
        return self.depth * (linear + attention + irpe) + patch_embedding + 2 * d * self.classes
