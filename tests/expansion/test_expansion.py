"""The algebra against `torch.kron` in plain loops, and training through it against training the weights themselves."""

from __future__ import annotations

import pytest
import torch
from timm.optim import param_groups_weight_decay
from torch import Tensor

from learngene_bench.expansion.algebra import Expansion, expand
from learngene_bench.expansion.materialised import ExpandedModel
from learngene_bench.models.vit import ViTSpec
from learngene_bench.models.weights import build_model, write_weights


def kron_loop(scalers: Tensor, templates: Tensor) -> Tensor:
    """W(l) = sum_t kron(S(l, t), T(t)), the definition."""
    layers = []
    for layer in scalers:
        total = torch.zeros(1, dtype=torch.float64)
        for scaler, template in zip(layer, templates, strict=True):
            total = total + torch.kron(scaler, template)
        layers.append(total)
    return torch.stack(layers)


@pytest.mark.parametrize(
    ("grid", "block"),
    [
        ((3, 1), (4, 4)),
        ((1, 4), (4, 4)),
        ((6, 2), (2, 2)),
        ((1,), (5,)),
        ((3,), (5,)),
        ((1, 1, 1), (1, 4, 7)),
        ((2, 3), (3, 2)),
    ],
)
def test_expand_is_the_sum_of_kronecker_products(
    grid: tuple[int, ...], block: tuple[int, ...], generator: torch.Generator
) -> None:
    scalers = torch.randn(5, 4, *grid, generator=generator, dtype=torch.float64, requires_grad=True)
    templates = torch.randn(4, *block, generator=generator, dtype=torch.float64, requires_grad=True)
    torch.testing.assert_close(expand(scalers, templates), kron_loop(scalers, templates), rtol=1e-12, atol=1e-12)
    towards = torch.randn(
        5, *(g * b for g, b in zip(grid, block, strict=True)), generator=generator, dtype=torch.float64
    )
    ours = torch.autograd.grad((expand(scalers, templates) * towards).sum(), [scalers, templates])
    theirs = torch.autograd.grad((kron_loop(scalers, templates) * towards).sum(), [scalers, templates])
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


def test_one_hot_scalers_copy_templates() -> None:
    templates = torch.randn(3, 4, 4)
    scalers = torch.eye(3)[[2, 0, 2, 1]].view(4, 3, 1, 1)
    assert torch.equal(expand(scalers, templates), templates[[2, 0, 2, 1]])


@pytest.fixture
def model(tiny: ViTSpec, generator: torch.Generator) -> ExpandedModel:
    """Every component of the blocks from two templates of its own shape, with random scalers."""
    shapes = tiny.block_shapes()
    templates = {name: torch.randn(2, *shape, generator=generator) * 0.3 for name, shape in shapes.items()}
    scalers = {
        name: torch.randn(tiny.depth, 2, *[1] * len(shape), generator=generator) for name, shape in shapes.items()
    }
    stem = {
        name: torch.randn(shape, generator=generator) * 0.3
        for name, shape in {**tiny.non_block_shapes(), **tiny.head_shapes()}.items()
    }
    return ExpandedModel(Expansion(tiny, scalers, templates), stem)


def test_computes_and_learns_as_the_written_model_does(
    tiny: ViTSpec, model: ExpandedModel, generator: torch.Generator
) -> None:
    """Same outputs; and gradients of T and S are those of the weights, carried on by the chain rule."""
    plain = build_model(tiny)
    write_weights(plain, {name: weight.detach() for name, weight in model.weights().items()})
    images = torch.randn(4, 1, 6, 6, generator=generator)
    torch.testing.assert_close(model(images), plain(images))
    model(images).square().sum().backward()
    plain(images).square().sum().backward()
    for name in tiny.block_shapes():
        towards = torch.stack([plain.get_parameter(f"blocks.{layer}.{name}").grad for layer in range(tiny.depth)])
        scalers, templates = model.scalers.as_dict()[name], model.templates.as_dict()[name]
        by_template = torch.einsum("lt,l...->t...", scalers.detach().flatten(1), towards)
        torch.testing.assert_close(templates.grad, by_template, rtol=1e-4, atol=1e-5)
    for name, tensor in model.non_block.as_dict().items():
        torch.testing.assert_close(tensor.grad, plain.get_parameter(name).grad, rtol=1e-4, atol=1e-5)


def test_only_what_may_train_trains(tiny: ViTSpec, model: ExpandedModel) -> None:
    frozen = ExpandedModel(model.expansion(), model.non_block.as_dict(), train={"scalers"})
    frozen(torch.randn(2, 1, 6, 6)).sum().backward()
    trained = {name.split(".")[0] for name, p in frozen.named_parameters() if p.grad is not None}
    assert trained == {"scalers"}
    numbers = sum(p.numel() for p in frozen.parameters() if p.requires_grad)
    assert numbers == 2 * tiny.depth * len(tiny.block_shapes())


def test_drop_path_follows_the_mode(tiny: ViTSpec, model: ExpandedModel) -> None:
    dropping = ExpandedModel(model.expansion(), model.non_block.as_dict())
    dropping.set_drop_path(0.9)
    images = torch.randn(8, 1, 6, 6)
    dropping.train()
    assert not torch.equal(dropping(images), dropping(images))
    dropping.eval()
    torch.testing.assert_close(dropping(images), model.eval()(images))


def test_templates_are_decayed_as_the_weights_would_be(tiny: ViTSpec, model: ExpandedModel) -> None:
    """Matrices and iRPE tables are, norms and biases are not, whatever axes their templates have; scalers never."""
    shapes = tiny.block_shapes()
    layout = {
        name: tensor.unsqueeze(1) if len(shapes[name]) == 1 else tensor
        for name, tensor in model.templates.as_dict().items()
    }
    scalers = {
        name: tensor.view(tiny.depth, 2, *[1] * (layout[name].dim() - 1))
        for name, tensor in model.scalers.as_dict().items()
    }
    other = ExpandedModel(Expansion(tiny, scalers, layout), model.non_block.as_dict())
    for network in (model, other):
        groups = param_groups_weight_decay(network, 0.1, no_weight_decay_list=network.no_weight_decay())
        decayed = {id(p) for group in groups if group["weight_decay"] for p in group["params"]}
        templates = {name for name, p in network.templates.as_dict().items() if id(p) in decayed}
        assert templates == {name for name, shape in shapes.items() if len(shape) > 1}
        assert not any(id(p) in decayed for p in network.scalers.parameters())


def test_weights_stay_in_full_precision_under_autocast(model: ExpandedModel, generator: torch.Generator) -> None:
    images = torch.randn(4, 1, 6, 6, generator=generator)
    with torch.autocast("cpu", torch.bfloat16):
        reduced = model(images)
        reduced.float().sum().backward()
    assert all(p.grad is not None and p.grad.dtype == torch.float32 for p in model.parameters())
    torch.testing.assert_close(reduced.float(), model(images), atol=0.1, rtol=0.1)
