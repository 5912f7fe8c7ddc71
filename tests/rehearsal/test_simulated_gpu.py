"""The simulated GPU refuses what a GPU refuses, notes what a GPU waits for, and computes what the CPU computes."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from learngene_bench.conformance.simulated_gpu import BESIDE_STEPS, LOOP, GpuTensor, SimulatedGpu
from learngene_bench.training import loop

CPU = torch.device("cpu")
Make = Callable[..., Tensor]


def here(*shape: int) -> Tensor:
    return torch.ones(shape)


def position(*numbers: int) -> Tensor:
    return torch.tensor(numbers or (0, 1))


MIXTURES: dict[str, Callable[[Make], Any]] = {
    "sum": lambda gpu: gpu(2, 2) + here(2, 2),
    "product in place": lambda gpu: gpu(2, 2).mul_(here(2, 2)),
    "matrix product": lambda gpu: gpu(2, 2) @ here(2, 2),
    "matrix product from the left": lambda gpu: here(2, 2) @ gpu(2, 2),
    "linear": lambda gpu: F.linear(gpu(2, 2), here(2, 2)),
    "convolution": lambda gpu: F.conv2d(gpu(1, 1, 4, 4), here(1, 1, 3, 3)),
    "layer norm": lambda gpu: F.layer_norm(gpu(2, 2), (2,), here(2), here(2)),
    "einsum": lambda gpu: torch.einsum("ij,jk->ik", gpu(2, 2), here(2, 2)),
    "attention": lambda gpu: F.scaled_dot_product_attention(gpu(1, 1, 2, 2), here(1, 1, 2, 2), gpu(1, 1, 2, 2)),
    "cat": lambda gpu: torch.cat([gpu(2, 2), here(2, 2)]),
    "stack of numbers": lambda gpu: torch.stack([gpu(), here()]),
    "where": lambda gpu: torch.where(gpu(2, 2) > 0, here(2, 2), gpu(2, 2)),
    "labels": lambda gpu: F.cross_entropy(gpu(2, 2), position()),
    "embedding": lambda gpu: F.embedding(position(), gpu(2, 2)),
    "index_select": lambda gpu: gpu(2, 2).index_select(0, position()),
    "gather": lambda gpu: gpu(2, 2).gather(0, position().view(1, 2)),
    "index of a tensor of the CPU": lambda gpu: here(2, 2)[gpu(2).long()],
    "assignment": lambda gpu: gpu(2, 2).index_put_((position(),), here(2, 2)),
    "generator of the CPU": lambda gpu: torch.randn(2, generator=torch.Generator(), device=gpu().device),
    "generator of the CPU, in place": lambda gpu: gpu(2).normal_(generator=torch.Generator()),
    "generator of the GPU": lambda gpu: torch.randn(2, generator=torch.Generator(gpu().device)),
    "numpy": lambda gpu: gpu(2).numpy(),
}


@pytest.mark.parametrize("mixture", MIXTURES.values(), ids=MIXTURES)
def test_tensors_of_two_devices_do_not_mix(mixture: Callable[[Make], Any]) -> None:
    with SimulatedGpu() as gpu:
        ones = on(gpu)
        with pytest.raises((RuntimeError, TypeError)):
            mixture(ones)


WAITS: dict[str, tuple[str, Callable[[Make], Any]]] = {
    "item": ("_local_scalar_dense", lambda gpu: gpu(2).sum().item()),
    "float": ("_local_scalar_dense", lambda gpu: float(gpu(2).sum())),
    "if": ("_local_scalar_dense", lambda gpu: bool(gpu(2).sum() > 0)),
    "nonzero": ("nonzero", lambda gpu: gpu(2).nonzero()),
    "where of one argument": ("nonzero", lambda gpu: torch.where(gpu(2) > 0)),
    "mask": ("nonzero", lambda gpu: gpu(2)[gpu(2) > 0]),
    "mask of the CPU": ("nonzero", lambda gpu: gpu(2)[torch.tensor([True, False])]),
    "masked_select": ("masked_select", lambda gpu: gpu(2).masked_select(gpu(2) > 0)),
    "unique": ("_unique2", lambda gpu: gpu(2).unique()),
    "equal": ("equal", lambda gpu: torch.equal(gpu(2), gpu(2))),
    "inverse": ("_linalg_check_errors", lambda gpu: torch.linalg.inv(gpu(1, 1))),
    "repeats": ("repeat_interleave", lambda gpu: gpu(2).repeat_interleave(gpu(2).long())),
    "cpu": ("copy to the CPU", lambda gpu: gpu(2).cpu()),
    "tolist": ("copy to the CPU", lambda gpu: gpu(2).tolist()),
    "copy to the CPU": ("copy to the CPU", lambda gpu: here(2).copy_(gpu(2), non_blocking=True)),
    "index of the CPU": ("copy to the GPU", lambda gpu: gpu(2)[position()]),
    "to": ("copy to the GPU", lambda gpu: here(2).to(gpu(2).device)),
    "tensor": ("copy to the GPU", lambda gpu: torch.tensor([1.0, 2.0], device=gpu().device)),
    "save": ("save", lambda gpu: torch.save(gpu(2), io.BytesIO())),
}


def on(gpu: SimulatedGpu) -> Make:
    return lambda *shape: torch.ones(shape, device=gpu.device)


@pytest.mark.parametrize(("what", "operation"), WAITS.values(), ids=WAITS)
def test_a_wait_is_noted_with_its_place(what: str, operation: Callable[[Make], Any]) -> None:
    with SimulatedGpu() as gpu:
        operation(on(gpu))
    assert {wait.what for wait in gpu.waits} == {what}
    assert {(wait.function, wait.file) for wait in gpu.waits} == {("<lambda>", __file__)}
    assert not any(wait.is_in_step for wait in gpu.waits)


FREE: dict[str, Callable[[Make], Any]] = {
    "a number of the CPU": lambda gpu: gpu(2) * torch.tensor(2.0),
    "a number": lambda gpu: gpu(2, 2).fill_(3.0)[0, 1],
    "a copy that does not block": lambda gpu: here(2).to(gpu(2).device, non_blocking=True),
    "a mask that is filled": lambda gpu: gpu(2).masked_fill(gpu(2) > 0, 1.0),
    "an index of its own": lambda gpu: gpu(2, 2)[torch.arange(2, device=gpu().device)],
    "one of a few": lambda gpu: F.one_hot(gpu(2).long(), 3),
    "labels": lambda gpu: F.cross_entropy(gpu(2, 3), gpu(2).long(), label_smoothing=0.1),
    "a generator": lambda gpu: gpu(2).normal_(generator=torch.Generator(gpu().device).manual_seed(0)),
    "repeats of a known size": lambda gpu: gpu(2).repeat_interleave(2),
}


@pytest.mark.parametrize("operation", FREE.values(), ids=FREE)
def test_what_needs_no_wait_is_none(operation: Callable[[Make], Any]) -> None:
    with SimulatedGpu() as gpu:
        assert operation(on(gpu)).device == gpu.device
    assert gpu.waits == []


def trained(device: torch.device) -> dict[str, Tensor]:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.GELU(), nn.Dropout(0.3), nn.Linear(4, 2))
    parameters = list(network.parameters())
    network.to(device)
    assert all(one is other for one, other in zip(parameters, network.parameters(), strict=True))
    optimizer = torch.optim.AdamW(network.parameters(), fused=True)
    generator = torch.Generator(device).manual_seed(0)
    for _ in range(3):
        optimizer.zero_grad()
        network(torch.randn(5, 3, generator=generator, device=device)).square().mean().backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
    copied = copy.deepcopy(network)
    assert {parameter.device for parameter in copied.parameters()} == {device}
    file = io.BytesIO()
    torch.save(copied.state_dict(), file)
    file.seek(0)
    state: dict[str, Tensor] = torch.load(file, weights_only=True)
    return state


def test_a_training_computes_what_it_computes_on_the_cpu() -> None:
    expected = trained(CPU)
    with SimulatedGpu() as gpu:
        found = trained(gpu.device)
    assert not any(isinstance(each, GpuTensor) for each in found.values())
    torch.testing.assert_close(found, expected)
    assert {wait.what for wait in gpu.waits} == {"copy to the GPU", "save"}


def test_models_without_numbers_stay_without() -> None:
    with SimulatedGpu() as gpu, torch.device("meta"):
        assert not isinstance(nn.Linear(2, 2).weight, GpuTensor)
        on(gpu)(2, 2).sum()
        assert not isinstance(torch.zeros(2), GpuTensor)


def test_nothing_is_left_behind() -> None:
    before = torch.Generator, torch.cuda.is_available(), torch.__future__.get_swap_module_params_on_conversion()
    with SimulatedGpu() as gpu:
        left = on(gpu)(2)
        assert isinstance(torch.Generator(), torch.Generator)
        assert isinstance(before[0](), torch.Generator)
        with pytest.raises(RuntimeError, match="one GPU is simulated at a time"), SimulatedGpu():
            pass
    after = torch.Generator, torch.cuda.is_available(), torch.__future__.get_swap_module_params_on_conversion()
    assert after == before
    with pytest.raises(RuntimeError, match="outlived it"):
        left + 1


def test_the_loop_has_the_functions_by_which_a_step_is_known() -> None:
    for name in (LOOP, *BESIDE_STEPS):
        kind, function = name.split(".")
        assert callable(getattr(getattr(loop, kind), function))
