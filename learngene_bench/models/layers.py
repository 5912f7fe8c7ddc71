"""Names the layers of a block by its parameters: attention, MLP, the last layers of branches; stacked matrices.

Everything here reads names and shapes only, so it works for a description as for a model of any family.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import prod

from learngene_bench.contracts.family import ModelSpec, Shapes, Stage
from learngene_bench.util.errors import UserError

INPUTS: tuple[tuple[str, ...], ...] = (
    ("qkv.",),
    *(("q.", "k.", "v."), ("q_proj.", "k_proj.", "v_proj."), ("wq.", "wk.", "wv.")),
    *(("q.", "kv."), ("qk.", "v.")),
)
"""Layers that make query, key and value, in this order."""
PROJECTIONS = ("proj.", "out_proj.")
OF_ANOTHER_KIND = {
    "temperature": "attends between channels",
    "attention_biases": "keeps query, key and value of a head together",
    "w_g": "has no matrix of attention",
}
"""Parameters that only attention of another kind has, beside layers of the same names."""

MLP = re.compile(r"(?P<path>(.*\.)?mlp[^.]*)\.")
LAST_LAYERS = (*PROJECTIONS, "fc2.", "w3.")
"""Last layers of an attention or an MLP."""
BEFORE_THE_MLP = "conv_dw."
"""A ConvNeXt's first layer, which is in one branch with the MLP."""


@dataclass(frozen=True)
class Rows:
    """Rows of a parameter of a block.

    Attributes:
        component: the parameter's name in the block.
        start, stop: the rows.
    """

    component: str
    start: int
    stop: int


@dataclass(frozen=True)
class SelfAttention:
    """The four D x D matrices of a self-attention, y = x W'.

    Attributes:
        path: name of the attention in the block; "attn".
        biases: the parameters that are added to the outputs of the four matrices.
    """

    path: str
    heads: int
    width: int
    query: Rows
    key: Rows
    value: Rows
    projection: Rows
    biases: tuple[str, ...]

    @property
    def matrices(self) -> tuple[Rows, Rows, Rows, Rows]:
        """Query, key, value and projection."""
        return self.query, self.key, self.value, self.projection


def self_attentions(stage: Stage) -> list[SelfAttention]:
    """Finds the attentions of a block.

    Raises:
        UserError: there is none, or one whose four layers are not D x D matrices; one line names it.
    """
    found = [_self_attention(stage, path, heads) for path, heads in stage.heads.items()]
    if not found:
        raise UserError("its blocks have no attention")
    return found


def _self_attention(stage: Stage, path: str, heads: int) -> SelfAttention:
    prefix, shapes = f"{path}." if path else "", stage.shapes
    where = f"the attention of its blocks ({path})" if path else "the attention of its blocks"
    for name, reason in OF_ANOTHER_KIND.items():
        if f"{prefix}{name}" in shapes:
            raise UserError(f"{where} {reason}: it has {name}")
    inputs = next((names for names in INPUTS if all(f"{prefix}{name}weight" in shapes for name in names)), ())
    layers = (*inputs, *(name for name in PROJECTIONS if f"{prefix}{name}weight" in shapes))
    weights = [f"{prefix}{layer}weight" for layer in layers]
    rows = [shapes[weight][0] for weight in weights]
    widths = {shapes[weight][1:] for weight in weights}
    if len(widths) != 1 or len(weights) < 2 or any(len(width) != 1 for width in widths):
        raise UserError(f"{where} has no matrices for query, key, value and projection")
    (width,) = next(iter(widths))
    if rows[-1] != width or sum(rows[:-1]) != 3 * width or any(count % width for count in rows):
        raise UserError(
            f"{where} is not of four {width} x {width} matrices: "
            + ", ".join(f"{weight} is {shapes[weight][0]} x {width}" for weight in weights)
        )
    query, key, value, projection = (
        Rows(weight, start, start + width)
        for weight, count in zip(weights, rows, strict=True)
        for start in range(0, count, width)
    )
    names = {f"{prefix}{layer}bias" for layer in layers} | {f"{prefix}{name}_bias" for name in ("q", "k", "v", "qkv")}
    return SelfAttention(path, heads, width, query, key, value, projection, tuple(n for n in shapes if n in names))


def attention_mismatch(spec: ModelSpec) -> str | None:
    """The reason why a model has no attention, or one that is not of D x D matrices; None if all of it is."""
    try:
        if not [self_attentions(stage) for stage in spec.stages() if stage.heads]:
            return "its blocks have no attention"
    except UserError as error:
        return str(error)
    return None


def branch_outputs(stage: Stage) -> list[str]:
    """Names the weights of the layers whose outputs a block adds to its input: one for each attention and each MLP.

    Raises:
        UserError: a branch whose last layer is not known, or a norm between it and the sum; one line names it.
    """
    shapes, paths = stage.shapes, [*stage.heads, *_mlp_paths(stage)]
    outputs = []
    for path in paths:
        last = [name for layer in LAST_LAYERS if (name := _in(path, f"{layer}weight")) in shapes]
        if len(last) != 1:
            raise UserError(f"the last layer of {path or 'the attention'} of its blocks is not known")
        outputs += last
    for name, shape in shapes.items():
        is_known = name.startswith((*(_in(path, "") for path in paths), BEFORE_THE_MLP))
        if prod(shape) > max(shape) and not is_known:
            raise UserError(f"the place of {name} in its blocks is not known")
    # timm makes the modules of a block in the order of their use, but for Swin 2, whose attention has a learned scale.
    parts = [name for name in shapes if not name.rpartition(".")[2].startswith("gamma")]
    scaled = next((name for name in shapes if name.endswith("logit_scale")), "")
    if scaled or (stage.heads and parts[0].startswith(tuple(_in(path, "") for path in paths))):
        raise UserError("its blocks normalise what a branch adds, so the scale of its last layer does not count")
    return outputs


def mlp_weights(stage: Stage) -> list[str]:
    """Names the matrices of the MLPs of a block, in its order; those of convolutions are none."""
    inside = tuple(_in(path, "") for path in _mlp_paths(stage))
    return [name for name, shape in stage.shapes.items() if name.startswith(inside) and len(shape) == 2]


def _mlp_paths(stage: Stage) -> list[str]:
    """Finds the MLPs of a block that are not inside an attention."""
    attentions = tuple(_in(path, "") for path in stage.heads)
    found = (MLP.match(name) for name in stage.shapes if not name.startswith(attentions))
    return list(dict.fromkeys(match["path"] for match in found if match))


def _in(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def stacked_matrices(name: str, shapes: Shapes) -> int:
    """Counts the matrices that a weight holds one below another, each of which has a fan-out of its own.

    They are 3 for query, key and value, 2 for two of them, and 2 where a gated MLP's value and gate are one layer,
    twice as wide as what the next layer takes.

    Args:
        shapes: all parameters of the model, by name.
    """
    layer, _, last = name.removesuffix(".weight").rpartition(".")
    if last in ("linear", "conv"):  # a layer within a module that adds a norm to it
        layer, _, last = layer.rpartition(".")
    if last == "qkv":
        return 3
    if last in ("kv", "qk"):
        return 2
    following = {"fc1": "fc2", "w12": "w3"}.get(last)
    after = shapes.get(f"{layer}.{following}.weight")
    return 2 if after is not None and len(after) > 1 and shapes[name][0] == 2 * after[1] else 1
