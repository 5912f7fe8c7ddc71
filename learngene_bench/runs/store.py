"""The runs folder: where stages keep their files, and how their state is read from them.

    runs/<kind>/<first 20 digits of the address>/
        config.json       what the stage is; written before it starts
        progress.json     how far it is
        checkpoints/      to continue from; removed at the end
        tensors.safetensors, model.safetensors   an ancestor or gene; a cell's model after tuning
        initial_weights.json   of a cell: statistics of each tensor before tuning; large, so no part of the result
        result.json       written last, atomically: the stage is done if and only if it exists
        failed.json       the error of the last try
        log.txt           what the worker printed

State is never asked of a scheduler. A stage that runs is claimed by its process (`claims.py`).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from learngene_bench.planning.plan import Stage
from learngene_bench.runs.lease import Claim, claimed, last_claim
from learngene_bench.util.errors import DamagedFile, UserError
from learngene_bench.util.files import address_of, read_json, write_json

SCHEMA_VERSION = 1


class State(StrEnum):
    WAITING = "waiting"
    RUNNING = "running"
    INTERRUPTED = "interrupted"
    FAILED = "failed"
    DONE = "done"


@dataclass(frozen=True)
class StageFolder:
    """The files of one stage."""

    path: Path
    address: str

    @property
    def config(self) -> Path:
        return self.path / "config.json"

    @property
    def result(self) -> Path:
        return self.path / "result.json"

    @property
    def failed(self) -> Path:
        return self.path / "failed.json"

    @property
    def progress(self) -> Path:
        return self.path / "progress.json"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def tensors(self) -> Path:
        return self.path / "tensors.safetensors"

    @property
    def model(self) -> Path:
        """Of a cell: the weights after tuning, by timm's names."""
        return self.path / "model.safetensors"

    @property
    def initial_weights(self) -> Path:
        return self.path / "initial_weights.json"

    @property
    def log(self) -> Path:
        return self.path / "log.txt"

    def state(self) -> State:
        try:
            names = os.listdir(self.path)
        except FileNotFoundError:
            return State.WAITING
        except NotADirectoryError as error:
            raise UserError(
                f"{self.path.parent.parent}: not a folder of runs, but a file (or a file is in it)"
            ) from error
        if self.result.name in names:
            return State.DONE
        if self.config.name not in names:
            return State.WAITING
        last = last_claim(self.path, names)
        if last and last.holds():
            return State.RUNNING
        if self.failed.name in names:
            return State.FAILED
        begun = {self.checkpoints.name, self.progress.name} & set(names)
        return State.INTERRUPTED if begun else State.WAITING

    def claim(self) -> AbstractContextManager[bool]:
        """Holds the stage for this process; gives False if another process holds it."""
        return claimed(self.path)

    def claimant(self) -> Claim | None:
        """Who has computed the stage last, or does."""
        return last_claim(self.path)

    def read_config(self) -> dict[str, Any]:
        """Raises `DamagedFile` if the configuration does not have the address that the folder stands for."""
        config = read_json(self.config, "configuration")
        try:
            parts = {key: config[key] for key in ("kind", "config", "inputs")}
        except KeyError as error:
            raise DamagedFile(f"{self.config}: damaged configuration ({error} is missing)") from error
        if address_of(parts) != config.get("address"):
            raise DamagedFile(f"{self.config}: changed since it was written; delete its folder and run again")
        return config

    def read_result(self) -> dict[str, Any]:
        return read_json(self.result, "record")

    def read_failure(self) -> dict[str, Any]:
        return read_json(self.failed, "failure")

    def fail(self, label: str, error: str, details: str, *, died: bool = False) -> None:
        """Records that the last try went wrong.

        Args:
            error: one line.
            details: the traceback, or what a process printed last.
            died: whether the process died, for a reason that may lie outside of the stage, such as little memory.
        """
        failure = {"label": label, "error": error, "traceback": details, "died": died}
        write_json(self.failed, {"schema_version": SCHEMA_VERSION, "address": self.address, **failure})

    def forget_failure(self) -> None:
        """Makes way for another try, from the start: the checkpoint may be what went wrong, unless the process died."""
        if not self.read_failure().get("died"):
            shutil.rmtree(self.checkpoints, ignore_errors=True)
        self.failed.unlink()

    def finish(self, result: Mapping[str, Any]) -> None:
        """Writes the result, which makes the stage done, and removes what only an unfinished stage needs."""
        write_json(self.result, result)
        self.failed.unlink(missing_ok=True)
        self.progress.unlink(missing_ok=True)
        shutil.rmtree(self.checkpoints, ignore_errors=True)
        for leftover in self.path.glob(".*.tmp"):  # of a process that was killed while it wrote
            leftover.unlink(missing_ok=True)


@dataclass(frozen=True)
class Runs:
    """A runs folder."""

    root: Path

    def folder(self, kind: str, address: str) -> StageFolder:
        return StageFolder(self.root / kind / address[:20], address)

    def of(self, stage: Stage) -> StageFolder:
        return self.folder(stage.kind, stage.address)

    def enter(self, stage: Stage, execution: Mapping[str, Any]) -> StageFolder:
        """Writes the stage's configuration, so that a worker can compute it from files alone.

        Args:
            execution: what a worker needs to know but results do not depend on.
        """
        folder = self.of(stage)
        config = {
            "schema_version": SCHEMA_VERSION,
            "address": stage.address,
            "label": stage.label,
            "kind": stage.kind,
            "config": stage.config,
            "inputs": stage.inputs,
            "execution": execution,
        }
        write_json(folder.config, config)
        return folder

    def with_inputs(self, wanted: Iterable[tuple[str, str]]) -> dict[str, Stage]:
        """The stages of these kinds and addresses and all that they need, inputs first, read from their files.

        Raises:
            DamagedFile: a configuration is missing or has been changed.
        """
        found: dict[str, Stage] = {}

        def add(kind: str, address: str) -> None:
            if address in found:
                return
            folder = self.folder(kind, address)
            try:
                values = folder.read_config()
            except FileNotFoundError:
                raise DamagedFile(f"{folder.config} is missing: it says how this {kind} is computed") from None
            stage = Stage(values["kind"], values["label"], values["config"], values["inputs"])
            for needed in stage.inputs.values():
                add("gene" if self.folder("gene", needed).config.exists() else "ancestor", needed)
            found[address] = stage

        for kind, address in wanted:
            add(kind, address)
        return found

    def check_writable(self) -> None:
        """Raises `UserError` if the folder cannot be made or written to."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"{self.root}: no runs folder can be made here: {error.strerror}") from error
        probe = self.root / ".writable"
        write_json(probe, {})
        probe.unlink(missing_ok=True)
