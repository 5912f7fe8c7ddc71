"""A leaderboard as a runs folder that holds configurations and records, but no tensors and no logs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from learngene_bench.runs.store import Runs, StageFolder, State
from learngene_bench.schema.constants import StageKind
from learngene_bench.schema.leaderboard import PublishedStage, is_leaderboard, read_plans, read_stages
from learngene_bench.schema.manifest import Manifest
from learngene_bench.schema.record import AncestorRecord, CellRecord, Failure, GeneRecord, Record
from learngene_bench.schema.stage import StageFile

_Record = TypeVar("_Record", AncestorRecord, GeneRecord, CellRecord)


def open_runs(root: Path) -> Runs:
    """Opens a runs folder or a leaderboard, for reading."""
    return LeaderboardRuns(root) if is_leaderboard(root) else Runs(root)


@dataclass(frozen=True)
class LeaderboardRuns(Runs):
    """A leaderboard; reading it raises `DamagedFile` where a line is damaged."""

    @cached_property
    def stages(self) -> dict[str, PublishedStage]:
        """Every stage by its address."""
        return read_stages(self.root)

    def folder(self, kind: str, address: str) -> StageFolder:
        return LeaderboardStage(super().folder(kind, address).path, address, self.stages.get(address))

    def kind_of_input(self, address: str) -> StageKind:
        return self.stages[address].kind if address in self.stages else "ancestor"

    def manifests(self) -> list[Manifest]:
        return [line.plan for line in read_plans(self.root).values()]


@dataclass(frozen=True)
class LeaderboardStage(StageFolder):
    """A stage of a leaderboard. Its path names a folder that does not exist.

    Attributes:
        stage: its line; None if there is none.
    """

    stage: PublishedStage | None = None

    def state(self) -> State:
        if self.stage is None:
            return State.WAITING
        return State.DONE if self.stage.record else State.FAILED

    def read_config(self) -> StageFile:
        if self.stage is None or self.stage.config is None:
            raise FileNotFoundError(self.config)
        return self.stage.config

    def read_record(self, kind: type[_Record]) -> _Record:
        record = self.stage.record if self.stage else None
        if not isinstance(record, kind):
            raise FileNotFoundError(self.result)
        return record

    def read_any_record(self, kind: StageKind) -> Record:
        if self.stage is None or self.stage.record is None:
            raise FileNotFoundError(self.result)
        return self.stage.record

    def read_failure(self) -> Failure:
        if (failure := self.read_failure_if_there()) is None:
            raise FileNotFoundError(self.failed)
        return failure

    def read_failure_if_there(self) -> Failure | None:
        return self.stage.failure if self.stage else None
