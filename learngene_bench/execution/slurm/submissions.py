"""Records of submissions: files that say which job computes which stage.

runs/slurm/<time and a random part>/
    submission.json   arrays of jobs, their stages, the code, the command
    jobs/             submitit's own files, and what the jobs printed
    other-code/       a file for each job that ran other code than was submitted
    code/             the frozen copy, with --snapshot
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from learngene_bench.schema import base
from learngene_bench.schema.base import Address, Document, File, Text
from learngene_bench.schema.provenance import SourceCode
from learngene_bench.util import source_code
from learngene_bench.util.errors import UserError
from learngene_bench.util.files import write_json

JobId = Annotated[str, Field(pattern=r"^\d+(_\d+)?$")]
"""Id of a job, 123 or 123_4; part of names of files, and a word of scancel."""


class SubmittedArray(Document):
    """One call of sbatch.

    Attributes:
        name: its name.
        minutes: time limit of each job; null for the partition's own.
        jobs: id of each job, 123_4.
        stages: addresses of the stages of each job.
    """

    name: Text
    minutes: int | None
    jobs: tuple[JobId, ...]
    stages: tuple[tuple[Address, ...], ...]


class SubmissionFile(File):
    """submission.json: the jobs of one `lgbench run --executor slurm`.

    Attributes:
        command: the command, word by word.
        user: the user who submitted.
        code: the code that was submitted.
        arrays: what was submitted so far.
    """

    command: tuple[Text, ...]
    user: Text
    code: SourceCode
    arrays: tuple[SubmittedArray, ...]


@dataclass(frozen=True)
class Submission:
    """The folder of one `lgbench run --executor slurm`, and its submission file."""

    folder: Path
    content: SubmissionFile

    @cached_property
    def jobs(self) -> dict[str, tuple[Address, ...]]:
        """Addresses of the stages that each job computes, by the job's id."""
        return {
            job: stages for array in self.content.arrays for job, stages in zip(array.jobs, array.stages, strict=True)
        }

    def output(self, job: str) -> list[Path]:
        """Lists the files that hold what a job printed, one for each time it was started."""
        return sorted((self.folder / "jobs").glob(f"{job}_*_log.out"))


def new_folder(runs: Path) -> Path:
    """Names a fresh folder for one submission: in an old one submitit would find results of jobs with the same id.

    Raises:
        UserError: a job could not find it, as its scheduler reads something else in the path.
    """
    root = runs.resolve()
    if strange := sorted(set("%\\\n") & set(str(root))):
        signs = " and ".join(map(repr, strange))
        raise UserError(f"{root}: SLURM replaces {signs} in the paths of jobs: choose runs with another path")
    moment = datetime.now(UTC).strftime("%Y%m%d-%H%M%S-%f")  # names are in the order of time, also within a second
    return root / "slurm" / f"{moment}-{secrets.token_hex(2)}"


def write(folder: Path, content: SubmissionFile) -> None:
    """Writes the submission file; called after each array, as the scheduler may refuse a later one."""
    base.write(folder / "submission.json", content)


def read(runs: Path) -> list[Submission]:
    """Reads all submissions of a runs folder, oldest first."""
    paths = sorted((runs / "slurm").glob("*/submission.json"))
    return [Submission(path.parent, base.read(SubmissionFile, path)) for path in paths]


def job_of_stage(submissions: Iterable[Submission]) -> dict[str, str]:
    """Maps the address of each stage to the latest job that was to compute it."""
    return {address: job for one in submissions for job, stages in one.jobs.items() for address in stages}


def users(submissions: Iterable[Submission]) -> set[str]:
    """Returns the names of the users who submitted."""
    return {submission.content.user for submission in submissions}


def record_code_mismatch(folder: Path, job: str, submitted: dict[str, Any]) -> None:
    """Records that a job runs other code than was submitted."""
    write_json(folder / "other-code" / f"{job}.json", {"submitted": submitted, "found": source_code.identity()})


def jobs_of_other_code(submissions: Iterable[Submission]) -> list[str]:
    """Lists the jobs that ran other code than was submitted."""
    return sorted(path.stem for one in submissions for path in (one.folder / "other-code").glob("*.json"))


def current_job_id() -> str:
    """Returns the id of the job that this process runs in. No other code reads SLURM's environment variables."""
    array, element = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    return f"{array}_{element}" if array else os.environ["SLURM_JOB_ID"]
