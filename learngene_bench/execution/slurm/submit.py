"""Submits arrays of jobs to SLURM through submitit."""

from __future__ import annotations

import getpass
import io
import os
import shlex
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any

from learngene_bench.execution.slurm import submissions
from learngene_bench.execution.slurm.job import StagesJob
from learngene_bench.execution.slurm.layout import Array
from learngene_bench.execution.slurm.options import SlurmOptions
from learngene_bench.execution.slurm.submissions import SubmissionFile, SubmittedArray
from learngene_bench.schema.provenance import SourceCode
from learngene_bench.util import source_code
from learngene_bench.util.errors import UserError

SIGNAL_SECONDS = 90
"""Time before its time limit at which a job is told, to save checkpoints."""
STEP_CORES = 'export SRUN_CPUS_PER_TASK="$SLURM_CPUS_PER_TASK"'
"""Gives a job's steps its cores: since SLURM 22.05 they do not inherit them, and some sites bind them to one."""
MOST_TIMEOUTS = 10_000
"""Time limits after which submitit does not requeue a job; `StagesJob.checkpoint` ends what makes no progress."""


def submit(
    folder: Path,
    arrays: Sequence[Array],
    options: SlurmOptions,
    make_job: Callable[[tuple[str, ...]], StagesJob],
    *,
    command: Sequence[str],
    code_folder: Path | None,
) -> None:
    """Submits arrays in their order.

    Args:
        folder: the submission's own folder.
        make_job: makes a job from the addresses of its stages.
        code_folder: a frozen copy of the code for the jobs to run.

    Raises:
        UserError: the scheduler refuses one; what was submitted before stays, and is on file.
    """
    from submitit import SlurmExecutor
    from submitit.core.utils import FailedJobError, FailedSubmissionError

    made: list[SubmittedArray] = []
    for array in arrays:
        executor = SlurmExecutor(folder=folder / "jobs", max_num_timeout=MOST_TIMEOUTS)
        executor.update_parameters(**parameters(array, [one.jobs for one in made], options, code_folder))
        try:
            with redirect_stderr(io.StringIO()), executor.batch():  # submitit prints what it raises, too
                jobs = [executor.submit(make_job(job.stages)) for job in array.jobs]
        except (FailedJobError, FailedSubmissionError, OSError) as error:
            _remove_pickles_without_job(folder / "jobs")
            raise UserError(_refusal(error, array, len(made))) from error
        made.append(
            SubmittedArray(
                name=array.name,
                minutes=array.minutes,
                jobs=tuple(job.job_id for job in jobs),
                stages=tuple(job.stages for job in array.jobs),
            )
        )
        content = SubmissionFile(
            command=tuple(command),
            user=user_name(),
            code=SourceCode(**source_code.identity()),
            arrays=tuple(made),
        )
        submissions.write(folder, content)


def user_name() -> str:
    """Returns the user's name, or number where nobody knows a name, as in some containers."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def _remove_pickles_without_job(folder: Path) -> None:
    """Removes the jobs that submitit wrote for an array that the scheduler then refused: one file for each job."""
    for path in folder.glob("*.pkl"):
        if not path.stem.endswith("_submitted"):
            path.unlink(missing_ok=True)


def parameters(
    array: Array, submitted: Sequence[Sequence[str]], options: SlurmOptions, code_folder: Path | None
) -> dict[str, Any]:
    """Builds the options of sbatch, by submitit's names.

    Args:
        submitted: ids of the jobs of the arrays submitted before.
    """
    more: dict[str, Any] = {"requeue": True, **options.set}
    waits = [*array.after_jobs, *(_id(submitted[number], job) for number, job in array.after)]
    if waits:
        more["dependency"] = f"afterany:{':'.join(waits)}"
    if array.minutes is None:
        more["time"] = "INFINITE"
    optional = {"partition": options.partition, "account": options.account, "mem": options.mem}
    return {
        "job_name": f"lgbench-{array.name}",
        "time": array.minutes or 0,
        "nodes": options.nodes,
        "ntasks_per_node": options.processes_per_model // options.nodes,
        "cpus_per_task": options.cpus_per_task,
        "gpus_per_node": options.gpus_per_node or None,
        "array_parallelism": array.parallel or len(array.jobs),
        "signal_delay_s": SIGNAL_SECONDS,
        "stderr_to_stdout": True,
        "setup": [*options.setup, STEP_CORES, *_python_path(code_folder)],
        "wckey": None,  # submitit has one of its own, which a site that enforces keys refuses
        "srun_args": ["--kill-on-bad-exit=1"],
        "additional_parameters": more,
        **{name: value for name, value in optional.items() if value is not None},
    }


def _id(jobs: Sequence[str], job: int | None) -> str:
    return jobs[0].partition("_")[0] if job is None else jobs[job]


def _python_path(code_folder: Path | None) -> list[str]:
    """Makes jobs run the frozen code, or this code; never that of a checkout which happens to be the current folder."""
    path = [f"export PYTHONPATH={shlex.quote(str(code_folder))}${{PYTHONPATH:+:$PYTHONPATH}}"] if code_folder else []
    # Where the scheduler hides no GPUs, a job that asked for none must not take any.
    return ["export PYTHONSAFEPATH=1", "export CUDA_VISIBLE_DEVICES=${CUDA_VISIBLE_DEVICES:-}", *path]


def _refusal(error: Exception, array: Array, submitted: int) -> str:
    lines = [line for line in str(error).splitlines() if "sbatch: error" in line or "rror:" in line] or [str(error)]
    said = " ".join(lines[-1].removeprefix("sbatch: error: ").split())
    before = f"; {submitted} arrays were submitted before (lgbench cancel takes them back)" if submitted else ""
    full = "submit limit" in said or "temporarily unavailable" in said  # MaxSubmitJobs of a user, MaxJobCount of all
    hint = "; --max-submitted N submits as many jobs as the queue may hold" if full else ""
    return f"the scheduler refuses {array.name}: {said}{before}{hint}"
