"""`lgbench status`: how the stages of a runs folder stand, read from its files alone."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from learngene_bench.cli import common
from learngene_bench.cli.display import read_progress
from learngene_bench.errors import UserError
from learngene_bench.files import read_json
from learngene_bench.manifest import read_manifests
from learngene_bench.store import Runs, State


def status(
    runs: common.RunsOption = Path("runs"),
    format: common.FormatOption = common.Format.TABLE,
) -> None:
    """Print what is running, done, failed or waiting."""
    folder = Runs(runs)
    manifests = read_manifests(folder)
    if not manifests:
        raise UserError(f"{runs}: no runs here (lgbench run --runs {runs} starts one)")
    stages = {stage["address"]: stage for manifest in manifests for stage in manifest["stages"]}
    entries = [_entry(folder, stage) for stage in stages.values()]
    if format is common.Format.JSON:
        print(json.dumps({"runs": str(runs), "stages": entries}, indent=1))
    else:
        _print(entries, common.console())


def _entry(runs: Runs, stage: dict[str, Any]) -> dict[str, Any]:
    folder = runs.folder(stage["kind"], stage["address"])
    state = folder.state()
    entry = {key: stage[key] for key in ("address", "kind", "label")} | {"state": state}
    if state in (State.RUNNING, State.INTERRUPTED):
        entry["progress"] = read_progress(folder.progress)
    if state is State.FAILED:
        entry["error"] = read_json(folder.failed, "failure").get("error", "")
    return entry


def _print(entries: list[dict[str, Any]], console: Console) -> None:
    counts = Counter((entry["kind"], entry["state"]) for entry in entries)
    for kind in ("ancestor", "gene", "cell"):
        parts = [f"{counts[kind, state]} {state}" for state in State if counts[kind, state]]
        if parts:
            console.print(f"{kind + 's':10} {', '.join(parts)}")
    for entry in entries:
        if entry["state"] in (State.RUNNING, State.INTERRUPTED):
            progress = entry["progress"]
            where = f"{progress['phase']} {progress['epoch']:.1f}/{progress['epochs']:.1f}" if progress else "starting"
            top1 = f", top-1 {progress['top1']:.1f}" if progress.get("top1") is not None else ""
            console.print(Text(f"{entry['state']:12} {entry['label']}: {where}{top1}"), soft_wrap=True)
        elif entry["state"] is State.FAILED:
            console.print(Text(f"{'failed':12} {entry['label']}: {entry['error']}"), soft_wrap=True)
