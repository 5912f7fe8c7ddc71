"""Trackers that do what no tracker should."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path

from learngene_bench.contracts.tracker import StageOutcome, TrackedStage, Tracker


class _Quiet(Tracker):
    title, module = "a bad one", "json"

    def open(self, stage: TrackedStage, folder: Path, run: str | None) -> str:
        return run or "here"

    def log(self, step: int, values: Mapping[str, float]) -> None: ...

    def close(self, outcome: StageOutcome) -> None: ...


class Hanging(_Quiet):
    """Never returns."""

    name = "hanging"

    def open(self, stage: TrackedStage, folder: Path, run: str | None) -> str:
        time.sleep(600)
        return "never"


class Raising(_Quiet):
    """Fails at the second point."""

    name = "raising"

    def log(self, step: int, values: Mapping[str, float]) -> None:
        if step:
            raise ConnectionError("no server\nat all")


class Dying(_Quiet):
    """Ends its process."""

    name = "dying"

    def log(self, step: int, values: Mapping[str, float]) -> None:
        os._exit(3)


class Lacking(_Quiet):
    """Needs a module that nobody has."""

    name, module = "lacking", "no_such_module_anywhere"
