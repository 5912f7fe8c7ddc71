"""Sends the learning curves of a stage to its trackers while it is computed.

A process of a tracker belongs to the process that computes, and takes one stage after another. What it does not take is
dropped: `lgbench track` adds it later.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from learngene_bench.contracts.tracker import StageOutcome, TrackedStage
from learngene_bench.schema.base import Scalar
from learngene_bench.schema.stage import StageFile
from learngene_bench.tracking.points import points_of
from learngene_bench.tracking.problems import report_problem
from learngene_bench.tracking.processes import TrackerProcess, process_of
from learngene_bench.tracking.run import FOLDER
from learngene_bench.training.run import TrainedCurve
from learngene_bench.util.errors import describe_error


class StageTracking:
    """Tells the trackers of one stage what its training loops measure. No method waits or raises an error.

    Args:
        names: the trackers.
        runs: the runs folder.
    """

    def __init__(self, names: Sequence[str], runs: Path, stage: TrackedStage) -> None:
        self.folder, self.stage = runs.absolute() / FOLDER, stage
        self.sent: dict[str, int] = {}
        self.processes: dict[str, TrackerProcess] = {}
        self._for_each(names, self._begin)

    def __call__(self, curve: TrainedCurve) -> None:
        """Sends the points of a curve that were not sent yet."""
        before, self.sent[curve.phase] = self.sent.get(curve.phase, 0), len(curve.points)
        if before == len(curve.points):
            return

        def send(name: str) -> None:
            points = [(point.step, point.values) for point in points_of(curve)[before:]]
            self.processes[name].send({"phase": curve.phase, "points": points})

        self._for_each([*self.processes], send)

    def end(self, outcome: StageOutcome) -> None:
        """Says how the stage ended."""
        self._for_each([*self.processes], lambda name: self.processes[name].send({"end": outcome}))

    def _begin(self, name: str) -> None:
        process = process_of(name, self.folder)
        process.send({"begin": asdict(self.stage)})
        self.processes[name] = process

    def _for_each(self, names: Sequence[str], work: Callable[[str], None]) -> None:
        """Does something for each tracker. An error ends its part in this stage, and is reported."""
        for name in names:
            try:
                work(name)
            except BrokenPipeError:  # it has reported why
                self.processes.pop(name, None)
            except Exception as error:
                self.processes.pop(name, None)
                report_problem(self.folder, name, self.stage.label, describe_error(error))


def tracking_of(file: StageFile, runs: Path) -> StageTracking | None:
    """Begins the tracking of a stage as its configuration asks for; None where it does not."""
    return StageTracking(file.execution.track, runs, tracked_stage(file)) if file.execution.track else None


def tracked_stage(file: StageFile) -> TrackedStage:
    """Returns a stage as trackers are told of it."""
    return TrackedStage(file.address, file.kind, file.label, dict(_flat(file.config.model_dump(mode="json"))))


def _flat(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Scalar]]:
    """Yields the values of a nested mapping by dotted names: lists as texts, and nothing for null."""
    for name, one in value.items():
        if isinstance(one, Mapping):
            yield from _flat(one, f"{prefix}{name}.")
        elif one is not None:
            yield f"{prefix}{name}", json.dumps(one) if isinstance(one, list) else one
