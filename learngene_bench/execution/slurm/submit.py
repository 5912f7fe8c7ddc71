"""Handing arrays of jobs to SLURM through submitit."""

from __future__ import annotations

import io
import shlex
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any

from learngene_bench.execution.slurm import submissions
from learngene_bench.execution.slurm.job import Job
from learngene_bench.execution.slurm.layout import Array
from learngene_bench.execution.slurm.settings import SlurmSettings
from learngene_bench.util.errors import UserError

SIGNAL_SECONDS = 90
"""Before its time limit a job hears that it is near, with this much left to save where it is."""
TURNS = 10_000
"""Time limits after which a job is not continued: as good as any number, `Job.checkpoint` ends what gets nowhere."""


def submit(
    folder: Path,
    arrays: Sequence[Array],
    settings: SlurmSettings,
    make_job: Callable[[tuple[str, ...]], Job],
    *,
    command: list[str],
    code: dict[str, Any],
    code_folder: Path | None,
) -> list[dict[str, Any]]:
    """Submits arrays in their order.

    Args:
        folder: of this submission.
        make_job: from the addresses of stages.
        code_folder: a frozen copy for the jobs to run.

    Raises:
        UserError: the scheduler refuses one; what was submitted before stays, and is on file.
    """
    from submitit import SlurmExecutor
    from submitit.core.utils import FailedJobError, FailedSubmissionError

    made: list[dict[str, Any]] = []
    for array in arrays:
        executor = SlurmExecutor(folder=folder / "jobs", max_num_timeout=TURNS)
        executor.update_parameters(**parameters(array, made, settings, code_folder))
        try:
            with redirect_stderr(io.StringIO()), executor.batch():  # submitit prints what it raises, too
                jobs = [executor.submit(make_job(task.stages)) for task in array.tasks]
        except (FailedJobError, FailedSubmissionError, OSError) as error:
            raise UserError(_refusal(error, array, made)) from error
        made.append(
            {
                "name": array.name,
                "minutes": array.minutes,
                "jobs": [job.job_id for job in jobs],
                "tasks": [list(task.stages) for task in array.tasks],
            }
        )
        submissions.write(folder, command, code, made)
    return made


def parameters(
    array: Array, made: Sequence[dict[str, Any]], settings: SlurmSettings, code_folder: Path | None
) -> dict[str, Any]:
    """Options of sbatch, by submitit's names.

    Args:
        made: the arrays submitted before, which know the numbers of their jobs.
    """
    more: dict[str, Any] = {"requeue": True, **settings.set}
    waits = [*array.after_jobs, *(_identity(made[number], task) for number, task in array.after)]
    if waits:
        more["dependency"] = f"afterany:{':'.join(waits)}"
    if array.minutes is None:
        more["time"] = "INFINITE"
    optional = {"partition": settings.partition, "account": settings.account, "mem": settings.mem}
    return {
        "job_name": f"lgbench-{array.name}",
        "time": array.minutes or 0,
        "nodes": settings.nodes,
        "ntasks_per_node": settings.processes_per_model // settings.nodes,
        "cpus_per_task": settings.cpus_per_task,
        "gpus_per_node": settings.gpus_per_node or None,
        "array_parallelism": array.parallel or len(array.tasks),
        "signal_delay_s": SIGNAL_SECONDS,
        "stderr_to_stdout": True,
        "setup": [*settings.setup, *_python_path(code_folder)],
        "srun_args": ["--kill-on-bad-exit=1"],
        "additional_parameters": more,
        **{name: value for name, value in optional.items() if value is not None},
    }


def _identity(array: dict[str, Any], task: int | None) -> str:
    return str(array["jobs"][0]).partition("_")[0] if task is None else str(array["jobs"][task])


def _python_path(code_folder: Path | None) -> list[str]:
    """Jobs run the frozen code, or this code; never that of a checkout which happens to be the current folder."""
    path = [f"export PYTHONPATH={shlex.quote(str(code_folder))}${{PYTHONPATH:+:$PYTHONPATH}}"] if code_folder else []
    # Where the scheduler hides no GPUs, a job that asked for none must not take any.
    return ["export PYTHONSAFEPATH=1", "export CUDA_VISIBLE_DEVICES=${CUDA_VISIBLE_DEVICES:-}", *path]


def _refusal(error: Exception, array: Array, made: Sequence[dict[str, Any]]) -> str:
    lines = [line for line in str(error).splitlines() if "sbatch: error" in line or "rror:" in line] or [str(error)]
    said = " ".join(lines[-1].removeprefix("sbatch: error: ").split())
    before = f"; {len(made)} arrays were submitted before (lgbench cancel takes them back)" if made else ""
    return f"the scheduler refuses {array.name}: {said}{before}"
