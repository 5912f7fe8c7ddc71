"""Content of a leaderboard: the plans, and configuration and record of every stage behind the tables.

Tensors and logs stay with those who have them; a record holds their hashes. Predictions and evaluations may be there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from learngene_bench.results.leaderboard.evaluated import Evaluated, read_of_runs, read_published
from learngene_bench.results.records.loading import results_of
from learngene_bench.results.records.selection import planned_cells
from learngene_bench.results.records.types import Results
from learngene_bench.schema.base import damaged, read, read_if_there
from learngene_bench.schema.constants import FOLDER_DIGITS, StageKind
from learngene_bench.schema.leaderboard import (
    PLANS,
    RECORDS,
    PublishedPlan,
    PublishedStage,
    plans_text,
    publish_plan,
    publish_stage,
    read_plans,
    read_stages,
    stages_text,
)
from learngene_bench.schema.manifest import Manifest
from learngene_bench.schema.record import RECORDS as RECORD_TYPES
from learngene_bench.schema.record import CellRecord, Failure
from learngene_bench.schema.rerun import RERUNS, Rerun, read_reruns, reruns_text
from learngene_bench.schema.stage import StageFile
from learngene_bench.util.errors import DamagedFile


@dataclass(frozen=True)
class Content:
    """Content of a leaderboard, or of a runs folder that is to become one.

    Attributes:
        plans: by name.
        stages: done and failed ones, by address.
        sources: file or folder that each stage was read from, by address; errors name it.
        evaluated: evaluations and predictions of cells.
        reruns: who has computed cells once more; a runs folder has none.
    """

    plans: Mapping[str, PublishedPlan]
    stages: Mapping[str, PublishedStage]
    sources: Mapping[str, Path]
    evaluated: Evaluated = field(default_factory=Evaluated)
    reruns: tuple[Rerun, ...] = ()

    def files(self) -> dict[str, bytes]:
        """Returns the content of each file, by name, in the order in which they are written.

        Re-runs come first: whoever is stopped after that has no re-run of a record that is no longer there.
        """
        plans, stages = plans_text(self.plans.values()), stages_text(self.stages.values())
        reruns = {RERUNS: reruns_text(self.reruns).encode()} if self.reruns else {}
        return {**reruns, PLANS: plans.encode(), RECORDS: stages.encode(), **self.evaluated.files()}

    def cells(self) -> dict[str, CellRecord]:
        """Returns the record of each cell, by address."""
        found = {address: stage.record for address, stage in self.stages.items()}
        return {address: record for address, record in found.items() if isinstance(record, CellRecord)}

    def done(self) -> set[str]:
        """Returns the addresses of the stages that have a record."""
        return {address for address, stage in self.stages.items() if stage.record is not None}

    def results(self) -> Results:
        """Returns what tables are made of."""
        return results_of(self.stages.values(), [line.plan for line in self.plans.values()], self.reruns)

    def merged(self, other: Content) -> Content:
        """Merges two collections. On conflict this one wins, except that a record replaces a failure."""
        # A record of more metrics also replaces one of fewer, so that the order of additions does not matter.
        stages, sources = dict(self.stages), dict(self.sources)
        for address, stage in other.stages.items():
            if address not in stages or _completeness(stage) > _completeness(stages[address]):
                stages[address], sources[address] = stage, other.sources[address]
        evaluated = self.evaluated.merged(other.evaluated)
        return Content({**other.plans, **self.plans}, stages, sources, evaluated, self.reruns + other.reruns)

    def restricted_to_tables(self) -> Content:
        """Returns the cells that stand in tables, with what they need: not those that newer plans replace."""
        return self.restricted_to(planned_cells(self.results()))

    def restricted_to(self, cells: Iterable[str]) -> Content:
        """Returns these cells, by address, with the stages that they need."""
        needed = _with_inputs(self.plans.values(), cells)
        stages = {address: stage for address, stage in self.stages.items() if address in needed}
        reruns = tuple(line for line in self.reruns if line.address in stages)
        restricted = replace(self, stages=stages, reruns=reruns)
        return replace(restricted, evaluated=self.evaluated.restricted_to(restricted.cells()))


EMPTY = Content({}, {}, {})


def _completeness(stage: PublishedStage) -> int:
    """Orders what is known of a stage: a failure, a record, a record of more metrics."""
    if isinstance(stage.record, CellRecord):
        return 1 + len(stage.record.metrics)
    return int(stage.record is not None)


def read_leaderboard(folder: Path) -> Content:
    """Reads a leaderboard.

    Raises:
        DamagedFile: a line does not read as what it was written as.
    """
    stages = read_stages(folder)
    sources = dict.fromkeys(stages, folder / RECORDS)
    return Content(read_plans(folder), stages, sources, read_published(folder), tuple(read_reruns(folder)))


def read_runs(root: Path, cells: Iterable[str], *, evaluated: bool = False) -> Content:
    """Reads what a leaderboard would hold of a runs folder.

    Args:
        root: the runs folder.
        cells: addresses of the cells; the genes and ancestors that they need come with them.
        evaluated: read the evaluations and predictions of the cells too.

    Raises:
        DamagedFile: a configuration is missing or not that of its address, a file was changed.
    """
    found = map(_read_plan, sorted((root / "plans").glob("*.json")))
    plans = {line.name: line for line in found if not line.plan.is_quick}
    stages, sources = {}, {}
    for address, kind in _with_inputs(plans.values(), cells).items():
        folder = root / kind / address[:FOLDER_DIGITS]
        if stage := _read_stage(kind, address, folder):
            stages[address], sources[address] = stage, folder
    content = Content(plans, stages, sources)
    return replace(content, evaluated=read_of_runs(root, content.cells())) if evaluated else content


def _with_inputs(plans: Iterable[PublishedPlan], cells: Iterable[str]) -> dict[str, StageKind]:
    """Returns the kinds of these cells and of all stages that they need, by address."""
    planned = {stage.address: stage for line in plans for stage in line.plan.stages}
    found: dict[str, StageKind] = {}
    waiting = list(cells)
    for address in waiting:
        if address in planned and address not in found:
            found[address] = planned[address].kind
            waiting += planned[address].inputs.values()
    return found


def _read_plan(path: Path) -> PublishedPlan:
    manifest = read(Manifest, path)
    if manifest.file_name != path.name:
        raise DamagedFile(f"{path}: changed since it was written (it would be called {manifest.file_name})")
    return publish_plan(manifest)


def _read_stage(kind: StageKind, address: str, folder: Path) -> PublishedStage | None:
    """Reads a stage; None if it is neither done nor failed, as where another one before it failed."""
    record = read_if_there(RECORD_TYPES[kind], folder / "result.json")
    failure = None if record else read_if_there(Failure, folder / "failed.json")
    if record is None and failure is None:
        return None
    try:
        return publish_stage(kind, address, read_if_there(StageFile, folder / "config.json"), record, failure)
    except ValueError as error:
        raise damaged(folder / "result.json", error) from None
