"""A runs folder with every kind of document, and what the verbs say when one of its files is mutated."""

from __future__ import annotations

import io
import itertools
import json
import random
from collections.abc import Iterator, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

from mutations import mutated
from recorded_runs import record_plan, recorded

from learngene_bench.cli.main import run_command
from learngene_bench.planning.request import Request, build_request
from learngene_bench.planning.sweep import make_sweep
from learngene_bench.planning.sweep_space import parse_sweep
from learngene_bench.plugins.registry import Registry
from learngene_bench.results.leaderboard import manage
from learngene_bench.results.leaderboard.reruns import failed_rerun
from learngene_bench.schema.record import CellRecord

VERBS: dict[str, Sequence[Sequence[str]]] = {
    "plans/*.json": (["status"], ["report"], ["logs", "he", "4"]),
    "cell/*/config.json": (["report"], ["export", "he", "4", "-o", "out.safetensors"]),
    "cell/*/result.json": (["report"], ["export", "he", "4", "-o", "out.safetensors"]),
    "ancestor/*/result.json": (["report"],),
    "gene/*/result.json": (["report"],),
    "cell/*/failed.json": (["status"], ["logs", "he", "6"], ["report"]),
    "cell/*/progress.json": (["status"],),
    "cell/*/owner-*.json": (["status"],),
    "slurm/*/submission.json": (["status", "--format", "json"], ["logs", "he", "6"], ["cancel"]),
}
"""Verbs that read a file of a runs folder."""


@dataclass(frozen=True)
class Said:
    """The answer of a command: exit status, and what it printed."""

    status: int
    output: str
    error: str


def say(arguments: Sequence[str]) -> Said:
    output, error = io.StringIO(), io.StringIO()
    with redirect_stdout(output), redirect_stderr(error):
        status = run_command(list(arguments))
    return Said(status, output.getvalue(), error.getvalue())


def make(folder: Path) -> None:
    """Makes `folder/runs` and `folder/boards/digits`, of two methods, one seed, a cell that failed; and a sweep's."""
    make_swept(folder / "swept", folder / "boards" / "swept")
    made = recorded(folder / "runs", "wave,he", seeds=1)
    manage.add(folder / "boards" / "digits", made.folder)
    record = made.runs.stage_dir(made.stages("cell")[0]).read_record(CellRecord)
    manage.add_rerun(folder / "boards" / "digits", failed_rerun("Ada", made.stages("cell")[0].label, record, "no"))
    (failed,) = (stage for stage in made.stages("cell") if stage.label.startswith("he") and "depth 6" in stage.label)
    stage = made.runs.stage_dir(failed)
    stage.result.unlink()
    stage.fail(failed.label, "ValueError: no", "Traceback")
    waiting = made.runs.stage_dir(made.stages("cell")[0])
    (waiting.path / "owner-000001.json").write_text(
        json.dumps({"host": "node17", "pid_namespace": "there", "pid": 4242, "start_ticks": "1", "job": "12_3"})
    )
    waiting.result.unlink()
    progress = {
        "phase": "finetune",
        "step": 3,
        "steps": 9,
        "epoch": 0.3,
        "epochs": 5.0,
        "metrics": {"top1": 3.0},
        "time": 1.0,
    }
    waiting.progress.write_text(json.dumps(progress))
    array = {"name": "cell", "minutes": None, "jobs": ["12_3"], "stages": [[failed.address]]}
    code = {"sha256": "0" * 64, "commit": None, "dirty": None}
    content = {"schema_version": 2, "command": ["lgbench"], "user": "ada", "code": code, "arrays": [array]}
    submission = folder / "runs" / "slurm" / "one" / "submission.json"
    submission.parent.mkdir(parents=True)
    submission.write_text(json.dumps(content))


def make_swept(runs: Path, board: Path) -> None:
    """Makes a runs folder and a leaderboard of a sweep: one method at two learning rates."""

    def build(further: Sequence[str]) -> Request:
        settings = ["grid.depths=[4]", *further]
        return build_request("he", "depth", "digits", 1, settings, Registry(), False)

    sweep = make_sweep(build, parse_sweep(["finetuning.learning_rate=0.0005,0.001"], None, 0, Registry().names(), []))
    for plan in [*sweep.trials, sweep.default]:
        record_plan(runs, plan)
    manage.add(board, runs)


def commands(folder: Path) -> dict[Path, list[list[str]]]:
    """Lists the commands that read a file, by every file that is mutated."""
    runs, boards = folder / "runs", folder / "boards"
    swept = [["status"], ["report"], ["logs", "he", "4"]]
    found = {
        path: [[*verb, "--runs", str(runs)] for verb in VERBS[name]]
        for name in VERBS
        for path in sorted(runs.glob(name))
    }
    for path in sorted((folder / "swept" / "plans").glob("*.json")):
        found[path] = [[*verb, "--runs", str(folder / "swept")] for verb in swept]
    documents = itertools.product(("digits", "swept"), ("records.jsonl", "plans.jsonl"))
    for board, name in [*documents, ("digits", "reruns.jsonl")]:
        checks = [["leaderboard", verb, "--folder", str(boards)] for verb in ("check", "build")]
        found[boards / board / name] = [*checks, ["report", "--runs", str(boards / board)]]
    return found


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def faults(folder: Path, number: int, seed: int) -> list[str]:
    """Mutates a file, runs a command that reads it, puts all back, and lists what was wrong with the answer."""
    chance, before = random.Random(f"{seed} {number}"), contents(folder)
    path, choices = chance.choice(sorted(commands(folder).items()))
    command = chance.choice(choices)
    path.write_bytes(mutated(before[path], chance))
    said = say(command)
    left = restore(folder, before)
    found = list(_faults(said))
    if said.status == 2 and path.name not in said.error and said != say(command):
        found.append(f"the line does not name the file: {said.error[-400:]}")
    found += [f"it left {other.relative_to(folder)}" for other in left]
    words = " ".join(word.replace(str(folder), ".") for word in command)
    return [
        f"mutation {number} of seed {seed}, {path.relative_to(folder)}, lgbench {words}: {fault}" for fault in found
    ]


def restore(folder: Path, before: dict[Path, bytes]) -> list[Path]:
    """Puts the files of a folder back as they were, and returns those that were not there."""
    after = contents(folder)
    for path, content in before.items():
        if after.get(path) != content:
            path.write_bytes(content)
    new = sorted(after.keys() - before.keys())
    for path in new:
        path.unlink()
    return new


def _faults(said: Said) -> Iterator[str]:
    if "Traceback (most recent call last)" in said.error + said.output or said.error.startswith("lgbench: unexpected"):
        yield f"not expected: {said.error[-400:]}"
    if said.status not in (0, 1, 2):
        yield f"status {said.status}"
    if said.status == 2 and said.error.count("\n") != 1:
        yield f"not one line: {said.error[-400:]}"
    if "\x1b" in said.error + said.output:
        yield "an escape sequence"
