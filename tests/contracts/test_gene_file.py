"""The file of a gene."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import safe_open

from learngene_bench.contracts.gene import FORMAT, Gene
from learngene_bench.models.vit.spec import ViTSpec


def test_a_gene_of_the_default_family_has_the_bytes_of_earlier_versions(tmp_path: Path) -> None:
    """Hashes in records of earlier versions are of files that did not name the family."""
    spec = ViTSpec(depth=2, width=48, heads=3, patch_size=4, image_size=12, channels=1, classes=10)
    gene = Gene("wave", spec, {"templates": torch.ones(2, 2)}, {"size": 2})
    gene.save(tmp_path / "gene.safetensors")
    with safe_open(tmp_path / "gene.safetensors", framework="pt") as stream:
        assert '"family": "vit"' not in stream.metadata()[FORMAT]
    assert Gene.load(tmp_path / "gene.safetensors").family == spec
