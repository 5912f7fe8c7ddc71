"""Tests of what a model family answers for its models, on the example of the Vision Transformer."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from learngene_bench.contracts.family import FAMILIES, family_of, spec_from_dict
from learngene_bench.contracts.gene import FORMAT, Gene
from learngene_bench.contracts.initializer import wrong_family
from learngene_bench.models.vit import ViTSpec
from learngene_bench.models.weights import spec_of
from learngene_bench.plugins.registry import Registry
from learngene_bench.util.errors import UserError


def test_a_description_is_read_as_it_was_written(tiny: ViTSpec) -> None:
    description = json.loads(json.dumps(tiny.as_dict()))
    assert description["family"] == "vit"
    assert spec_from_dict(description) == tiny
    assert family_of(tiny).name == "vit"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"family": "vitt"}, "unknown model family 'vitt': did you mean 'vit'?"),
        ({"family": None}, "unknown model family 'None'"),
        ({"windows": 3}, "no description of a model of the family 'vit': "),
        ({"heads": 3}, "impossible model: 3 heads do not divide width 8"),
    ],
)
def test_a_wrong_description_is_one_line(tiny: ViTSpec, changes: dict[str, object], message: str) -> None:
    with pytest.raises(UserError) as error:
        spec_from_dict({**tiny.as_dict(), **changes})
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_other_widths_keep_the_dimension_of_heads(tiny: ViTSpec) -> None:
    assert (tiny.with_width(12).width, tiny.with_width(12).heads) == (12, 3)
    with pytest.raises(UserError, match="width 10 is not a multiple of the head dimension 4"):
        tiny.with_width(10)
    assert FAMILIES.get("vit")().widened(tiny, 1.2).width == 12


def test_blocks_fit_or_say_why(tiny: ViTSpec) -> None:
    assert tiny.with_depth(9).block_mismatch(tiny) is None
    assert tiny.with_width(12).block_mismatch(tiny) == "its blocks have width 8"


def test_a_model_of_no_family_is_refused() -> None:
    with pytest.raises(UserError, match="Linear has no blocks: none of its lists of layers holds attention"):
        spec_of(torch.nn.Linear(2, 2))


def test_a_method_says_which_families_it_is_for(tiny: ViTSpec) -> None:
    registry = Registry()
    for name in registry.names():
        assert wrong_family(registry.get(name).create({}), tiny) is None
    assert registry.get("he").kind.families is None
    assert registry.get("ligo").kind.families == ("vit",)


def test_a_gene_names_no_family_that_is_the_default_one(tiny: ViTSpec, tmp_path: Path) -> None:
    """Files are the same, to the byte, as those from before there were several families."""
    path = tmp_path / "gene.safetensors"
    Gene("mine", tiny, {"stem/norm.weight": torch.ones(8)}).save(path)
    with safe_open(path, framework="pt") as stream:
        description = json.loads(stream.metadata()[FORMAT])
    assert "family" not in description["family"]
    assert Gene.load(path).family == tiny
