"""What was submitted from a runs folder: files that say which job computes which stage.

runs/slurm/<time and a random part>/
    submission.json   arrays of jobs, their stages, the code, the command
    jobs/             submitit's own files, and what the jobs printed
    code/             the frozen copy, with --snapshot
"""

from __future__ import annotations

import getpass
import os
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from learngene_bench.runs.store import Runs
from learngene_bench.schema.constants import SCHEMA_VERSION
from learngene_bench.util import source_code
from learngene_bench.util.files import read_json, write_json


@dataclass(frozen=True)
class Submission:
    """One `lgbench run --executor slurm`.

    Attributes:
        values: the content of its file.
    """

    folder: Path
    values: Mapping[str, Any]

    @cached_property
    def jobs(self) -> dict[str, list[str]]:
        """Identity of each job, 123 or 123_4, to the addresses of the stages that it computes."""
        return {
            job: task
            for array in self.values["arrays"]
            for job, task in zip(array["jobs"], array["tasks"], strict=True)
        }

    def output(self, job: str) -> list[Path]:
        """What a job printed, the tries of it one after the other."""
        return sorted((self.folder / "jobs").glob(f"{job}_*_log.out"))


def new_folder(runs: Runs) -> Path:
    """A folder for one submission: fresh, since submitit would take results of old jobs with the same number."""
    moment = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    return runs.root.resolve() / "slurm" / f"{moment}-{secrets.token_hex(2)}"


def write(folder: Path, command: list[str], code: Mapping[str, Any], arrays: list[dict[str, Any]]) -> None:
    """Writes what was submitted so far; called after each array, as a later one may be refused."""
    body = {"schema_version": SCHEMA_VERSION, "command": command, "user": getpass.getuser(), "code": code}
    write_json(folder / "submission.json", {**body, "arrays": arrays})


def read(runs: Runs) -> list[Submission]:
    """All submissions of a runs folder, oldest first."""
    paths = sorted((runs.root / "slurm").glob("*/submission.json"))
    return [Submission(path.parent, read_json(path, "submission")) for path in paths]


def job_of_stage(submissions: Iterable[Submission]) -> dict[str, str]:
    """By address, the job that was to compute the stage, the latest where there were several."""
    return {address: job for one in submissions for job, stages in one.jobs.items() for address in stages}


def users(submissions: Iterable[Submission]) -> set[str]:
    return {str(submission.values["user"]) for submission in submissions}


def note_other_code(folder: Path, submitted: Mapping[str, Any]) -> None:
    """Called in a job whose code is not what its submission had."""
    job = os.environ.get("SLURM_ARRAY_JOB_ID", os.environ["SLURM_JOB_ID"])
    task = os.environ.get("SLURM_ARRAY_TASK_ID")
    name = f"{job}_{task}" if task else job
    write_json(folder / "other-code" / f"{name}.json", {"submitted": submitted, "found": source_code.identity()})


def jobs_of_other_code(made: Iterable[Submission]) -> list[str]:
    """Jobs that computed with other code than was submitted."""
    return sorted(path.stem for one in made for path in (one.folder / "other-code").glob("*.json"))
