"""A builder of runs folders: the files that `lgbench run` writes, without running anything."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from learngene_bench.results.plots.page import Page

GROUPS = {
    **dict.fromkeys(("he", "mimetic", "timm"), "direct"),
    **dict.fromkeys(("ligo", "share"), "transfer"),
    **dict.fromkeys(("auto-lg", "telg", "sws", "wave"), "learngene"),
    "direct-pt": "pre-training",
}
TITLES = {
    "he": "He-Init",
    "mimetic": "Mimetic",
    "timm": "timm default",
    "ligo": "LiGO",
    "share": "Share",
    "auto-lg": "Auto-LG",
    "telg": "TELG",
    "sws": "SWS",
    "wave": "WAVE",
    "direct-pt": "Direct PT",
}
WIDTHS = {"micro": 48, "mini": 96}
NO_COST = {"epochs": 0.0, "iterations": 0, "images": 0, "flops": 0.0, "seconds": 0.0}
PROVENANCE = {
    "command": ["lgbench", "run", "--grid", "depth"],
    "versions": {"python": "3.11.7", "torch": "2.15.0"},
    "hardware": {"device": "cpu", "accelerator": None, "cpu": "a processor", "cores": 2, "threads": 1},
    "git": {"commit": "c0ffee" * 6 + "c0ff", "dirty": False},
    "started": "2026-11-20T12:00:00Z",
    "finished": "2026-11-20T12:00:07Z",
    "data": {"name": "digits", "canvas": 12},
}


class Runs:
    """One runs folder: `cell` and `dash` describe, `done` and `failed` write what became of a cell, `plan` a plan."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "cell").mkdir(parents=True)
        (folder / "plans").mkdir()

    def cell(self, method: str, depth: int = 4, seed: int = 0, version: int = 0, **changes: Any) -> dict[str, Any]:
        """A cell of a manifest; the version stands for whatever else decides the address."""
        subject = self._subject(method, depth, changes)
        address = hashlib.sha256(json.dumps([subject, seed, version]).encode()).hexdigest()
        stored = {"direct": 0, "pre-training": 350_000}.get(subject["group"], 61_234)
        return {
            **subject,
            "address": address,
            "source": "digits",
            "seed": seed,
            "parameters": {"stored": stored, "model": 80_000 * depth},
            "prepare_epochs": {"wave": 40.0, "direct-pt": 150.0}.get(method),
        }

    def dash(self, method: str, depth: int, reason: str, **changes: Any) -> dict[str, Any]:
        return {**self._subject(method, depth, changes), "reason": reason}

    def _subject(self, method: str, depth: int, changes: dict[str, Any]) -> dict[str, Any]:
        size = changes.get("size", "micro")
        target = {"depth": depth, "width": WIDTHS.get(size, 48), "heads": 3, "classes": 10, **changes.pop("target", {})}
        subject = {
            "method": method,
            "variant": "",
            "title": TITLES.get(method, method),
            "group": GROUPS.get(method, "other"),
            "size": size,
            "task": "digits",
            "target": target,
        }
        return {**subject, **changes}

    def record(self, cell: dict[str, Any], top1: float, top1_initial: float = 10.0, **changes: Any) -> dict[str, Any]:
        fitting = {**NO_COST, "iterations": 150, "seconds": 1.5 + cell["seed"]} if cell["method"] == "wave" else NO_COST
        prepared = {**NO_COST, "epochs": cell["prepare_epochs"] or 0.0}
        about = {key: value for key, value in cell.items() if key not in ("address", "parameters", "prepare_epochs")}
        return {
            "schema_version": 1,
            "protocol": 1,
            "kind": "cell",
            "address": cell["address"],
            "cell": about,
            "preset": "digits",
            "setting": "5d1e" * 16,
            "setting_description": "digits, tuning.epochs=2",
            "metrics": {"top1": top1, "top1_initial": top1_initial},
            "curve": [
                {"epoch": 0.0, "iterations": 0, "loss": None, "top1": top1_initial},
                {"epoch": 1.0, "iterations": 19, "loss": 1.5, "top1": (top1_initial + top1) / 2},
                {"epoch": 2.0, "iterations": 38, "loss": 1.25, "top1": top1},
            ],
            "parameters": cell["parameters"],
            "prepare_epochs": cell["prepare_epochs"],
            "cost": {
                "ancestors": prepared if cell["group"] == "pre-training" else NO_COST,
                "prepare": NO_COST if cell["group"] == "pre-training" else prepared,
                "initialize": fitting,
                "tune": {**NO_COST, "epochs": 2.0, "seconds": 4.0},
            },
            "initial_weights": {"sha256": "0" * 64},
            "model": {"sha256": "1" * 64, "mean": [0.5], "std": [0.5]},
            "evaluation": {"split": "test", "images": 1440},
            "inputs": {},
            "provenance": PROVENANCE,
            **changes,
        }

    def done(self, cell: dict[str, Any], top1: float, top1_initial: float = 10.0, **changes: Any) -> dict[str, Any]:
        self.write(self.path(cell), json.dumps(self.record(cell, top1, top1_initial, **changes)))
        return cell

    def failed(self, cell: dict[str, Any], error: str) -> dict[str, Any]:
        self.write(self.path(cell).with_name("failed.json"), json.dumps({"error": error, "traceback": "", "label": ""}))
        return cell

    def plan(self, cells: list[dict[str, Any]], dashes: list[dict[str, Any]] | None = None, **changes: Any) -> Path:
        methods = list(dict.fromkeys(item["method"] for item in [*cells, *(dashes or [])]))
        manifest = {
            "schema_version": 1,
            "protocol": 1,
            "created": "2026-11-20T12:00:00Z",
            "command": ["lgbench", "run"],
            "preset": "digits",
            "grid": "depth",
            "axis": "depth",
            "setting": "5d1e" * 16,
            "setting_description": "digits, tuning.epochs=2",
            "cells": cells,
            "dashes": dashes or [],
            "methods": methods,
            "stages": [{"address": cell["address"], "kind": "cell", "inputs": {}} for cell in cells],
            **changes,
        }
        text = json.dumps(manifest)
        return self.write(self.folder / "plans" / f"{hashlib.sha256(text.encode()).hexdigest()[:20]}.json", text)

    def gene(self, name: str, size: int) -> str:
        """A gene of so many bytes; its address, to stand in the inputs of records."""
        address = hashlib.sha256(name.encode()).hexdigest()
        folder = self.folder / "gene" / address[:20]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "tensors.safetensors").write_bytes(bytes(size))
        return address

    def path(self, cell: dict[str, Any]) -> Path:
        return self.folder / "cell" / cell["address"][:20] / "result.json"

    def write(self, path: Path, text: str) -> Path:
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    return Runs(tmp_path / "runs")


@pytest.fixture
def example(runs: Runs) -> Runs:
    """Two sizes, three seeds, every state that a cell can be in."""
    cells, accuracies = [], {"he": 82.0, "mimetic": 83.5, "ligo": 86.5, "wave": 91.0, "direct-pt": 93.0}
    for method, accuracy in accuracies.items():
        for size, depths in (("micro", (2, 4, 6)), ("mini", (2, 4))):
            for depth in depths:
                if method == "ligo" and depth == 2:
                    continue
                for seed in range(3):
                    cell = runs.cell(method, depth, seed, size=size)
                    cells.append(cell)
                    initial = 70.0 + depth + seed if method == "wave" else 10.0 + seed / 2
                    if (method, size, depth) == ("mimetic", "micro", 6):
                        continue
                    if (method, size, depth, seed) == ("wave", "micro", 6, 1):
                        runs.failed(cell, "FloatingPointError: the loss is nan at iteration 17")
                        continue
                    runs.done(cell, accuracy + depth / 2 + seed * 0.3 + (size == "mini"), initial)
    for seed in range(3):
        cell = runs.cell("wave", 2, seed, variant="inheritance=interpolate", title="WAVE")
        cells.append(cell if seed else runs.done(cell, 88.0, 60.0))
    runs.plan(cells, [runs.dash("ligo", 2, "its source has this depth", size=size) for size in WIDTHS])
    return runs


@pytest.fixture(scope="session")
def budgets(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """A setting and the same at equal budget, with methods and depths that only one of us and the paper has.

    Tests that write use a copy, `own_budgets`.
    """
    runs = Runs(tmp_path_factory.mktemp("budgets") / "runs")
    tuned = {"he": 80.0, "mimetic": 79.0, "timm": 75.0, "ligo": 84.0, "share": 86.0}
    tuned |= {"auto-lg": 88.0, "telg": 86.0, "sws": 88.5, "wave": 90.0, "direct-pt": 93.0}
    dashes = [runs.dash("ligo", 4, "its source has this depth", size=size) for size in ("micro", "s")]
    equal = {"setting": "ba1a" * 16, "equal_budget": {"iterations": 245, "of": "5d1e" * 16}}
    ordinary: dict[str, Any] = {"created": "2026-11-21T12:00:00Z"}
    for about, extra in ((ordinary, 0.0), (equal, 3.0)):
        cells = []
        for method, accuracy in tuned.items():
            # Both settings share the cells of a method that is trained alike in both.
            longer = 0.0 if method in ("wave", "direct-pt") else extra
            for size, depths in (("micro", (2, 4, 6, 8)), ("s", (4, 6))):
                for depth in depths:
                    if (method, depth) == ("ligo", 4) or (method == "sws" and size == "s"):
                        continue
                    for seed in range(2):
                        cell = runs.cell(method, depth, seed, version=bool(longer), size=size)
                        cells.append(cell)
                        if (method, depth, seed) != ("auto-lg", 8, 1):
                            runs.done(cell, accuracy + longer + depth / 2 + seed * 0.4)
        cells += [runs.done(runs.cell("wave", depth, variant="learn_scalers=false"), 85.0 + depth) for depth in (4, 6)]
        runs.plan(cells, dashes, **about)
    return runs


@pytest.fixture
def own_budgets(budgets: Runs, runs: Runs) -> Runs:
    shutil.copytree(budgets.folder, runs.folder, dirs_exist_ok=True)
    return runs


@pytest.fixture
def pages(monkeypatch: pytest.MonkeyPatch) -> list[Page]:
    """The pages that would be written, instead of files."""
    kept: list[Page] = []
    monkeypatch.setattr(Page, "save", lambda page, folder, name: kept.append(page) or [])
    return kept


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Compares a text with a file in golden/; UPDATE_GOLDEN=1 writes the file instead, to be read before committing."""

    def compare(name: str, text: str) -> None:
        path = Path(__file__).parent / "golden" / name
        if os.environ.get("UPDATE_GOLDEN"):
            path.write_text(text, encoding="utf-8")
        assert text == path.read_text(encoding="utf-8")

    return compare
