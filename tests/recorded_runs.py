"""Runs folders with real plans, addresses and configurations, and with records whose numbers are made up."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from learngene_bench.planning.plan import Plan, Stage
from learngene_bench.planning.planner import make_plan
from learngene_bench.planning.request import build_request
from learngene_bench.plugins.registry import Registry
from learngene_bench.runs.manifest import about, write_manifest
from learngene_bench.runs.store import Runs

IMAGES = 1440
PROVENANCE = {
    "command": ["lgbench", "run", "--grid", "depth"],
    "versions": {"python": "3.11.7", "learngene-bench": "0.1.0", "torch": "2.15.0", "timm": "1.0.31"},
    "hardware": {"device": "cpu", "accelerator": None, "cpu": "a | <processor>", "cores": 2, "system": "Linux x86_64"},
    "git": {"commit": "c0ffee" * 6 + "c0ff", "dirty": False},
    "started": "2026-11-20T12:00:00Z",
    "finished": "2026-11-20T12:00:07Z",
}
ACCURACIES = {"he": 700, "wave": 1200}


@dataclass
class RecordedRuns:
    """A runs folder, and the plan behind it."""

    folder: Path
    plan: Plan

    @property
    def runs(self) -> Runs:
        return Runs(self.folder)

    def stages(self, kind: str) -> list[Stage]:
        return [stage for stage in self.plan.stages.values() if stage.kind == kind]

    def file(self, stage: Stage, name: str = "result.json") -> Path:
        return self.runs.of(stage).path / name

    def change(self, path: Path, edit: Callable[[dict[str, Any]], object]) -> None:
        """Edits a JSON file in place."""
        content = json.loads(path.read_text())
        edit(content)
        path.write_text(json.dumps(content))


def recorded(
    folder: Path,
    methods: str = "wave,he",
    *settings: str,
    seeds: int = 2,
    created: str = "2026-11-20T12:00:00Z",
    plugins: Sequence[Path] = (),
) -> RecordedRuns:
    """All that `lgbench run` leaves of two depths of the digits, except tensors and logs.

    Args:
        created: when the plan was made.
    """
    overrides = ["grid.depths=[4,6]", *settings]
    plan = make_plan(build_request(methods, "depth", "digits", seeds, overrides, Registry(plugins), False))
    made = RecordedRuns(folder, plan)
    manifest = write_manifest(plan, made.runs, PROVENANCE["command"])
    made.change(manifest, lambda content: content.update(created=created))
    cells = {cell.address: about(cell, plan) for cell in plan.cells}
    for stage in plan.stages.values():
        execution = {
            "command": PROVENANCE["command"],
            "device": "auto",
            "checkpoint_seconds": 5.0,
            "data": plan.preset.data,
            "files": {},
            "about": cells.get(stage.address),
        }
        made.runs.enter(stage, execution)
        record = _cell(stage, cells[stage.address]) if stage.kind == "cell" else _input(stage)
        made.file(stage).write_text(json.dumps(record, indent=1) + "\n")
    return made


def _common(stage: Stage) -> dict[str, Any]:
    return {
        "schema_version": 1,
        "protocol": stage.config["protocol"],
        "kind": stage.kind,
        "address": stage.address,
        "inputs": dict(stage.inputs),
        "provenance": {**copy.deepcopy(PROVENANCE), "data": stage.config["data"]},
    }


def _cell(stage: Stage, facts: dict[str, Any]) -> dict[str, Any]:
    seed, method = facts["cell"]["seed"], facts["cell"]["method"]
    right = ACCURACIES.get(method, 900) + facts["cell"]["target"]["depth"] + 7 * seed % 100
    curve = [
        {"epoch": 0.0, "iterations": 0, "loss": None, "top1": 100.0 * 144 / IMAGES},
        {"epoch": 5.0, "iterations": 95, "loss": 1.25, "top1": 100.0 * right / IMAGES},
    ]
    spent = {"epochs": 5.0, "iterations": 95, "images": 6080, "flops": 1e9, "seconds": 1.5 + seed}
    return {
        **_common(stage),
        **facts,
        "metrics": {"top1": curve[-1]["top1"], "top1_initial": curve[0]["top1"]},
        "curve": curve,
        "cost": dict.fromkeys(("ancestors", "prepare", "initialize", "tune"), spent),
        "initial_weights": {"sha256": _hash("initial", stage)},
        "model": {"sha256": _hash("model", stage), "mean": [0.5], "std": [0.5]},
        "evaluation": {"split": "test", "images": IMAGES},
    }


def _input(stage: Stage) -> dict[str, Any]:
    return {**_common(stage), "metrics": {}, "curve": [], "tensors": {"sha256": _hash("tensors", stage), "bytes": 4096}}


def _hash(name: str, stage: Stage) -> str:
    return hashlib.sha256(f"{name} {stage.address}".encode()).hexdigest()
