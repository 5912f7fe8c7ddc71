"""Net2Net and its relatives against their definitions: what models compute, `torch.kron`, loops over units."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
import torch
from baseline_models import SMALL, context, initialized, of
from torch import Tensor, nn

from learngene_bench.baselines.net2net import Net2Net, Net2NetOptions
from learngene_bench.contracts.gene import Gene
from learngene_bench.contracts.initializer import Pretrained
from learngene_bench.models.copies import nearest
from learngene_bench.models.vit import ViTSpec
from learngene_bench.models.weights import build_model, write_weights

SOURCE = replace(SMALL, depth=3, width=8, heads=2)


def method(rule: str = "hypercloning", **options: object) -> Net2Net:
    return Net2Net(Net2NetOptions(rule=rule, **options))  # type: ignore[arg-type]


def trained(spec: ViTSpec) -> tuple[nn.Module, Gene]:
    """A model whose every parameter is random, and the gene that the method makes of it."""
    model = build_model(spec)
    generator = torch.Generator().manual_seed(0)
    write_weights(model, {n: torch.randn(s, generator=generator) * 0.2 for n, s in spec.parameter_shapes().items()})
    return model.eval(), Gene("net2net", spec, of(model))


def wider(width: int, depth: int = 3, source: ViTSpec = SOURCE) -> ViTSpec:
    return source.with_width(width).with_depth(depth)


@pytest.mark.parametrize(("width", "times"), [(48, 2), (48, 3), (8, 4)])
@pytest.mark.parametrize("parts", [{}, {"class_token": True, "irpe": True}])
def test_hypercloning_computes_what_its_source_does(width: int, times: int, parts: dict[str, bool]) -> None:
    """Logits agree to 1e-5 of their size, with noise, and with a head that is inherited."""
    source = replace(SOURCE, width=width, heads=width // 4, **parts)
    model, gene = trained(source)
    images = torch.randn(4, 1, 6, 6)
    target = wider(times * width, source=source)
    with torch.no_grad():
        expected, found = model(images), initialized(method(), target, gene)(images)
    assert (found - expected).abs().max() < 1e-5 * expected.abs().max()


def test_without_noise_it_is_a_kronecker_product() -> None:
    _, gene = trained(SOURCE)
    weights = of(initialized(method(noise=0), wider(24), gene))
    ones = torch.ones(3, 3) / 3
    for layer in range(3):
        block = {name: weights[f"blocks.{layer}.{name}"] for name in SOURCE.block_shapes()}
        old = {name: gene.tensors[f"blocks.{layer}.{name}"] for name in SOURCE.block_shapes()}
        for name in ("attn.proj.weight", "mlp.fc1.weight", "mlp.fc2.weight"):
            torch.testing.assert_close(block[name], torch.kron(ones, old[name]))
        for part, theirs in zip(block["attn.qkv.weight"].chunk(3), old["attn.qkv.weight"].chunk(3), strict=True):
            torch.testing.assert_close(part, torch.kron(ones, theirs))
        for name in ("norm1.weight", "attn.proj.bias", "mlp.fc1.bias", "norm2.bias"):
            assert torch.equal(block[name], old[name].repeat(3))
    torch.testing.assert_close(weights["head.weight"], torch.kron(torch.ones(1, 3) / 3, gene.tensors["head.weight"]))
    assert torch.equal(weights["pos_embed"], gene.tensors["pos_embed"].repeat(1, 1, 3))


def test_the_noise_is_of_10_db_and_cancels_in_each_row() -> None:
    source = replace(SOURCE, width=32, heads=8)
    _, gene = trained(source)
    target = wider(64, source=source)
    noisy, plain = (of(initialized(method(noise=noise), target, gene)) for noise in (0.316, 0))
    names = [f"blocks.1.{name}.weight" for name in ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2")]
    assert {name for name in noisy if not torch.equal(noisy[name], plain[name]) and ".1." in name} == {*names}
    for name in names:
        noise = noisy[name] - plain[name]
        ratio = plain[name].square().mean() / noise.square().mean()
        assert 10 * float(ratio.log10()) == pytest.approx(10, abs=0.3)
        first, second = noise.chunk(2, dim=1)
        torch.testing.assert_close(first, -second, rtol=1e-3, atol=1e-6)


def copies_of(found: Tensor, source: Tensor) -> list[int]:
    """Finds the column of the source that each column is equal to."""
    found, source = found.view(-1, found.shape[-1]), source.view(-1, source.shape[-1])
    matches = [(column[:, None] == source).all(0).nonzero() for column in found.T]
    assert all(len(match) == 1 for match in matches)
    return [int(match) for match in matches]


@pytest.mark.parametrize("rule", ["fpi", "aki"])
@pytest.mark.parametrize(("width", "depth"), [(12, 3), (20, 4)])
def test_fpi_and_aki_are_their_definitions(rule: str, width: int, depth: int) -> None:
    """W(i, j) = W0(g(i), g(j)) / c(j). The maps g are read off vectors; rows of aki beyond the source's: next layer."""
    _, gene = trained(SOURCE)
    weights = of(initialized(method(rule, noise=0, source_depth=3), wider(width, depth), gene))
    old = gene.tensors
    own = [[0, 1, 2, 0][layer] for layer in range(depth)]
    following = [min(layer + 1, 2) for layer in own] if rule == "aki" else own
    residual = copies_of(weights["pos_embed"], old["pos_embed"])
    # The last source layer's rows are its own under both rules, so that its biases tell which unit each one copies.
    last = own.index(2)
    hidden = copies_of(weights[f"blocks.{last}.mlp.fc1.bias"], old["blocks.2.mlp.fc1.bias"])
    channels = copies_of(weights[f"blocks.{last}.attn.qkv.bias"][:width], old["blocks.2.attn.qkv.bias"][:8])
    assert [index % 4 for index in channels] == [*range(4)] * (width // 4)
    for index, size in ((residual, 8), (hidden, 32), (channels, 8)):
        assert index[:size] == [*range(size)]
    assert residual[8:] != [*range(8), *range(8)][: width - 8]  # drawn, not one after another
    count = {id(index): Counter(index) for index in (residual, hidden, channels)}

    def matrix(part: str, layer: int, rows: list[int], columns: list[int] | None) -> Tensor:
        name, _, start = part.partition(" ")
        made = []
        for number, row in enumerate(rows):
            source = own[layer] if number < len({*rows}) else following[layer]
            values = old[f"blocks.{source}.{name}"][int(start or 0) + row]
            if columns is None:
                made.append(values)
            else:
                made.append(torch.stack([values[column] / count[id(columns)][column] for column in columns]))
        return torch.stack(made)

    for layer in range(depth):
        for kind in ("weight", "bias"):
            inputs = {"residual": residual, "hidden": hidden, "value": channels} if kind == "weight" else {}
            expected = {
                "attn.qkv": torch.cat(
                    [
                        matrix(f"attn.qkv.{kind} {start}", layer, channels, inputs.get("residual"))
                        for start in (0, 8, 16)
                    ]
                ),
                "attn.proj": matrix(f"attn.proj.{kind}", layer, residual, inputs.get("value")),
                "mlp.fc1": matrix(f"mlp.fc1.{kind}", layer, hidden, inputs.get("residual")),
                "mlp.fc2": matrix(f"mlp.fc2.{kind}", layer, residual, inputs.get("hidden")),
                "norm1": old[f"blocks.{own[layer]}.norm1.{kind}"][residual],
                "norm2": old[f"blocks.{own[layer]}.norm2.{kind}"][residual],
            }
            for module, values in expected.items():
                torch.testing.assert_close(weights[f"blocks.{layer}.{module}.{kind}"], values, msg=f"{layer} {module}")


def test_copies_part_in_training_with_noise_only() -> None:
    """After ten steps on random labels, with an inherited head: hidden units and heads are still pairs without it."""
    _, gene = trained(SOURCE)
    images = torch.randn(20, 1, 6, 6)
    parted = {}
    for noise in (0.0, 0.316):
        model = initialized(method(noise=noise), wider(16), gene)
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
        for _ in range(10):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(images), torch.arange(20) % 5).backward()
            optimizer.step()
        weights = of(model)
        units = [weights["blocks.1.mlp.fc1.weight"], weights["blocks.1.attn.qkv.weight"][:16].view(4, -1)]
        parted[noise] = [float(nearest(each).median()) for each in units]
    assert max(parted[0.0]) < 1e-4
    assert min(parted[0.316]) > 0.1


@pytest.mark.parametrize(
    ("options", "target", "reason"),
    [
        ({}, wider(16), None),
        ({}, wider(12), "its source's width 8 does not divide the target's"),
        ({"rule": "fpi"}, wider(12), None),
        ({}, wider(8), "its source has 3 layers of width 8 already"),
        ({"source_depth": 2}, wider(8), None),
        ({"source_depth": 4}, wider(16), "its source has 4 layers"),
        ({}, wider(4), "narrower than its source of width 8"),
        ({}, replace(SOURCE, width=16, heads=2), "its source has heads of dimension 4"),
        ({}, replace(SOURCE, width=16, heads=4, mlp_ratio=2), "its source has an MLP of ratio 4"),
    ],
)
def test_supported_targets(options: dict[str, object], target: ViTSpec, reason: str | None) -> None:
    assert Net2Net(Net2NetOptions(**options)).supports(target, SMALL) == reason  # type: ignore[arg-type]


def test_what_is_asked_for_and_stored() -> None:
    target = replace(wider(16, 6), irpe=True, classes=7)
    base = replace(SMALL, irpe=True)
    assert method().gene_request(target, base).ancestors == {"source": Pretrained(base.with_depth(6))}
    assert method(source_depth=3).stored_shapes(target, base) == replace(SMALL, depth=3, classes=7).parameter_shapes()


def test_another_task_has_its_own_head() -> None:
    _, gene = trained(SOURCE)
    where = context(wider(16), same_task=False)
    weights = of(initialized(method(), wider(16), gene, where))
    assert torch.equal(weights["head.weight"], where.base_weights(wider(16))["head.weight"])
