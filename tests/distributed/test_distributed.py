"""Test that several processes train as well as one does."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from allowed_waits import unexplained
from ranks import run_ranks
from torch import nn
from training_scenarios import CLASSES, EQUAL, SCENARIOS, Exact, drawn, phase, recipe, run, some_images

from learngene_bench import distributed
from learngene_bench.config.preset import Compute
from learngene_bench.conformance.simulated_gpu import SimulatedGpu
from learngene_bench.contracts.task import task_kind
from learngene_bench.training.ancestors import ConvNet
from learngene_bench.training.evaluation import evaluate
from learngene_bench.training.loop import train
from learngene_bench.util.errors import MethodFailure, UserError


def same(one: Any, other: Any) -> None:
    """Weights to 1e-6, where one step moves them by about the learning rate of 3e-3.

    The loss is computed in float32 whatever the network's numbers, and a gradient of an odd part is rounded there.
    """
    assert one["weights"].keys() == other["weights"].keys()
    for name, weight in one["weights"].items():
        torch.testing.assert_close(
            other["weights"][name], weight, atol=1e-6, rtol=1e-6, msg=lambda m, n=name: f"{n}: {m}"
        )
    assert [entry["top1"] for entry in other["curve"]] == [entry["top1"] for entry in one["curve"]]
    losses, expected = ([entry["loss"] for entry in curve[1:]] for curve in (other["curve"], one["curve"]))
    assert losses == pytest.approx(expected, rel=1e-5)


def same_bits(one: Any, other: Any) -> bool:
    return all(torch.equal(weight, other["weights"][name]) for name, weight in one["weights"].items())


@pytest.fixture(scope="module", params=[2, 3])
def trained_together(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All scenarios in as many processes: a file for each scenario and rank."""
    folder = tmp_path_factory.mktemp("together")
    assert ended(request.param, train_all, folder) == [0] * request.param
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("scenario", EQUAL)
def test_without_augmentation_processes_train_as_one_does(trained_together: Path, scenario: str) -> None:
    """The averaged gradient is that of the whole batch, so the weights after some steps are those of one process."""
    expected = run(scenario)
    assert len(expected["curve"]) > 1
    same(expected, torch.load(trained_together / f"{scenario}.0.pt"))


@pytest.mark.slow
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_all_processes_end_with_the_same_network(trained_together: Path, scenario: str) -> None:
    results = [torch.load(path) for path in sorted(trained_together.glob(f"{scenario}.*.pt"))]
    for other in results[1:]:
        assert same_bits(results[0], other)
        assert [point["top1"] for point in other["curve"]] == [point["top1"] for point in results[0]["curve"]]


@pytest.mark.slow
@pytest.mark.parametrize("scenario", ["drop path and mixup", "batch norm"])
def test_with_random_numbers_of_their_own_processes_learn_as_much(trained_together: Path, scenario: str) -> None:
    expected, together = run(scenario), torch.load(trained_together / f"{scenario}.0.pt")
    losses = []
    for curve in (expected["curve"], together["curve"]):
        assert curve[0]["top1"] < 50
        assert curve[-1]["top1"] > 60
        losses.append(sum(point["loss"] for point in curve[-10:]) / 10)
    assert losses[1] == pytest.approx(losses[0], rel=0.15)
    assert not same_bits(expected, together), "other ranks draw other numbers"


@pytest.mark.slow
def test_killed_processes_are_continued_by_as_many(tmp_path: Path) -> None:
    checkpoint = tmp_path / "finetuning.pt"
    assert ended(2, kill_all, checkpoint) == [-signal.SIGKILL] * 2
    assert torch.load(checkpoint)["step"] == 7
    with pytest.raises(UserError, match=r"finetuning.pt: saved by 2 processes, and now there are 1; run with --proc"):
        run("uneven shards", checkpoint)
    assert ended(2, go_on, checkpoint) == [0, 0]
    same(run("uneven shards"), torch.load(f"{checkpoint}.end"))


@pytest.mark.slow
def test_fewer_images_than_processes_are_measured_as_by_one(trained_together: Path) -> None:
    network = drawn(partial(ConvNet, 1, CLASSES, 4)).eval()
    expected = evaluate(network, some_images(1), Compute(), task_kind().metrics()).metrics
    for path in trained_together.glob("few.*.pt"):
        assert torch.load(path) == expected


@pytest.mark.slow
def test_what_the_loss_does_not_depend_on_is_refused(trained_together: Path) -> None:
    error = "finetuning: the loss does not depend on network.unused, which is to be trained; with several processes "
    assert (trained_together / "unused.txt").read_text().startswith(error)


@pytest.mark.slow
@pytest.mark.gpu
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
def test_two_gpus_train_as_one_does(tmp_path: Path) -> None:
    assert ended(2, train_all, tmp_path, "cuda") == [0, 0]
    for scenario in EQUAL:
        same(run(scenario, device="cuda"), torch.load(tmp_path / f"{scenario}.0.pt"))


@pytest.mark.slow
def test_two_simulated_gpus_train_as_one_process_does(tmp_path: Path) -> None:
    """Without NCCL and without batch norm over all processes, which have no CPU kernels."""
    assert ended(2, train_on_simulated_gpus, tmp_path) == [0, 0]
    for scenario in EQUAL:
        same(run(scenario), torch.load(tmp_path / f"{scenario}.0.pt"))
    assert (tmp_path / "waits.txt").read_text() == ""


class Unused(ConvNet):
    def __init__(self) -> None:
        super().__init__(1, CLASSES, 4)
        self.register_parameter("unused", nn.Parameter(torch.zeros(3)))


def train_all(folder: Path, device: str = "cpu") -> None:
    for scenario in SCENARIOS:
        torch.save(run(scenario, device=device), folder / f"{scenario}.{distributed.world().rank}.pt")
    few = some_images(1, device=device)  # fewer images than processes
    network = drawn(partial(ConvNet, 1, CLASSES, 4)).eval().to(device)
    torch.save(
        evaluate(network, few, Compute(), task_kind().metrics()).metrics, folder / f"few.{distributed.world().rank}.pt"
    )
    with pytest.raises(MethodFailure) as failure:
        train(Exact(Unused()), some_images(40), recipe(), phase("finetuning"))
    (folder / "unused.txt").write_text(str(failure.value))


def train_on_simulated_gpus(folder: Path) -> None:
    with SimulatedGpu() as gpu:
        results = {scenario: run(scenario, device=str(gpu.device)) for scenario in EQUAL}
    if distributed.world().is_rank0:
        for scenario, result in results.items():
            torch.save(result, folder / f"{scenario}.0.pt")
        # gloo hands averaged gradients and buffers over in the memory of the CPU.
        waits = [wait for wait in unexplained(gpu.waits) if not wait.file.endswith("training_scenarios.py")]
        found = {wait.place for wait in waits if not (wait.is_in_step and wait.what.startswith("copy"))}
        (folder / "waits.txt").write_text("\n".join(found))


def kill_all(checkpoint: Path) -> None:
    def kill(step: int) -> None:
        if step == 7:
            torch.distributed.barrier()  # rank 0 has written
            os.kill(os.getpid(), signal.SIGKILL)

    run("uneven shards", checkpoint, kill)


def go_on(checkpoint: Path) -> None:
    result = run("uneven shards", checkpoint)
    if distributed.world().is_rank0:
        torch.save(result, f"{checkpoint}.end")


def in_group(function: str, path: str, *device: str) -> None:
    world = distributed.join()
    torch.set_num_threads(1)
    if device:
        torch.cuda.set_device(world.gpu())
    world.form_group(world.next_store())
    globals()[function](Path(path), *device)
    world.end_group()


def ended(count: int, function: Callable[..., None], *arguments: object) -> list[int]:
    """Runs a function of this file in as many processes that form a group; returns their exit statuses."""
    return run_ranks(count, "test_distributed:in_group", function.__name__, *map(str, arguments))
