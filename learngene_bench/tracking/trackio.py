"""Trackio: a data base on this machine, or a Space of the Hugging Face hub that TRACKIO_SPACE_ID names."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from learngene_bench.contracts.tracker import StageOutcome, TrackedStage, Tracker


class Trackio(Tracker):
    """Writes a run for each stage in the project `learngene-bench` (TRACKIO_PROJECT: another)."""

    name, title, module = "trackio", "Trackio, its data base on this machine or a Space", "trackio"

    def open(self, stage: TrackedStage, folder: Path, run: str | None) -> str:
        import trackio

        name = run or f"{stage.label} {stage.address[:8]}"
        self.run: Any = trackio.init(
            project=_project(),
            name=name,
            group=stage.kind,
            config={"address": stage.address, **stage.settings},
            resume="allow" if run else "never",
            embed=False,
            auto_log_gpu=False,
            auto_log_cpu=False,
        )
        return name

    def log(self, step: int, values: Mapping[str, float]) -> None:
        self.run.log(dict(values), step=step)

    def close(self, outcome: StageOutcome) -> None:
        self.run.finish()

    @classmethod
    def where(cls, folder: Path) -> str:
        return f"trackio show --project {_project()}"


def _project() -> str:
    return os.environ.get("TRACKIO_PROJECT") or "learngene-bench"
