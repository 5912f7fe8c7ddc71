"""DCT initialization: attention whose keys are the cosine transform of the channels (arXiv 2405.13901)."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from learngene_bench.config.section import Section
from learngene_bench.contracts.family import ModelSpec
from learngene_bench.contracts.initializer import Initializer
from learngene_bench.expansion.cosine import cosine_transform
from learngene_bench.models.layers import attention_mismatch, self_attentions
from learngene_bench.models.weights import set_rows, write_weights

if TYPE_CHECKING:
    from torch import Tensor, nn

    from learngene_bench.contracts.context import Context
    from learngene_bench.contracts.gene import Gene


class DctOptions(Section):
    matrices: Literal["k", "kv", "qkv"] = Field("k", description="matrices that start as the transform")


class Dct(Initializer[DctOptions]):
    """The key's matrix starts as the orthonormal discrete cosine transform of the D channels, and is trained.

    timm's weight (y = x W') has the transform's basis vectors as its rows: W(f, i) = c(f) cos(pi (2 i + 1) f / (2 D)),
    c(0) = sqrt(1 / D), all other c sqrt(2 / D). All else keeps the preset's base initialization, biases included.

    As in NUBagciLab/DCT-Transformer, `CIFAR-10/swin_t_dctk_trainable/swin_transformer.py`: 263. `matrices` are the
    paper's variants: key, key and value, or all three. The authors report 81.73 % against 81.47 % (Swin-T, ImageNet),
    which is within what seeds differ by. Any attention of D x D matrices is set, in every stage.
    """

    name = "dct"
    title = "DCT"
    group = "direct"
    families = None
    citation = "Pan et al., DCT-Based Decorrelated Attention for Vision Transformers, 2024"
    Options = DctOptions

    def supports(self, target: ModelSpec, base: ModelSpec) -> str | None:
        return attention_mismatch(target)

    def initialize(self, model: nn.Module, target: ModelSpec, gene: Gene | None, context: Context) -> None:
        current, weights = dict(model.named_parameters()), dict[str, "Tensor"]()
        for stage in (stage for stage in target.stages() if stage.heads):
            for layer, attention in product(range(stage.depth), self_attentions(stage)):
                parts = {"q": attention.query, "k": attention.key, "v": attention.value}
                for rows in (parts[letter] for letter in self.options.matrices):
                    transform = cosine_transform(attention.width)
                    set_rows(weights, stage.parameter(layer, rows.component), rows, transform, current)
        write_weights(model, weights)
