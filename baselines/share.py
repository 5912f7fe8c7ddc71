"""Share Init: one block, shared by all layers while it is trained, copied into every layer of a target."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from learngene_bench.config.section import Section
from learngene_bench.expansion.block_genes import DistilledBlocks, Scalers


class ShareOptions(Section):
    auxiliary_depth: int = Field(12, ge=1, description="layers that share the block while it is distilled")


class Share(DistilledBlocks[ShareOptions]):
    """W(l) = T for every layer l: one template, scaler 1.

    The auxiliary model has 12 layers that share one block (ALBERT), norms, biases and iRPE tables included, and is
    distilled (`expansion.block_genes.DistilledBlocks`). A target of any depth gets copies, which fine-tuning unties. It
    is SWS with one stage, and TELG with slope 0.

    Faithful: the WAVE paper compares with "Share Init" and prints its cost (150 epochs) and its parameters, which are
    those of one block with its iRPE tables (2.2 M at width 384 in Table 3 comes out only with them).
    Choices of this suite, as the paper says no more: the auxiliary depth, and that norms are shared too. ALBERT's
    factorized embedding is about words and has no counterpart here. No code was released.
    """

    name = "share"
    title = "Share Init"
    group = "transfer"
    citation = "Lan et al., ALBERT: A Lite BERT for Self-supervised Learning of Language Representations, ICLR 2020"
    families = None
    Options = ShareOptions
    counts_tables = True

    def auxiliary_depth(self) -> int:
        return self.options.auxiliary_depth

    def scalers(self, depth: int, settings: Mapping[str, Any]) -> Scalers:
        return [[1.0]] * depth
