"""SZP against its definition: loops over entries of every matrix in float64, and stacking where nothing is added."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from baseline_models import SMALL, context, initialized, of, random_weights
from torch import Tensor

from learngene_bench.baselines.stack import Stack, StackOptions
from learngene_bench.baselines.szp import Szp, SzpOptions
from learngene_bench.contracts.gene import Gene
from learngene_bench.models.vit import ViTSpec

SOURCE = replace(SMALL, depth=2, width=4, heads=2, class_token=True)
WIDER = SOURCE.with_width(6).with_depth(3)


def method(**options: object) -> Szp:
    return Szp(SzpOptions(**options))  # type: ignore[arg-type]


def gene_of(spec: ViTSpec, generator: torch.Generator) -> Gene:
    return Gene("szp", spec, random_weights(spec, generator))


def padded(
    name: str, layer_of: list[int], old: dict[str, Tensor], fresh: dict[str, Tensor], options: SzpOptions
) -> Tensor:
    """Makes one tensor of the target entry by entry, by the source's entry of the same unit if there is one."""
    parts = name.split(".")
    if parts[0] == "blocks":
        parts[1] = str(layer_of[int(parts[1])])
    theirs = old[".".join(parts)].double()
    made = fresh[name].double()
    thirds = 3 if "qkv" in name else 1  # query, key and value are matrices of their own
    is_matrix = name.endswith("weight") and theirs.dim() > 1
    if is_matrix:
        made = made * options.noise
    for third in range(thirds):
        rows, new_rows = theirs.shape[0] // thirds, made.shape[0] // thirds
        for index in torch.cartesian_prod(*(torch.arange(n) for n in (rows, *theirs.shape[1:]))).view(-1, theirs.dim()):
            row, *rest = index.tolist()
            new, value = (third * new_rows + row, *rest), theirs[(third * rows + row, *rest)]
            made[new] = options.shrink * value + made[new] if is_matrix else value
    return made


@pytest.mark.parametrize("options", [{}, {"shrink": 0.7, "noise": 0.5}])
def test_every_entry_is_its_definition(options: dict[str, float], generator: torch.Generator) -> None:
    gene, where = gene_of(SOURCE, generator), context(WIDER)
    weights = of(initialized(method(source_depth=2, **options), WIDER, gene, where))
    fresh = where.base_weights(WIDER)
    for name, tensor in weights.items():
        expected = padded(name, [0, 1, 0], dict(gene.tensors), fresh, SzpOptions(**options))  # type: ignore[arg-type]
        torch.testing.assert_close(tensor.double(), expected, rtol=1e-6, atol=1e-6, msg=name)
    assert set(weights["blocks.0.norm1.weight"][4:].tolist()) == {1.0}


def test_unshrunk_and_undisturbed_it_is_the_source_in_a_corner_and_stacking_in_depth(
    generator: torch.Generator,
) -> None:
    plain, gene = method(shrink=1, noise=0, source_depth=2), gene_of(SOURCE, generator)
    weights = of(initialized(plain, WIDER, gene))
    fc1 = weights["blocks.1.mlp.fc1.weight"]
    assert torch.equal(fc1[:16, :4], gene.tensors["blocks.1.mlp.fc1.weight"])
    assert not fc1[16:].any()
    assert not fc1[:, 4:].any()
    deeper = SOURCE.with_depth(5)
    stacked = of(initialized(Stack(StackOptions(source_depth=2)), deeper, gene))
    for name, tensor in of(initialized(plain, deeper, gene)).items():
        assert torch.equal(tensor, stacked[name]), name


def test_another_task_has_its_own_head(generator: torch.Generator) -> None:
    where = context(WIDER, same_task=False)
    weights = of(initialized(method(source_depth=2), WIDER, gene_of(SOURCE, generator), where))
    assert torch.equal(weights["head.weight"], where.base_weights(WIDER)["head.weight"])


@pytest.mark.parametrize(
    ("options", "target", "reason"),
    [
        ({}, SMALL.with_width(12), None),
        ({"source_depth": 4}, SMALL, None),
        ({}, replace(SMALL, mlp_ratio=6.0), None),
        ({}, SMALL, "its source has 12 layers of width 8 already"),
        ({}, SMALL.with_width(4), "narrower than its source of width 8"),
    ],
)
def test_supported_targets(options: dict[str, object], target: ViTSpec, reason: str | None) -> None:
    assert method(**options).supports(target, SMALL) == reason
