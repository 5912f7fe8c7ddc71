"""From the files of a record to the stages that compute it once more, in a folder of their own."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from learngene_bench.config.loader import parse_override
from learngene_bench.planning.plan import Stage
from learngene_bench.plugins.registry import Registry, dataset
from learngene_bench.runs.store import Runs, State
from learngene_bench.util import source_code
from learngene_bench.util.errors import UserError
from learngene_bench.util.files import file_hash
from learngene_bench.version import PROTOCOL


@dataclass(frozen=True)
class Here:
    """What this machine has that a record's files do not say, or say of another machine.

    Attributes:
        data: options of the source task's data set that say where it lies.
        task_data: likewise, of the downstream task that the target is tuned on.
        files: files of weights, by their SHA-256.
        command: to stand in the new records.
    """

    data: Mapping[str, Any]
    task_data: Mapping[str, Any]
    files: Mapping[str, str]
    command: Sequence[str]


def here(settings: Sequence[str], checkpoints: Sequence[Path], command: Sequence[str]) -> Here:
    """From what a person gives.

    Args:
        settings: `data.KEY=VALUE`, and `task.data.KEY=VALUE` for the data of a downstream task.

    Raises:
        UserError: another setting than one of the data, which would be another record; a file that is not there.
    """
    located: dict[str, dict[str, Any]] = {"data": {}, "task.data": {}}
    for text in settings:
        key, value = parse_override(text)
        section, _, option = key.rpartition(".")
        if section not in located:
            raise UserError(
                f"--set {text!r}: only data.KEY=VALUE or task.data.KEY=VALUE, to say where they lie; "
                f"all else is the record's"
            )
        located[section][option] = value
    files = {}
    for path in checkpoints:
        try:
            files[file_hash(path)] = str(path.resolve())
        except OSError as error:
            raise UserError(f"--checkpoint {path}: {error.strerror}") from error
    return Here(located["data"], located["task.data"], files, command)


class Repeat:
    """A cell to be computed once more.

    Attributes:
        stages: what is to be done, inputs first.
        device: the CPU for a record of a CPU, else the GPU where there is one.
    """

    def __init__(self, source: Runs, address: str, here: Here, *, keep_inputs: bool) -> None:
        """Reads the files.

        Args:
            source: a runs folder, or a leaderboard, which has no tensors.
            keep_inputs: whether the cell's gene is taken as it is.

        Raises:
            UserError: a file is missing or damaged.
        """
        self.source, self.here = source, here
        self.stages = source.with_inputs([("cell", address)])
        self.cell = self.stages[address]
        self.kept = list(self.cell.inputs.values()) if keep_inputs else []
        if keep_inputs:
            self.stages = {name: self.stages[name] for name in (*self.kept, address)}
        hardware = source.of(self.cell).read_result().get("provenance", {}).get("hardware", {})
        self.device = "cpu" if hardware.get("device") == "cpu" else "auto"

    def check(self, registry: Registry) -> None:
        """Looks for what would keep this software, or this machine, from computing what was computed.

        Raises:
            UserError: another protocol or method, no or other data, a missing file of weights.
        """
        for address, stage in self.stages.items():
            if address not in self.kept:
                self._check_code(stage, registry)
                self._check_data(stage)
                self._check_weights(stage)

    def _check_code(self, stage: Stage, registry: Registry) -> None:
        protocol, method = stage.config["protocol"], stage.config.get("method")
        if protocol != PROTOCOL:
            raise UserError(f"{stage.label}: recorded under protocol {protocol}, this is {PROTOCOL}: {self._whose()}")
        if method is None:
            return
        if method["name"] not in registry.names() and method["source_hash"]:
            raise UserError(f"{stage.label}: {method['name']} is defined in a file of its own, {_plugin(method)}")
        found = registry.get(method["name"])
        if found.source_hash != method["source_hash"]:
            theirs = _plugin(method) if method["source_hash"] else "not by a plugin file"
            raise UserError(f"{stage.label}: recorded with another {method['name']} than this, {theirs}")
        if found.kind.version != method["version"]:
            versions = f"version {method['version']} of {method['name']}, this is {found.kind.version}"
            raise UserError(f"{stage.label}: recorded with {versions}: {self._whose()}")

    def _whose(self) -> str:
        """Which code computes this record."""
        git = self.source.of(self.cell).read_result().get("provenance", {}).get("git", {})
        return f"the code that computed it is commit {git.get('commit') or 'unknown'}"

    def _check_data(self, stage: Stage) -> None:
        for section, recorded, here in _data_of(stage, self.here):
            if fixed := sorted(here.keys() & recorded.keys()):
                raise UserError(
                    f"--set {section}.{fixed[0]}: part of the record; only where the data lie may be another here"
                )
            try:
                fingerprint = dataset(self._settings(stage, section)).fingerprint()
            except UserError as error:
                raise UserError(
                    f"{error} (--set {section}.KEY=VALUE says where data of the record lie here)"
                ) from error
            if fingerprint != recorded["fingerprint"]:
                planned = recorded["fingerprint"]
                raise UserError(f"{stage.label}: recorded on other data ({planned}) than these ({fingerprint})")

    def _check_weights(self, stage: Stage) -> None:
        for needed in _weights(stage):
            if not Path(self._files(stage).get(needed, "")).is_file():
                raise UserError(
                    f"{stage.label}: begins with weights that are not here (--checkpoint FILE with SHA-256 {needed})"
                )

    def enter(self, stage: Stage, fresh: Runs) -> None:
        """Writes the stage's configuration, with what this machine has."""
        execution = {
            **self._execution(stage),
            "command": list(self.here.command),
            "code": source_code.identity(),
            "device": self.device,
            **{section.replace(".", "_"): self._settings(stage, section) for section, *_ in _data_of(stage, self.here)},
            "files": self._files(stage),
        }
        fresh.enter(stage, execution)

    def copy_kept(self, fresh: Runs) -> None:
        """Raises `UserError` if what is to be kept is not there."""
        for address in self.kept:
            before, after = self.source.of(self.stages[address]), fresh.of(self.stages[address])
            if before.state() is not State.DONE or not before.tensors.exists():
                raise UserError(f"--keep-inputs: {before.tensors} is not there; without it they are computed again")
            after.path.mkdir(parents=True, exist_ok=True)
            for path in (before.config, before.tensors, before.result):
                shutil.copy2(path, after.path / path.name)

    def _execution(self, stage: Stage) -> dict[str, Any]:
        return dict(self.source.of(stage).read_config()["execution"])

    def _settings(self, stage: Stage, section: str) -> dict[str, Any]:
        """The options of a data set: the record's, which its address stands for, and where the data lie."""
        recorded, here = next(
            (recorded, here) for name, recorded, here in _data_of(stage, self.here) if name == section
        )
        options = {name: value for name, value in recorded.items() if name != "fingerprint"}
        return {**self._execution(stage)[section.replace(".", "_")], **here, **options}

    def _files(self, stage: Stage) -> dict[str, str]:
        return {**self._execution(stage)["files"], **self.here.files}


def _data_of(stage: Stage, here: Here) -> list[tuple[str, dict[str, Any], Mapping[str, Any]]]:
    """The data that a stage reads: what it is called in --set, as recorded, and where it lies here."""
    data = [("data", stage.config["data"], here.data)]
    if "task" in stage.config:
        data.append(("task.data", stage.config["task"]["data"], here.task_data))
    return data


def _plugin(method: Mapping[str, Any]) -> str:
    return f"--plugin FILE with SHA-256 {method['source_hash']}"


def _weights(stage: Stage) -> list[str]:
    """The files, by SHA-256, that an ancestor is loaded from or a gene made of."""
    sources = [stage.config.get("source"), stage.config.get("teacher")]
    checkpoints = [source["checkpoint"] for source in sources if source and source["checkpoint"]]
    return [*checkpoints, *stage.config.get("files", {}).values()]
