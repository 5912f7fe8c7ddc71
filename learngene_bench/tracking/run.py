"""Tells one tracker of one stage, every point once, whatever was interrupted before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from learngene_bench.contracts.tracker import StageOutcome, TrackedStage, Tracker
from learngene_bench.schema.base import read_if_there, text_of
from learngene_bench.schema.constants import FOLDER_DIGITS
from learngene_bench.schema.tracking import TrackedSoFar
from learngene_bench.util.errors import UserError
from learngene_bench.util.files import write_whole

FOLDER = "tracking"
"""Folder of a runs folder that holds what trackers write, and what they have been told."""


def tracker_folder(folder: Path, name: str) -> Path:
    """Returns the folder of a tracker's own files, inside a folder of trackings."""
    return folder / name


class TrackedRun:
    """The run of a stage in a tracker.

    Args:
        folder: the folder of trackings.
        stage: the stage, whose run is begun or continued.
    """

    def __init__(self, tracker: Tracker, folder: Path, stage: TrackedStage) -> None:
        self.tracker = tracker
        self.file = folder / "stages" / tracker.name / f"{stage.address[:FOLDER_DIGITS]}.json"
        self.told = _read(self.file, stage.address)
        own = tracker_folder(folder, tracker.name)
        own.mkdir(parents=True, exist_ok=True)
        run = tracker.open(stage, own, self.told.run)
        if run != self.told.run:
            self._note(self.told.model_copy(update={"run": run}))

    def log(self, phase: str, points: Sequence[tuple[int, Mapping[str, float]]]) -> int:
        """Tells the tracker the points that it does not have; returns their number.

        A point is noted before the tracker is told of it, and the note is taken back if that fails. So a process that
        is killed between the two loses one point, and no point comes twice.
        """
        new = [point for point in points if point[0] > self.told.steps.get(phase, -1)]
        for step, values in new:
            before = self.told
            self._note(before.model_copy(update={"steps": {**before.steps, phase: step}}))
            try:
                self.tracker.log(step, values)
            except BaseException:
                with suppress(UserError):
                    self._note(before)
                raise
        return len(new)

    def close(self, outcome: StageOutcome) -> None:
        self.tracker.close(outcome)

    def _note(self, told: TrackedSoFar) -> None:
        self.told = told
        text = text_of(told)
        write_whole(self.file, lambda temporary: temporary.write_text(text, encoding="utf-8"), durable=False)


def _read(file: Path, address: str) -> TrackedSoFar:
    """Reads what a tracker has been told of a stage; nothing where the file is of no use."""
    with suppress(UserError):
        found = read_if_there(TrackedSoFar, file)
        if found and found.address == address:
            return found
    return TrackedSoFar(address=address, steps={})
