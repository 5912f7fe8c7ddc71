"""Resources of workers: GPUs in turn, or a share of the cores."""

from __future__ import annotations

import pytest

from learngene_bench.config.preset import Compute
from learngene_bench.execution.resources import PoolConfig, WorkerSlot, device_kind_here, worker_slots
from learngene_bench.util.errors import UserError
from learngene_bench.util.hardware import CORE_SHARERS, cores_per_worker, usable_cores

GPU = Compute(device="auto")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, ["0", "1", "2"]),
        ({"workers": 2}, ["0", "1"]),
        ({"per_gpu": 2}, ["0", "1", "2", "0", "1", "2"]),
        ({"workers": 4, "per_gpu": 2}, ["0", "1", "2", "0"]),
        ({"processes": 2}, ["0,1"]),
    ],
)
def test_gpus_in_turn(monkeypatch: pytest.MonkeyPatch, arguments: dict[str, int], expected: list[str]) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2")
    config = PoolConfig(worker_slots(GPU, **{"workers": None, **arguments}))
    assert [config.environment(slot)["CUDA_VISIBLE_DEVICES"] for slot in config.slots] == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"workers": 5}, r"5 workers are more than 3 GPUs hold: --per-gpu 2"),
        ({"processes": 4}, r"4 processes for one model need as many GPUs; 3 are visible"),
    ],
)
def test_more_than_the_gpus_hold(monkeypatch: pytest.MonkeyPatch, arguments: dict[str, int], message: str) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2")
    with pytest.raises(UserError, match=message):
        worker_slots(GPU, **{"workers": None, **arguments})


def test_without_a_gpu_workers_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert worker_slots(Compute(threads=10**6), None) == [WorkerSlot()]
    assert len(worker_slots(Compute(), None)) == len(usable_cores())
    with pytest.raises(UserError, match="there is no GPU here"):
        worker_slots(Compute(), None, per_gpu=2)


def test_workers_share_the_cores_in_equal_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    config = PoolConfig([WorkerSlot()] * len(usable_cores()))
    assert cores_per_worker() == len(usable_cores())
    monkeypatch.setenv(CORE_SHARERS, config.environment(config.slots[0])[CORE_SHARERS])
    assert cores_per_worker() == 1


@pytest.mark.parametrize(
    ("visible", "device", "expected"),
    [("", "auto", "cpu"), ("0", "auto", "cuda"), ("0", "cpu", "cpu"), ("", "cuda", "cuda")],
)
def test_the_kind_of_device_is_known_before_torch_is(
    monkeypatch: pytest.MonkeyPatch, visible: str, device: str, expected: str
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert device_kind_here(Compute.model_validate({"device": device})) == expected
