"""A control: every matrix is orthogonal (Saxe et al. 2014)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from learngene_bench.config.section import Section
from learngene_bench.contracts.family import ModelSpec
from learngene_bench.contracts.initializer import Initializer
from learngene_bench.models.weights import orthogonal_matrices, write_weights

if TYPE_CHECKING:
    from torch import nn

    from learngene_bench.contracts.context import Context
    from learngene_bench.contracts.gene import Gene


class OrthogonalOptions(Section):
    gain: float = Field(1.0, gt=0, description="singular value of every matrix")


class Orthogonal(Initializer[OrthogonalOptions]):
    """Every matrix W is semi-orthogonal: W'W or WW' is the identity, whichever is smaller (Saxe et al., 2014).

    Drawn by torch's `orthogonal_`, from the QR decomposition of a normal matrix. Query, key and value, and value and
    gate of a gated MLP, are matrices of their own; a convolution of patches or between stages is one, too. A depthwise
    convolution mixes no channels, so it keeps the preset's base initialization, as do biases, norms, positions and
    tables. On another task than the source the head keeps it too, as under `he`.
    """

    name = "orthogonal"
    title = "Orthogonal"
    group = "direct"
    families = None
    citation = "Saxe et al., Exact Solutions to the Nonlinear Dynamics of Learning in Deep Linear Networks, ICLR 2014"
    Options = OrthogonalOptions

    def initialize(self, model: nn.Module, target: ModelSpec, gene: Gene | None, context: Context) -> None:
        drawn = orthogonal_matrices(
            target, context.generator("orthogonal"), gain=self.options.gain, head=context.same_task
        )
        write_weights(model, drawn)
