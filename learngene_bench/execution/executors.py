"""Makes executors from what the user asks for, and asks those that have jobs in a runs folder.

~/.config/lgbench/site.toml holds defaults for every run of a user: a table for each executor, with its options.

    [slurm]
    partition = "gpu"
    setup = ["module load cuda"]
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from learngene_bench.config.loader import build_options
from learngene_bench.config.toml_file import read_toml
from learngene_bench.config.typed import user_path
from learngene_bench.contracts.executor import EXECUTORS, Executor, JobReport
from learngene_bench.schema.constants import STAGE_KINDS
from learngene_bench.util.errors import UserError, unknown

RESERVED = frozenset({*STAGE_KINDS, "plans", "report"})
"""Folders of a runs folder, which an executor's own folder must not be."""


def make_executor(name: str, given: Mapping[str, Any], recorded: Mapping[str, Any] | None = None) -> Executor:
    """Makes an executor.

    Args:
        given: its options; they come before those of the site file.
        recorded: options that a runs folder names. They come before the site file's too, but only numbers and plain
            words are taken from there; anything else might be run as a command, and has to come from the user.

    Raises:
        UserError: an unknown executor, a wrong option, a damaged site file, a recorded option that the user must give.
    """
    kind = executor_class(name)
    values = _site_table(name)
    build_options(kind.Options, values, f"{site_file()} [{name}]")
    for option, value in given.items():
        known = values.get(option)
        values[option] = {**known, **value} if isinstance(known, dict) and isinstance(value, Mapping) else value
    for option, value in (recorded or {}).items():
        if option in given or values.get(option) == value:
            continue
        if not _is_data(value):
            raise UserError(
                f"--executor {name}: the runs folder names {option} = {json.dumps(value)}, which might be run as a "
                f"command: if you trust it, give {option} yourself, as an option or in {site_file()}"
            )
        values[option] = value
    return kind(build_options(kind.Options, values, f"--executor {name}"))


def _is_data(value: object) -> bool:
    """Returns True for a number, a switch and a plain word, which no shell and no scheduler takes for a command."""
    if isinstance(value, str):
        return re.fullmatch(r"[\w.:,+=-]{1,64}", value, re.ASCII) is not None
    return value is None or isinstance(value, bool | int | float)


def executor_class(name: str) -> type[Executor]:
    """Finds an executor's class.

    Raises:
        UserError: an unknown or broken executor, or one whose folder would be that of something else.
    """
    if name in RESERVED:
        raise UserError(f"executor {name!r}: the name is taken (taken: {', '.join(sorted(RESERVED))})")
    return EXECUTORS.get(name)


def site_file() -> Path:
    """Returns the path of the user's defaults for executors."""
    return user_path(os.environ.get("XDG_CONFIG_HOME") or "~/.config") / "lgbench" / "site.toml"


def _site_table(name: str) -> dict[str, Any]:
    path = site_file()
    if not path.is_absolute() or not path.exists():  # where nobody knows the home folder, `~` may be anybody's
        return {}
    tables = read_toml(path)
    for table, values in tables.items():
        if table not in EXECUTORS.names():
            raise UserError(f"{path}: {unknown('executor', table, EXECUTORS.names())}")
        if not isinstance(values, dict):
            raise UserError(f"{path}: [{table}] is a table of options")
    return dict(tables.get(name, {}))


def executors_of(runs: Path) -> list[type[Executor]]:
    """Lists the executors that have jobs in a runs folder, or had: those with a folder of their name in it."""
    return [executor_class(name) for name in EXECUTORS.names() if (runs / name).is_dir()]


def ask_for_jobs(runs: Path, unfinished: Collection[str]) -> JobReport:
    """Joins what all executors of a runs folder say of their jobs."""
    reports = [kind.status(runs, unfinished) for kind in executors_of(runs)]
    return JobReport(
        job_of={address: job for report in reports for address, job in report.job_of.items()},
        live={job: status for report in reports for job, status in report.live.items()},
        ended={job: status for report in reports for job, status in report.ended.items()},
        notes=[note for report in reports for note in report.notes],
        error="; ".join(report.error for report in reports if report.error),
    )


def cancel_jobs(runs: Path, jobs: Iterable[str]) -> None:
    """Ends jobs, each by the executor that it belongs to.

    Raises:
        UserError: a scheduler refuses, or does not answer.
    """
    left = set(jobs)
    for kind in executors_of(runs):
        report = kind.status(runs, ())
        if report.error:
            raise UserError(report.error)
        if live := left & report.live.keys():
            kind.cancel(runs, sorted(live))
        left -= live


def job_logs(runs: Path, address: str) -> list[Path]:
    """Lists the files that hold what the jobs of a stage printed, of all executors."""
    return [path for kind in executors_of(runs) for path in kind.logs(runs, address)]
