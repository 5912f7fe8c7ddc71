"""FRONT against its definition: SciPy's transforms of whole components in float64, and models that it gives back."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from block_methods import FAMILY, context, initialized, random_weights
from scipy.fft import dctn, idctn
from torch import nn

from learngene_bench.contracts.gene import Gene
from learngene_bench.contracts.initializer import Pretrained
from learngene_bench.methods.front import Front, FrontOptions
from learngene_bench.models.vit import ViTSpec
from learngene_bench.models.weights import build_model, write_weights

SOURCE = replace(FAMILY, depth=4, width=12, heads=3)
Values = np.ndarray


def method(**options: object) -> Front:
    return Front(FrontOptions(**{"source_depth": 4, **options}))  # type: ignore[arg-type]


def made(**options: object) -> tuple[Gene, nn.Module]:
    """A gene, and the model that it is made of, whose every parameter is random."""
    source = build_model(SOURCE).eval()
    write_weights(source, random_weights(SOURCE, torch.Generator().manual_seed(0)))
    asked = method(**options).gene_request(SOURCE, SOURCE)
    assert asked.ancestors == {"source": Pretrained(SOURCE)}
    gene = method().prepare(asked, context(SOURCE, role="auxiliary", ancestors={"source": source}))
    return gene, source


def resized(values: Values, axes: dict[int, tuple[int, int]], kept: dict[int, int]) -> Values:
    """Transforms axes, keeps the lowest frequencies of each, cuts or pads them to another size, transforms back.

    Args:
        axes: by number: new size, and 1 for outputs and layers, -1 for inputs.
        kept: frequencies by axis.
    """
    spectrum = dctn(values, axes=[*axes], norm="ortho")
    scale = 1.0
    for axis, (size, sign) in axes.items():
        scale *= math.sqrt(size / values.shape[axis]) ** sign
        low = np.take(spectrum, range(min(kept[axis], size)), axis)
        padding = [(0, size - low.shape[axis] if each == axis else 0) for each in range(low.ndim)]
        spectrum = np.pad(low, padding)
    return idctn(spectrum, axes=[*axes], norm="ortho") * scale


@pytest.mark.parametrize(("depth", "width"), [(4, 12), (7, 20), (2, 8), (5, 4)])
@pytest.mark.parametrize("ratio", [0.25, 0.5, 1.0])
def test_every_tensor_is_its_definition(depth: int, width: int, ratio: float) -> None:
    target = SOURCE.with_width(width).with_depth(depth)
    gene, source = made(ratio=ratio)
    weights = {name: parameter.detach() for name, parameter in initialized(method(), target, gene).named_parameters()}
    old = {name: parameter.detach().double() for name, parameter in source.named_parameters()}
    sizes = {"stream": (12, width), "heads": (3, width // 4), "hidden": (48, 4 * width)}

    def transformed(values: Values, axes: dict[int, tuple[str, int]], share: float) -> Values:
        new = {axis: (sizes[name][1], sign) for axis, (name, sign) in axes.items()}
        return resized(values, new, {axis: math.ceil(share * sizes[name][0]) for axis, (name, _) in axes.items()})

    sizes["layers"] = (4, depth)
    reads = {"attn.qkv": "stream", "attn.proj": "heads", "mlp.fc1": "stream", "mlp.fc2": "hidden"}
    for name in SOURCE.block_shapes():
        stack = torch.stack([old[f"blocks.{layer}.{name}"] for layer in range(4)]).numpy()
        found = torch.stack([weights[f"blocks.{layer}.{name}"] for layer in range(depth)]).numpy()
        module, _, kind = name.rpartition(".")
        axes = {0: ("layers", 1)}
        if "rpe" not in name:
            writes = {"attn.qkv": "heads", "mlp.fc1": "hidden"}.get(module, "stream")
            axes[2 if writes == "heads" else 1] = (writes, 1)
            if writes == "heads":  # (layers, 3, heads, channels, ...): three matrices
                stack = stack.reshape(4, 3, 3, 4, *stack.shape[2:])
            if kind == "weight" and module in reads:
                if reads[module] == "heads":
                    stack = stack.reshape(*stack.shape[:-1], 3, 4)
                axes[2 if reads[module] == "heads" else stack.ndim - 1] = (reads[module], -1)
        expected = transformed(stack, axes, ratio).reshape(found.shape)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4, err_msg=name)
    for name in (*SOURCE.non_block_shapes(), "head.weight"):
        axis = 0 if name.startswith(("patch", "norm")) else old[name].dim() - 1
        expected = transformed(old[name].numpy(), {axis: ("stream", -1 if "head" in name else 1)}, 1.0)
        np.testing.assert_allclose(weights[name].numpy(), expected, rtol=1e-4, atol=1e-4, err_msg=name)


def logits(model: nn.Module) -> torch.Tensor:
    with torch.no_grad():
        return model.eval()(torch.randn(4, 1, 6, 6, generator=torch.Generator().manual_seed(1)))


def test_all_frequencies_at_the_same_size_are_the_model() -> None:
    """Channels as they were, and in another order, which computes the same."""
    for channels in ("trained", "permuted"):
        gene, source = made(ratio=1.0, channels=channels)
        model = initialized(method(), SOURCE, gene)
        torch.testing.assert_close(logits(model), logits(source), rtol=1e-3, atol=1e-4)
        theirs = dict(source.named_parameters())
        same = [torch.allclose(each, theirs[name], atol=1e-5) for name, each in model.named_parameters()]
        assert all(same) if channels == "trained" else sum(same) == 1 + 3 * 4  # the head's bias, and iRPE tables


def test_half_of_the_frequencies_are_another_model_in_another_order() -> None:
    plain, permuted = (initialized(method(), SOURCE, made(channels=each)[0]) for each in ("trained", "permuted"))
    assert (logits(plain) - logits(permuted)).abs().max() > 0.1


def test_what_is_said_to_be_stored_is_the_gene() -> None:
    for ratio in (0.3, 0.5, 1.0):
        gene, _ = made(ratio=ratio)
        shapes = {name: tuple(tensor.shape) for name, tensor in gene.tensors.items()}
        assert method(ratio=ratio).stored_shapes(SOURCE, SOURCE) == shapes


def test_another_task_has_its_own_head() -> None:
    gene, _ = made()
    head = dict(initialized(method(), SOURCE, gene, same_task=False).named_parameters())["head.weight"]
    assert torch.equal(head, context(SOURCE, same_task=False).base_weights(SOURCE)["head.weight"])


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        (SOURCE.with_depth(13), None),
        (SOURCE.with_width(4).with_depth(1), None),
        (replace(SOURCE, mlp_ratio=2.0), None),
        (replace(SOURCE, heads=2), "its source has heads of dimension 4"),
    ],
)
def test_supported_targets(target: ViTSpec, reason: str | None) -> None:
    assert method().supports(target, SOURCE) == reason
