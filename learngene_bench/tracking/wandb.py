"""Weights & Biases: its server, or with WANDB_MODE=offline files in the runs folder for `wandb sync`."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from learngene_bench.contracts.tracker import StageOutcome, TrackedStage, Tracker

_EXIT_CODE: dict[StageOutcome, int] = {"done": 0, "failed": 1, "stopped": 130}


class WeightsAndBiases(Tracker):
    """Writes a run for each stage in the project `learngene-bench` (WANDB_PROJECT: another)."""

    name, title, module = "wandb", "Weights & Biases, its server or files for wandb sync", "wandb"

    def open(self, stage: TrackedStage, folder: Path, run: str | None) -> str:
        import wandb

        name = run or secrets.token_hex(8)
        self.phases: set[str] = set()
        self.run: Any = wandb.init(
            project=os.environ.get("WANDB_PROJECT") or "learngene-bench",
            id=name,
            name=f"{stage.label} {stage.address[:8]}",
            job_type=stage.kind,
            resume="allow",
            dir=os.environ.get("WANDB_DIR") or str(folder),
            config={"address": stage.address, **stage.settings},
            settings=wandb.Settings(console="off", silent=True, disable_git=True),
        )
        return name

    def log(self, step: int, values: Mapping[str, float]) -> None:
        # Steps of their own for each phase: those of a run may never go back.
        phase = next(iter(values)).partition("/")[0]
        if phase not in self.phases:
            self.run.define_metric(f"{phase}/*", step_metric=f"{phase}/step")
            self.phases.add(phase)
        self.run.log({**values, f"{phase}/step": step})

    def close(self, outcome: StageOutcome) -> None:
        self.run.finish(exit_code=_EXIT_CODE[outcome])

    @classmethod
    def where(cls, folder: Path) -> str:
        offline = os.environ.get("WANDB_MODE") == "offline"
        return f"wandb sync {folder}/wandb/offline-run-*" if offline else ""
