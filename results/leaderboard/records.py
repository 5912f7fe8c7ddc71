"""What a leaderboard keeps of a runs folder: plans, and configuration and record of each stage behind its tables.

    plans/<folder>.json                                what was intended
    {cell,gene,ancestor}/<folder>/config.json          how a stage is computed, enough to do it again
    {cell,gene,ancestor}/<folder>/result.json          its record, byte for byte
    {cell,gene,ancestor}/<folder>/failed.json          or why there is none

`results.load` reads this like the runs folder that it comes from. Tensors, logs and what only says where something lay
on a machine stay behind.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from learngene_bench.results.records.fields import Fields
from learngene_bench.runs.store import Runs, StageFolder
from learngene_bench.schema.base import read
from learngene_bench.schema.constants import FOLDER_DIGITS, STAGE_KINDS
from learngene_bench.schema.manifest import Manifest
from learngene_bench.util.errors import DamagedFile
from learngene_bench.util.files import json_text


@dataclass(frozen=True)
class StageFiles:
    """What is kept of a stage.

    Attributes:
        origin: the folder it was read from.
        config: with the address checked; None where nothing was written before the stage failed.
        record: as it was read; None if it failed.
        failure: None if it is done.
    """

    kind: str
    address: str
    origin: Path
    config: Mapping[str, Any] | None
    record: bytes | None
    failure: Mapping[str, Any] | None

    @property
    def label(self) -> str:
        return str((self.config or self.failure or {}).get("label", self.address[:FOLDER_DIGITS]))

    @property
    def inputs(self) -> Mapping[str, str]:
        """Role to address of the stages that this one needs."""
        return self.config["inputs"] if self.config else {}

    def files(self) -> dict[str, bytes]:
        """Content by path within a leaderboard."""
        folder = f"{self.kind}/{self.address[:FOLDER_DIGITS]}"
        found = {}
        if self.config:
            found[f"{folder}/config.json"] = json_text(self.config).encode()
        if self.failure:
            found[f"{folder}/failed.json"] = json_text(self.failure).encode()
        return found if self.record is None else found | {f"{folder}/result.json": self.record}


@dataclass(frozen=True)
class Kept:
    """What a leaderboard keeps, or what it would keep of a runs folder.

    Attributes:
        plans: by the name of their file.
        stages: by address.
    """

    plans: Mapping[str, Mapping[str, Any]]
    stages: Mapping[str, StageFiles]

    def files(self) -> dict[str, bytes]:
        """Content by path within a leaderboard."""
        found = {f"plans/{name}": json_text(plan).encode() for name, plan in self.plans.items()}
        return {**found, **{path: text for stage in self.stages.values() for path, text in stage.files().items()}}

    def done(self) -> set[str]:
        """The stages that have a record, by address."""
        return {address for address, stage in self.stages.items() if stage.record is not None}

    def with_all(self, others: Kept) -> Kept:
        """These and others; of what both have, these, but a record counts more than a failure."""
        stages = dict(self.stages)
        for address, stage in others.stages.items():
            if address not in stages or stages[address].record is None:
                stages[address] = stage
        return Kept({**others.plans, **self.plans}, stages)

    def only(self, cells: Iterable[str]) -> Kept:
        """Only these cells, and the stages that they need."""
        needed = _with_inputs(self.plans.values(), cells)
        return Kept(self.plans, {address: stage for address, stage in self.stages.items() if address in needed})


def read_kept(root: Path, cells: Collection[str]) -> Kept:
    """What is to be kept of a runs folder.

    Args:
        cells: which, by address; with them come the genes and ancestors that they need.

    Raises:
        DamagedFile: a configuration that is missing or not of its address, a file that is no JSON.
    """
    folders = Runs(root)
    plans = {path.name: _published_plan(path) for path in sorted((root / "plans").glob("*.json"))}
    found = {}
    for address, kind in _with_inputs(plans.values(), cells).items():
        if stage := _read_stage(kind, folders.folder(kind, address)):
            found[address] = stage
    return Kept(plans, found)


def _with_inputs(plans: Iterable[Mapping[str, Any]], cells: Iterable[str]) -> dict[str, str]:
    """The kind of these cells and of all that they need, by address."""
    planned = {stage["address"]: stage for plan in plans for stage in plan["stages"]}
    found: dict[str, str] = {}
    waiting = list(cells)
    for address in waiting:
        if address in planned and address not in found:
            found[address] = planned[address]["kind"]
            waiting += planned[address]["inputs"].values()
    return found


def _read_stage(kind: str, folder: StageFolder) -> StageFiles | None:
    """The stage's files; None if it is neither done nor failed, as where another one before it failed."""
    done, failed = folder.result.exists(), folder.failed.exists()
    if not done and not failed:
        return None
    config = None
    if folder.config.exists():
        config = _published_config(folder)
    elif done:
        raise DamagedFile(f"{folder.config} is missing: without it nobody can repeat the record beside it")
    record = folder.result.read_bytes() if done else None
    failure = None if done else _published_failure(folder.read_failure().model_dump(mode="json"))
    return StageFiles(kind, folder.address, folder.path, config, record, failure)


def _published_plan(path: Path) -> dict[str, Any]:
    """A manifest, known to load, without the folder that the command was typed in."""
    manifest = read(Manifest, path)
    if manifest.file_name != path.name:
        raise DamagedFile(f"{path}: changed since it was written (it would be called {manifest.file_name})")
    plan = manifest.model_dump(mode="json")
    stages = {stage["address"]: stage.get("kind") for stage in plan["stages"]}
    if not all(is_hash(address) and kind in STAGE_KINDS for address, kind in stages.items()):
        raise DamagedFile(f"{path}: damaged manifest (a stage without a kind or an address)")
    if {cell["address"] for cell in plan["cells"]} != {address for address in stages if stages[address] == "cell"}:
        raise DamagedFile(f"{path}: damaged manifest (its cells are not those among its stages)")
    return {key: value for key, value in plan.items() if key != "folder"}


def _published_config(folder: StageFolder) -> dict[str, Any]:
    """A configuration without places on a machine: of the data, and of files that addresses name by their hash."""
    config = folder.read_config().model_dump(mode="json")
    try:
        decisive, execution = Fields(config["config"]), Fields(config).fields("execution")
        located = {"data": _without_places(execution.fields("data"), decisive.fields("data")), "files": {}}
        if task := decisive.fields_or_none("task"):
            located["task_data"] = _without_places(execution.fields("task_data"), task.fields("data"))
        if not all(is_hash(address) for address in Fields(config["inputs"]).scalars().values()):
            raise ValueError("'inputs' are no addresses")
    except ValueError as error:
        raise DamagedFile(f"{folder.config}: damaged configuration ({error})") from error
    return {**config, "execution": {**execution.content(), **located}}


def _without_places(settings: Fields, decisive: Fields) -> dict[str, object]:
    """The settings of a data set, without those that no address holds."""
    return {key: value for key, value in settings.content().items() if key in decisive.content()}


def _published_failure(failure: Mapping[str, Any]) -> dict[str, Any]:
    """A failure without its traceback, which is made of paths."""
    return {key: value for key, value in failure.items() if key != "traceback"}


def is_hash(value: object) -> bool:
    """Whether it is a SHA-256 as all of ours are written."""
    return isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value) is not None
