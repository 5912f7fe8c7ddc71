"""What jobs ask the scheduler for: the command line's options over the user's site file."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator

from learngene_bench.config.loader import build_options, parse_override
from learngene_bench.config.section import Section
from learngene_bench.util.errors import UserError


class SlurmSettings(Section):
    """Resources of one job. What is absent is left to the site's own defaults."""

    partition: str | None = None
    account: str | None = None
    time: str | None = Field(None, description="longest time of one job, as SLURM writes it: 24:00:00")
    nodes: int = Field(1, ge=1)
    gpus_per_node: int = Field(0, ge=0)
    cpus_per_task: int = Field(1, ge=1)
    mem: str | None = Field(None, description="memory of a node, as SLURM writes it: 64G")
    per_gpu: int = Field(1, ge=1, description="stages that share a GPU")
    processes_per_model: int = Field(1, ge=1, description="that compute one stage together, each a task of the job")
    cells_per_job: int | None = Field(None, ge=1, description="as many as a job computes side by side when absent")
    max_parallel: int | None = Field(None, ge=1, description="jobs that run at the same time, of all together")
    setup: list[str] = Field([], description="shell commands before Python starts: module load cuda")
    set: dict[str, str | int | bool] = Field({}, description="any other option of sbatch: constraint = 'a100'")

    @field_validator("time")
    @classmethod
    def _readable(cls, value: str | None) -> str | None:
        if value is not None:
            minutes_of(value)
        return value

    @property
    def minutes(self) -> int | None:
        return minutes_of(self.time) if self.time is not None else None


class _Site(Section):
    slurm: dict[str, Any] = Field({})


def site_file() -> Path:
    """Where a user keeps what holds for every run on their cluster."""
    home = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(home) / "lgbench" / "site.toml"


def slurm_settings(options: Mapping[str, Any], others: list[str]) -> SlurmSettings:
    """The site file's settings, with what the command line says in their place.

    Args:
        options: by field; None where the command line says nothing.
        others: `key=value` for sbatch.

    Raises:
        UserError: the site file or an option is wrong.
    """
    path = site_file()
    values = _site(path)
    build_options(SlurmSettings, values, f"{path} [slurm]")
    values |= {name: value for name, value in options.items() if value is not None}
    more = dict(parse_override(text) for text in others)
    for name in more:
        if name.replace("-", "_") in SlurmSettings.model_fields or name in _OURS:
            raise UserError(f"--set-slurm {name}: this has an option of its own or is set by lgbench")
    values["set"] = {**values.get("set", {}), **more}
    return build_options(SlurmSettings, values, "SLURM options")


_OURS = ("array", "dependency", "output", "error", "job-name", "signal", "requeue", "ntasks-per-node")


def _site(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error
    try:
        return dict(build_options(_Site, tomllib.loads(text), str(path)).slurm)
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{path}: not valid TOML: {error}") from error


def minutes_of(text: str) -> int:
    """A time as SLURM writes it, in whole minutes, rounded up: 90, 90:00, 1:30:00, 1-12, 1-12:30, 1-12:30:00.

    Raises:
        ValueError: it is none of these.
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
