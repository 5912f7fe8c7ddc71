"""The contract of a tracker: it shows learning curves where a user looks at them, such as TensorBoard.

    class Lines(Tracker):
        name, title, module = "lines", "A text file for each stage", "json"

        def open(self, stage, folder, run):
            self.file = (folder / f"{stage.address[:8]}.txt").open("a")
            return self.file.name

        def log(self, step, values):
            print(step, values, file=self.file, flush=True)

        def close(self, outcome):
            self.file.close()

Its entry point stands in the group `learngene_bench.trackers`. `lgbench run --track NAME` gives it every point of a
learning curve while a stage is computed, `lgbench track --to NAME` those of finished stages. A tracker works in a
process of its own, so it may fail or hang without harm to the run. No result depends on it, and no address.
Nothing here imports a tracker's package.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar, Literal

from learngene_bench.schema.base import Scalar
from learngene_bench.util.entry_points import Plugins
from learngene_bench.util.errors import UserError, unknown

StageOutcome = Literal["done", "failed", "stopped"]
"""The end of a stage's computation; a stage that was stopped may be continued later."""


@dataclass(frozen=True)
class TrackedStage:
    """A stage as a tracker is told of it.

    Attributes:
        address: 64 hexadecimal digits that name it.
        kind: ancestor, gene or cell.
        label: what a person calls it, such as `wave micro depth 6 seed 0`.
        settings: everything that decides its result, by dotted names: `finetuning.learning_rate`, `target.depth`.
    """

    address: str
    kind: str
    label: str
    settings: Mapping[str, Scalar]


class Tracker(ABC):
    """A place where learning curves are shown. One object is used for one stage after another.

    Every method may raise any error, which ends the tracking of that stage and is reported in one line.
    """

    name: ClassVar[str]
    """Name for users: `lgbench run --track NAME`."""
    title: ClassVar[str]
    """A few words for listings."""
    module: ClassVar[str]
    """The module that it needs. It is looked for before a run begins, and must be imported inside methods only."""
    install: ClassVar[str] = ""
    """Command that installs that module."""

    @abstractmethod
    def open(self, stage: TrackedStage, folder: Path, run: str | None) -> str:
        """Begins the run of a stage, or continues one.

        Args:
            folder: a folder of this tracker inside the runs folder, for its files.
            run: what this returned when the stage's run was begun; None to begin one.

        Returns:
            The name by which this tracker finds the run again.
        """

    @abstractmethod
    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Adds one point. It must be kept, by the system or a server, when this returns.

        Args:
            step: optimizer steps of the phase so far.
            values: value by name, such as `finetuning/loss`; all names begin with the same phase.
        """

    @abstractmethod
    def close(self, outcome: StageOutcome) -> None:
        """Ends the work on the stage's run."""

    @classmethod
    def where(cls, folder: Path) -> str:
        """Returns where to look, in a few words or as a command; empty where the tracker says so itself."""
        return ""


TRACKERS: Plugins[Tracker] = Plugins("learngene_bench.trackers", "tracker", Tracker)
"""All trackers by name."""


def usable_tracker(name: str) -> type[Tracker]:
    """Returns the tracker of this name.

    Raises:
        UserError: there is none of this name, or its package is not installed.
    """
    if name not in TRACKERS.names():
        raise UserError(f"{unknown('tracker', name, TRACKERS.names())}; {_HOW}")
    kind = TRACKERS.get(name)
    if find_spec(kind.module.partition(".")[0]) is None:
        there = ", ".join(TRACKERS.names())
        raise UserError(
            f"tracker {name!r} needs the package {kind.module}, which is not installed: "
            f"{kind.install or f'pip install {kind.module}'} (trackers: {there})"
        )
    return kind


def usable_trackers(given: Iterable[str]) -> tuple[str, ...]:
    """Returns the names in values of `--track`, each of which may hold several separated by commas.

    Raises:
        UserError: see `usable_tracker`.
    """
    names = tuple(dict.fromkeys(name.strip() for value in given for name in value.split(",")))
    for name in names:
        usable_tracker(name)
    return names


_HOW = "pip install 'learngene-bench[NAME]' installs the package of one, and that of another package adds it"
