"""A builder of runs folders: the files that `lgbench run` writes, without running anything."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from browsing import browser, visit  # noqa: F401
from recorded_runs import RecordedRuns, recorded
from records import cell_record, planned_stage, points, sha256, without_address

from learngene_bench.results.plots.page import Page
from learngene_bench.schema.constants import SCHEMA_VERSION
from learngene_bench.schema.cost import CellCost, Cost
from learngene_bench.schema.record import Failure
from learngene_bench.schema.subject import CellDescription, Parameters, PlannedCell
from learngene_bench.version import PROTOCOL

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
NO_COST = Cost().model_dump()
SETTING = "5d1e" * 16


SAMPLE = PlannedCell(
    address=sha256("a cell"),
    method="he",
    version="1",
    variant="",
    title="He-Init",
    group="direct",
    size="micro",
    task="digits",
    source="digits",
    target={"family": "vit", "depth": 4, "width": 48},
    seed=0,
    parameters=Parameters(stored=0, model=320_000),
    prepare_epochs=None,
)
DESCRIPTION = CellDescription(
    preset="digits",
    setting=SETTING,
    setting_description="digits, finetuning.epochs=2",
    cell=without_address(SAMPLE),
)


class Runs:
    """One runs folder: `cell` and `dash` describe, `done` and `failed` write what became of a cell, `plan` a plan."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "cell").mkdir(parents=True)
        (folder / "plans").mkdir()

    def cell(self, method: str, depth: int = 4, seed: int = 0, version: int = 0, **changes: Any) -> dict[str, Any]:
        """A cell of a manifest; the version stands for whatever else decides the address."""
        subject = self._subject(method, depth, changes)
        address = sha256(json.dumps([subject, seed, version]))
        stored = {"direct": 0, "pre-training": 350_000}.get(subject["group"], 61_234)
        return {
            **subject,
            "address": address,
            "seed": seed,
            "parameters": {"stored": stored, "model": 80_000 * depth},
            "prepare_epochs": {"wave": 40.0, "direct-pt": 150.0}.get(method),
        }

    def dash(self, method: str, depth: int, reason: str, **changes: Any) -> dict[str, Any]:
        return {**self._subject(method, depth, changes), "reason": reason}

    def _subject(self, method: str, depth: int, changes: dict[str, Any]) -> dict[str, Any]:
        size = changes.get("size", "micro")
        target = {
            "family": "vit",
            "depth": depth,
            "width": WIDTHS.get(size, 48),
            "heads": 3,
            "classes": 10,
            **changes.pop("target", {}),
        }
        subject = {
            "method": method,
            "version": "1",
            "variant": "",
            "title": TITLES.get(method, method),
            "group": GROUPS.get(method, "other"),
            "size": size,
            "task": "digits",
            "source": "digits",
            "target": target,
        }
        return {**subject, **changes}

    def record(self, cell: dict[str, Any], top1: float, top1_initial: float = 10.0, **changes: Any) -> dict[str, Any]:
        trained = {"iterations": 150, "images": 9600, "parameters": 350 * cell["target"]["depth"]}
        fitting = Cost(**trained, seconds=1.5 + cell["seed"]) if cell["method"] == "wave" else Cost()
        prepared = Cost(epochs=cell["prepare_epochs"] or 0.0)
        is_trained = cell["group"] == "pre-training"
        cost = CellCost(
            ancestors=prepared if is_trained else Cost(),
            prepare=Cost() if is_trained else prepared,
            initialize=fitting,
            finetune=Cost(epochs=2.0, iterations=38, images=1216, seconds=4.0),
        )
        curve = points((0.0, 0, None, top1_initial), (1.0, 19, 1.5, (top1_initial + top1) / 2), (2.0, 38, 1.25, top1))
        record = cell_record(SAMPLE, DESCRIPTION, curve, cost=cost).model_dump(mode="json")
        cell, address = dict(cell), cell["address"]
        del cell["address"]
        return {**record, "address": address, "cell": cell, **changes}

    def done(self, cell: dict[str, Any], top1: float, top1_initial: float = 10.0, **changes: Any) -> dict[str, Any]:
        self.write(self.path(cell), json.dumps(self.record(cell, top1, top1_initial, **changes)))
        return cell

    def failed(self, cell: dict[str, Any], error: str) -> dict[str, Any]:
        failure = Failure(address=cell["address"], label=f"{cell['method']} seed {cell['seed']}", error=error)
        self.write(self.path(cell).with_name("failed.json"), failure.model_dump_json())
        return cell

    def plan(self, cells: list[dict[str, Any]], dashes: list[dict[str, Any]] | None = None, **changes: Any) -> Path:
        methods = list(dict.fromkeys(item["method"] for item in [*cells, *(dashes or [])]))
        manifest = {
            "schema_version": SCHEMA_VERSION,
            "protocol": PROTOCOL,
            "title": "Depth",
            "created": "2026-11-20T12:00:00Z",
            "command": ["lgbench", "run"],
            "preset": "digits",
            "grid": "depth",
            "axis": "depth",
            "setting": SETTING,
            "setting_description": "digits, finetuning.epochs=2",
            "equal_budget": None,
            "cells": cells,
            "unsupported": dashes or [],
            "methods": methods,
            "references": ["he", "direct-pt"],
            "stages": [planned_stage(cell["address"]) for cell in cells],
            **changes,
        }
        text = json.dumps(manifest)
        return self.write(self.folder / "plans" / f"{sha256(text)[:20]}.json", text)

    def gene(self, name: str, size: int) -> str:
        """A gene of so many bytes; its address, to stand in the inputs of records."""
        address = sha256(name)
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
    equal = {"setting": "ba1a" * 16, "equal_budget": {"images": 15_680, "of": "5d1e" * 16}}
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


@pytest.fixture(scope="session")
def _offered(tmp_path_factory: pytest.TempPathFactory) -> RecordedRuns:
    return recorded(tmp_path_factory.mktemp("offered") / "runs")


@pytest.fixture
def offered(_offered: RecordedRuns, tmp_path: Path) -> RecordedRuns:
    """WAVE and He-Init at two depths, two seeds; tests may change the files."""
    shutil.copytree(_offered.folder, tmp_path / "offered")
    return RecordedRuns(tmp_path / "offered", _offered.plan)


@pytest.fixture
def board(tmp_path: Path) -> Path:
    return tmp_path / "leaderboards" / "digits"


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
