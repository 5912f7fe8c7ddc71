"""Image relative position encoding (Wu et al., ICCV 2021) as MiniViT and the WAVE paper use it.

Contextual mode, product method, ratio 1.9, shared over heads, on queries, keys and values
(microsoft/Cream, `iRPE/DeiT-with-iRPE/irpe.py`: `piecewise_index`, `_rp_2d_product`, `iRPE.forward_rpe_*`).
All tables start at zero, so a model with iRPE computes at first exactly what the same model without it does.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor, nn

from learngene_bench.models.vit.spec import IRPE_BUCKETS

RATIO = 1.9
ALPHA, BETA, GAMMA = 1 * RATIO, 2 * RATIO, 8 * RATIO
SIDE = 2 * int(BETA) + 1
assert SIDE * SIDE == IRPE_BUCKETS


def piecewise_index(distance: int) -> int:
    """The bucket of a signed distance along one axis: exact when near, logarithmic when far, clipped to +-3."""
    if abs(distance) <= ALPHA:
        return distance
    far = ALPHA + math.log(abs(distance) / ALPHA) / math.log(GAMMA / ALPHA) * (BETA - ALPHA)
    return int(math.copysign(min(round(far), BETA), distance))


@lru_cache(maxsize=16)
def bucket_index(side: int, device: torch.device) -> Tensor:
    """Buckets of all pairs of patches of a side x side grid: int64, (side * side, side * side)."""
    axis = torch.tensor([[piecewise_index(i - j) + SIDE // 2 for j in range(side)] for i in range(side)])
    rows = axis.view(side, 1, side, 1)
    columns = axis.view(1, side, 1, side)
    return (rows * SIDE + columns).reshape(side * side, side * side).to(device)


class RelativeAttention(nn.Module):
    """timm's `Attention` with iRPE; takes over its weights' names.

    Attention scores are (q k' + q R_k[b] + (k R_q[b])') / sqrt(d) and outputs (a v + sum_j a_ij R_v[b_ij]); b is the
    bucket of a pair of patches. The attention matrix is formed, so no fused kernel can be used. A class token takes
    no part in the encoding.

    Args:
        attention: timm's attention module to take over.
        side: patches along one side of the image.
        prefix_tokens: tokens before the patches.
    """

    def __init__(self, attention: nn.Module, side: int, prefix_tokens: int) -> None:
        super().__init__()
        self.num_heads: int = attention.num_heads  # type: ignore[assignment]
        self.head_dim: int = attention.head_dim  # type: ignore[assignment]
        self.side, self.prefix_tokens = side, prefix_tokens
        device = next(attention.parameters()).device
        self.rpe_q = nn.Parameter(torch.zeros(1, self.head_dim, IRPE_BUCKETS, device=device))
        self.rpe_k = nn.Parameter(torch.zeros(1, self.head_dim, IRPE_BUCKETS, device=device))
        self.rpe_v = nn.Parameter(torch.zeros(1, IRPE_BUCKETS, self.head_dim, device=device))
        self.qkv, self.proj = attention.qkv, attention.proj

    def forward(self, x: Tensor, attn_mask: Tensor | None = None, is_causal: bool = False) -> Tensor:
        batch, tokens, width = x.shape
        qkv = self.qkv(x).reshape(batch, tokens, 3, self.num_heads, self.head_dim)  # type: ignore[operator]
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        buckets = bucket_index(self.side, x.device)
        skip = self.prefix_tokens
        patches = (Ellipsis, slice(skip, None), slice(skip, None))
        attention = self.attention(q, k)
        out = attention @ v
        # Summing attention by bucket first needs no (tokens, tokens, d) tensor.
        by_bucket = attention.new_zeros(*attention.shape[:2], tokens - skip, IRPE_BUCKETS)
        by_bucket = by_bucket.scatter_add(-1, buckets.expand(*attention.shape[:2], -1, -1), attention[patches])
        encoded = by_bucket @ self.rpe_v
        out = torch.cat([out[..., :skip, :], out[..., skip:, :] + encoded], dim=-2) if skip else out + encoded
        return self.proj(out.transpose(1, 2).reshape(batch, tokens, width))  # type: ignore[operator]

    def attention(self, q: Tensor, k: Tensor) -> Tensor:
        """Attention matrices (B, heads, N, N), a row for each query, of queries and keys (B, heads, N, d)."""
        buckets = bucket_index(self.side, q.device)
        skip = self.prefix_tokens
        scores = q @ k.transpose(-2, -1)
        patches = (Ellipsis, slice(skip, None), slice(skip, None))
        scores[patches] = scores[patches] + (
            self._look_up(q[..., skip:, :] @ self.rpe_k, buckets)
            + self._look_up(k[..., skip:, :] @ self.rpe_q, buckets).transpose(-2, -1)
        )
        return (scores * self.head_dim**-0.5).softmax(-1)

    @staticmethod
    def _look_up(products: Tensor, buckets: Tensor) -> Tensor:
        """Picks products (B, h, N, buckets) at each pair's bucket: (B, h, N, N)."""
        return products.gather(-1, buckets.expand(*products.shape[:2], -1, -1))
