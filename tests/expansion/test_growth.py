"""The algebra of growth against plain loops over layers and matrices, in float64."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from learngene_bench.expansion.growth import (
    Added,
    AxisMap,
    Copies,
    Growth,
    Mixture,
    copied_units,
    growth_by_copies,
    model_of_parts,
    parts_of_model,
)
from learngene_bench.models.vit import ViTSpec

SOURCE = ViTSpec(depth=3, width=6, heads=3, patch_size=2, image_size=4, channels=1, classes=5, mlp_ratio=2.0)
TARGET = ViTSpec(depth=5, width=10, heads=5, patch_size=2, image_size=4, channels=1, classes=5, mlp_ratio=2.0)
AXES = {"residual": (6, 10), "query": (6, 10), "key": (6, 10), "value": (6, 10), "hidden": (12, 20)}


def numbers(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=GENERATOR, dtype=torch.float64)


GENERATOR = torch.Generator().manual_seed(0)


def dense(made: AxisMap, size: int, layer: int) -> Tensor:
    """The map of one layer as a matrix (new, old), written out from what it holds."""
    if isinstance(made, Copies):
        matrix = torch.zeros(len(made.index), size, dtype=torch.float64)
        copies = [made.index.tolist().count(unit) for unit in range(size)]
        for new, old in enumerate(made.index.tolist()):
            matrix[new, old] = 1 / copies[old] if made.divided else 1
        return matrix
    assert isinstance(made, Added)
    rows = made.rows if made.rows.dim() == 2 else made.rows[layer]
    return torch.cat([torch.eye(size, dtype=torch.float64), rows])


def copies() -> Growth:
    """Random copies on every axis, of a number that does not divide."""
    copied = copied_units(SOURCE, TARGET, torch.Generator().manual_seed(3))
    return growth_by_copies(copied, torch.tensor([0, 2, 1, 1, 0]))


def mixtures() -> Growth:
    """Mixtures of layers, one for each parameter; more units as mixtures, for some axes another one in each layer."""
    stacks, _ = parts_of_model({name: numbers(*shape) for name, shape in SOURCE.parameter_shapes().items()}, SOURCE)
    layers = {name: Mixture(numbers(5, 3)) for name in stacks}
    width = {
        axis: Added(numbers(new - old, old) if axis == "residual" else numbers(5, new - old, old))
        for axis, (old, new) in AXES.items()
    }
    return Growth(layers, outputs=width, inputs=width)


@pytest.mark.parametrize("growth", [copies(), mixtures()], ids=["copies", "mixtures"])
def test_growth_is_its_definition(growth: Growth) -> None:
    """W(l) = sum_k A(l, k) P_out W_k P_in', with query, key and value as matrices of their own."""
    old = {name: numbers(*shape) for name, shape in SOURCE.parameter_shapes().items()}
    stacks, non_block = parts_of_model(old, SOURCE)
    found = model_of_parts(growth.blocks(stacks), growth.non_block(non_block), SOURCE)

    def side(maps: str, axis: str, layer: int) -> Tensor:
        return dense(getattr(growth, maps)[axis], AXES[axis][0], layer)

    expected: dict[str, Tensor] = {}
    for layer in range(5):
        for module, outputs, inputs in [
            ("norm1", "residual", ""),
            ("attn.q", "query", "residual"),
            ("attn.k", "key", "residual"),
            ("attn.v", "value", "residual"),
            ("attn.proj", "residual", "value"),
            ("norm2", "residual", ""),
            ("mlp.fc1", "hidden", "residual"),
            ("mlp.fc2", "residual", "hidden"),
        ]:
            for kind in ("weight", "bias"):
                mixing = growth.layers[f"{module}.{kind}"]
                total: Tensor | float = 0.0
                for k in range(3):
                    if isinstance(mixing, Mixture):
                        share = float(mixing.weights[layer, k])
                    else:
                        share = float(mixing.index[layer] == k)  # type: ignore[attr-defined]
                    fused = "attn.qkv" if module[-2:] in (".q", ".k", ".v") else module
                    weight = old[f"blocks.{k}.{fused}.{kind}"]
                    if fused != module:
                        weight = weight["qkv".index(module[-1]) * 6 :][:6]
                    total = total + share * weight
                assert isinstance(total, Tensor)
                made = side("outputs", outputs, layer) @ total
                expected[f"blocks.{layer}.{module}.{kind}"] = (
                    made @ side("inputs", inputs, layer).mT if inputs and kind == "weight" else made
                )
        for kind in ("weight", "bias"):
            parts = [expected.pop(f"blocks.{layer}.attn.{part}.{kind}") for part in "qkv"]
            expected[f"blocks.{layer}.attn.qkv.{kind}"] = torch.cat(parts)
    residual = side("outputs", "residual", 0)
    expected["pos_embed"] = old["pos_embed"] @ residual.mT
    expected["patch_embed.proj.weight"] = torch.einsum("dc,cxyz->dxyz", residual, old["patch_embed.proj.weight"])
    expected |= {name: residual @ old[name] for name in ("patch_embed.proj.bias", "norm.weight", "norm.bias")}
    expected["head.weight"] = old["head.weight"] @ side("inputs", "residual", 0).mT
    expected["head.bias"] = old["head.bias"]
    assert found.keys() == expected.keys() == TARGET.parameter_shapes().keys()
    for name, tensor in found.items():
        torch.testing.assert_close(tensor, expected[name], rtol=1e-12, atol=1e-12, msg=name)


def test_heads_are_copied_whole() -> None:
    copied = copied_units(SOURCE, TARGET, torch.Generator().manual_seed(3))
    heads = copied["query"].view(5, 2)
    assert torch.equal(heads[:, 1], heads[:, 0] + 1)
    assert torch.equal(heads[:, 0] % 2, torch.zeros(5, dtype=torch.long))
    for index, (old, _) in zip(copied.values(), AXES.values(), strict=True):
        assert index[:old].tolist() == list(range(old))
    again = copied_units(SOURCE, TARGET)
    assert again["query"].tolist() == [0, 1, 2, 3, 4, 5, 0, 1, 2, 3]
    assert again["hidden"].tolist() == [*range(12), *range(8)]
