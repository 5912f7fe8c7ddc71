"""Options of the executor `slurm`: the resources of one job, and what to do beside submitting."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, field_validator

from learngene_bench.config.section import Section

RESERVED = ("array", "dependency", "output", "error", "job-name", "signal", "requeue", "ntasks-per-node")
"""Options of sbatch that are set here, and that `set` must not change."""


class SlurmOptions(Section):
    """Resources of one job. What is absent is left to the site's own defaults."""

    partition: str | None = Field(None, description="partition of the cluster")
    account: str | None = Field(None, description="account that is charged")
    time: str | None = Field(None, description="longest time of one job: 24:00:00; less is asked for if it is enough")
    nodes: int = Field(1, ge=1, description="nodes of one job")
    gpus_per_node: int = Field(0, ge=0, description="GPUs of each node")
    cpus_per_task: int = Field(1, ge=1, description="CPU cores of each task")
    mem: str | None = Field(None, description="memory of one node: 64G")
    per_gpu: int = Field(1, ge=1, description="number of stages that share a GPU; 1 by default")
    processes_per_model: int = Field(
        1, ge=1, description="number of processes, each with a GPU of its own, that train one model together with DDP"
    )
    cells_per_job: int | None = Field(
        None, ge=1, description="cells that one job computes; by default as many as it computes at the same time"
    )
    max_parallel: int | None = Field(None, ge=1, description="jobs that run at the same time, of all together")
    max_submitted: int | None = Field(
        None,
        ge=1,
        description="jobs that wait or run at the same time, as many as the site lets one user have (MaxSubmitJobs)",
    )
    setup: list[str] = Field([], description="shell command before Python starts: 'module load cuda'; repeatable")
    set: dict[str, str | int | bool] = Field({}, description="any other option of sbatch: constraint=a100; repeatable")
    snapshot: bool = Field(False, description="freeze a copy of the code for the jobs")
    wait: bool = Field(False, description="follow the jobs to their end and print the tables")
    dry_run: bool = Field(False, description="print what would be submitted, submit nothing")
    format: Literal["table", "json"] = Field("table", description="output of --dry-run, for people or for programs")

    @field_validator("time")
    @classmethod
    def _readable(cls, value: str | None) -> str | None:
        if value is not None:
            minutes_of(value)
        return value

    @field_validator("set")
    @classmethod
    def _not_reserved(cls, value: dict[str, str | int | bool]) -> dict[str, str | int | bool]:
        for name in value:
            if name.replace("-", "_") in cls.model_fields or name in RESERVED:
                raise ValueError(f"{name} has an option of its own or is set by lgbench")
        return value

    @property
    def minutes(self) -> int | None:
        """The longest time of one job in minutes."""
        return minutes_of(self.time) if self.time is not None else None


def minutes_of(text: str) -> int:
    """Reads a time as SLURM writes it: 90, 90:00, 1:30:00, 1-12, 1-12:30, 1-12:30:00.

    Returns:
        Whole minutes, rounded up.

    Raises:
        ValueError: the text is none of these.
    """
    match = re.fullmatch(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?", text.strip())
    if match is None:
        raise ValueError(f"a time is written like 24:00:00 or 1-12:00, not {text!r}")
    days, *parts = (int(part) if part is not None else None for part in match.groups())
    given = [part for part in parts if part is not None]
    if days is None and len(given) < 3:  # minutes, minutes:seconds
        hours, minutes, seconds = 0, given[0], (given[1:] or [0])[0]
    else:
        hours, minutes, seconds = [*given, 0, 0][:3]
    total = ((24 * (days or 0) + hours) * 60 + minutes) * 60 + seconds
    if total == 0:
        raise ValueError("a job needs more time than none")
    return -(-total // 60)
