"""Runs SLURM's own commands and reads their answers: squeue, sacct, scontrol, sinfo, scancel."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from learngene_bench.contracts.executor import JobStatus
from learngene_bench.execution.slurm.options import minutes_of
from learngene_bench.util.errors import UserError

TIMEOUT = 60
"""Time that a command of the scheduler may take, seconds."""


@dataclass(frozen=True)
class Limits:
    """Limits that a site sets.

    Attributes:
        array_size: jobs of one array.
        minutes: the longest time of a job in the partition; None for no limit.
    """

    array_size: int
    minutes: int | None


def answers() -> bool:
    """Returns True if a SLURM controller answers; the commands alone may be installed without a cluster."""
    return _ask(["sinfo", "-h", "-o", "%P"]) is not None


def limits(partition: str | None) -> Limits:
    """Asks for the limits of a partition. Raises `UserError` if no controller answers, or it has no such partition."""
    partitions = _ask(["sinfo", "-h", "-o", "%P|%l"])
    if partitions is None:
        raise UserError("--executor slurm: no SLURM controller answers here (sinfo fails); is this a login node?")
    found = dict(line.split("|", 1) for line in partitions.split())
    names = {name.rstrip("*"): time for name, time in found.items()}
    chosen = partition or next((name.rstrip("*") for name in found if name.endswith("*")), None)
    if partition is not None and any(part not in names for part in partition.split(",")):
        raise UserError(f"--partition {partition}: there is none (valid: {', '.join(sorted(names))})")
    times = [names[part] for part in (chosen or "").split(",") if part in names]
    minutes = [minutes_of(time) for time in times if time[:1].isdigit()]
    size = re.search(r"^MaxArraySize\s*=\s*(\d+)", _ask(["scontrol", "show", "config"]) or "", re.MULTILINE)
    return Limits(int(size[1]) if size else 1001, min(minutes, default=None))


def queue(user: str) -> dict[str, JobStatus]:
    """Lists the jobs of a user that wait, run or end just now, by id (123, or 123_4 of an array).

    Raises:
        UserError: the scheduler does not answer, so nobody knows which jobs there are.
    """
    answer = _ask(["squeue", "-h", "-r", "-u", user, "-o", "%i|%T|%r"])
    if answer is None:
        raise UserError("squeue does not answer; try again when the scheduler is back")
    jobs = (JobStatus(*line.split("|", 2)) for line in answer.splitlines())
    return {job.id: job for job in jobs}


def history(arrays: Iterable[str]) -> dict[str, JobStatus]:
    """Asks accounting for jobs and arrays of jobs, by id; finds nothing where there is no accounting."""
    wanted = sorted(set(arrays))
    found: dict[str, JobStatus] = {}
    for first in range(0, len(wanted), 500):
        listed = ",".join(wanted[first : first + 500])
        answer = _ask(["sacct", "-n", "-P", "-X", "-o", "JobID,State", "-j", listed]) or ""
        for line in answer.splitlines():
            id, _, state = line.partition("|")
            words = state.split()  # "CANCELLED by 0"
            for task in _expanded(id):
                found[task] = JobStatus(task, words[0] if words else "UNKNOWN")
    return found


def cancel(ids: Sequence[str]) -> None:
    """Ends jobs. Raises `UserError` with what scancel says, or if it does not answer."""
    for first in range(0, len(ids), 500):
        command = ["scancel", *ids[first : first + 500]]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT)
        except (OSError, subprocess.TimeoutExpired):
            raise UserError("scancel does not answer; try again when the scheduler is back") from None
        if done.returncode:
            raise UserError(f"scancel: {' '.join(done.stderr.split())}")


def _expanded(id: str) -> list[str]:
    """Expands 12_[3-5,8%2] into 12_3, 12_4, 12_5 and 12_8; accounting lists jobs that never started in this way."""
    match = re.fullmatch(r"(\d+)_\[([\d,\-:]+)(?:%\d+)?\]", id)
    if match is None:
        return [id]
    numbers: list[int] = []
    for first, last in re.findall(r"(\d+)(?:-(\d+))?", match[2]):
        numbers += range(int(first), int(last or first) + 1)
    return [f"{match[1]}_{number}" for number in numbers]


def _ask(command: Sequence[str]) -> str | None:
    """Returns what a command prints; None if it is not there, fails, or takes too long."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
