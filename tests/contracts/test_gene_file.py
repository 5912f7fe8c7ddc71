"""The file of a gene."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from learngene_bench.contracts.gene import FORMAT, Gene
from learngene_bench.models.vit.spec import ViTSpec
from learngene_bench.util.errors import UserError


@pytest.mark.parametrize(
    "header",
    [
        "[]",
        "null",
        "[" * 50_000,
        "9" * 9_000,
        "{}",
        '{"method": "wave", "family": {}, "facts": {}}',
        '{"method": "wave", "family": 3, "facts": {}}',
        '{"method": 3, "family": {"depth": 2}, "facts": []}',
        '{"method": "wave", "family": {"family": "../x", "depth": 2}, "facts": {}}',
        '{"method": "wave", "family": {"depth": "2", "width": 48, "heads": 3, "patch_size": 4, "image_size": 12, '
        '"channels": 1, "classes": 10}, "facts": {}}',
        '{"method": "wave", "family": {"depth": 2, "width": 48, "heads": 0, "patch_size": 0, "image_size": 12, '
        '"channels": 1, "classes": 10}, "facts": {}}',
        None,
    ],
)
def test_a_header_of_anything_else_is_one_line_that_names_the_file(tmp_path: Path, header: str | None) -> None:
    path = tmp_path / "gene.safetensors"
    if header is None:
        os.mkfifo(path)
    else:
        save_file({"templates": torch.ones(2)}, path, {FORMAT: header})
    with pytest.raises(UserError) as error:
        Gene.load(path)
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)


def test_a_gene_of_the_default_family_has_the_bytes_of_earlier_versions(tmp_path: Path) -> None:
    """Hashes in records of earlier versions are of files that did not name the family."""
    spec = ViTSpec(depth=2, width=48, heads=3, patch_size=4, image_size=12, channels=1, classes=10)
    gene = Gene("wave", spec, {"templates": torch.ones(2, 2)}, {"size": 2})
    gene.save(tmp_path / "gene.safetensors")
    with safe_open(tmp_path / "gene.safetensors", framework="pt") as stream:
        assert '"family": "vit"' not in stream.metadata()[FORMAT]
    assert Gene.load(tmp_path / "gene.safetensors").family == spec


def test_a_gene_in_memory_is_laid_out_as_the_loaded_one(tmp_path: Path) -> None:
    """A transposed matrix has the same numbers, and products of it may be rounded differently."""
    spec = ViTSpec(depth=2, width=8, heads=2, patch_size=2, image_size=6, channels=1, classes=5)
    gene = Gene("front", spec, {"a": torch.randn(3, 4).T, "b": torch.randn(1, 4, 6).transpose(1, 2)})
    gene.save(tmp_path / "gene.safetensors")
    loaded = Gene.load(tmp_path / "gene.safetensors").tensors
    assert {name: tensor.stride() for name, tensor in gene.tensors.items()} == {
        name: tensor.stride() for name, tensor in loaded.items()
    }
    assert all(torch.equal(tensor, loaded[name]) for name, tensor in gene.tensors.items())
