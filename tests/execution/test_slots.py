"""Where workers compute: GPUs in turn, cores that no other run has."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from learngene_bench.config.preset import Compute
from learngene_bench.execution.pool import Crew, Pool
from learngene_bench.execution.resources import Cores, Slot, slots
from learngene_bench.planning.plan import Stage
from learngene_bench.runs.store import Runs
from learngene_bench.util.errors import UserError
from learngene_bench.util.hardware import usable_cores

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
    found = slots(GPU, **{"workers": None, **arguments})
    assert [slot.environment()["CUDA_VISIBLE_DEVICES"] for slot in found] == expected


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
        slots(GPU, **{"workers": None, **arguments})


def test_without_a_gpu_workers_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert slots(Compute(threads=10**6), None) == [Slot()]
    assert len(slots(Compute(), None)) == len(usable_cores())
    with pytest.raises(UserError, match="there is no GPU here"):
        slots(Compute(), None, per_gpu=2)


TAKE = """
import sys
from learngene_bench.execution.resources import Cores
print(sorted(Cores([0, 1, 2]).take(int(sys.argv[1]))))
"""


def test_two_runs_never_take_the_same_cores(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def other(count: int) -> str:
        environment = os.environ | {"TMPDIR": str(tmp_path)}
        return subprocess.check_output([sys.executable, "-c", TAKE, str(count)], env=environment, text=True).strip()

    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    mine = Cores([0, 1, 2])
    assert mine.take(1) == {0}
    assert other(2) == "[1, 2]"
    assert other(3) == "[]"
    assert mine.take(3) == set()
    assert mine.take(2) == {1, 2}
    mine.release()
    assert other(3) == "[0, 1, 2]"


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system does not pin processes")
def test_workers_are_pinned(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    with Pool(Runs(tmp_path), Crew([Slot()]), []) as pool:
        pool.start(Stage("cell", "nothing", {}, {}))
        (worker,) = pool.busy.values()
        assert os.sched_getaffinity(worker.process.pid) == {usable_cores()[0]}
