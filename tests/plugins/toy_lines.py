"""A tracker: a text file for each stage, with a line for each point."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from learngene_bench.contracts.tracker import StageOutcome, TrackedStage, Tracker


class Lines(Tracker):
    """Adds a line of JSON to the stage's file for each point."""

    name, title, module = "lines", "a text file for each stage", "json"

    def open(self, stage: TrackedStage, folder: Path, run: str | None) -> str:
        name = run or f"{stage.address[:8]}.txt"
        self.file = (folder / name).open("a")
        print("continue" if run else "begin", stage.label, file=self.file, flush=True)
        return name

    def log(self, step: int, values: Mapping[str, float]) -> None:
        print(step, json.dumps(dict(values)), file=self.file, flush=True)

    def close(self, outcome: StageOutcome) -> None:
        print(outcome, file=self.file)
        self.file.close()

    @classmethod
    def where(cls, folder: Path) -> str:
        return f"cat {folder}/*.txt"
