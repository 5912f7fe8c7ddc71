"""A job is requeued while it makes progress."""

from __future__ import annotations

from pathlib import Path

from learngene_bench.config.preset import Compute
from learngene_bench.execution.slurm.job import MOST_REQUEUES, StagesJob


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
