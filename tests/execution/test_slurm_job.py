"""A job is requeued while it makes progress."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from learngene_bench.config.preset import Compute
from learngene_bench.execution.slurm.job import MOST_REQUEUES, StagesJob


@pytest.mark.parametrize(
    ("device", "visible", "gpus"), [("cpu", "0,1", [(), ()]), ("auto", "0,1", [("0",), ("1",)]), ("auto", "", [(), ()])]
)
def test_a_job_divides_what_it_computes_on(
    device: Any, visible: str, gpus: list[Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A preset may compute on the cores of a node whose GPUs the job has."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    job = StagesJob(tmp_path, [], [], Compute(device=device), workers=2, per_gpu=1, processes=1, code={})
    assert [slot.gpus for slot in job.slots()] == gpus


def test_a_job_that_gets_nowhere_is_not_requeued_for_ever(tmp_path: Path) -> None:
    job = StagesJob(tmp_path, [("cell", "a" * 64)], [], Compute(), workers=1, per_gpu=1, processes=1, code={})
    checkpoints = tmp_path / "cell" / ("a" * 20) / "checkpoints"
    checkpoints.mkdir(parents=True)

    def requeues() -> int:
        """Counts the requeues until it gives up."""
        return next(count for count in range(20) if job.checkpoint() is None)

    assert requeues() == MOST_REQUEUES
    (checkpoints / "tuning.pt").write_text("the first")
    assert requeues() == MOST_REQUEUES
    (checkpoints / "tuning.pt").write_text("further")
    assert job.checkpoint() is not None
