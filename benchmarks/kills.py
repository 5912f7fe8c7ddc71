"""Kills verbs that write, at random moments, and compares what they leave in the end with what they leave undisturbed.

    python benchmarks/kills.py [--kills 50] [--seed 0] [--verb report]

Each verb is killed (SIGKILL, with all its processes) a few times at moments spread over its duration, and then runs to
its end. The claims under test: the final files are the same bytes as without kills (of a run: the same numbers, as its
records hold times), and no file is left behind. A run of four cells is made first, for the verbs that read one.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LGBENCH = [sys.executable, "-c", "from learngene_bench.cli.main import main; main()"]
METHODS = ["-m", "he,timm", "--workers", "1", "--set", "grid.depths=[4,5]", "--set", "finetuning.epochs=1"]


@dataclass(frozen=True)
class Verb:
    """A verb that writes.

    Attributes:
        arguments: its command line, in a folder in which it writes all that it writes.
        ready: makes what it needs in that folder.
        kept: what of its files must be the same.
    """

    arguments: list[str]
    ready: Callable[[Path], object]
    kept: Callable[[Path], dict[str, Any]]


def every_byte(folder: Path) -> dict[str, Any]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def numbers(folder: Path) -> dict[str, Any]:
    """All files by name; of records, what does not depend on the clock."""
    found: dict[str, Any] = {}
    for path in folder.rglob("*"):
        if path.is_file():
            name = str(path.relative_to(folder))
            found[name] = None
            if path.name == "result.json":
                record = json.loads(path.read_text())
                found[name] = {key: record.get(key) for key in ("metrics", "curve", "initial_weights", "tensors")}
            elif path.suffix == ".safetensors":
                found[name] = path.read_bytes()
    return found


def nothing(folder: Path) -> None:
    pass


def verbs(runs: Path) -> dict[str, Verb]:
    """Every verb that writes, by a name."""
    here = ["--runs", str(runs)]

    def board(folder: Path) -> None:
        command(folder, "leaderboard", "add", "--name", "one", "--folder", "boards", "--runs", str(OFFERED))
        for name in ("README.md", "cells.csv", "tables.tex"):
            (folder / "boards" / "one" / name).write_text("old")

    return {
        "run": Verb(["run", *METHODS, "--runs", "runs"], nothing, numbers),
        "report": Verb(["report", *here, "-o", "report"], nothing, every_byte),
        "plot": Verb(["plot", "curves", *here, "-o", "plots"], nothing, every_byte),
        "export": Verb(["export", "he", "4", *here, "-o", "model.safetensors"], nothing, every_byte),
        "analyze": Verb(["analyze", "copies", "he 4", *here, "-o", "analysis"], nothing, every_byte),
        "new": Verb(["new", "mine-too", "-o", "mine.py"], lambda folder: (folder / "mine.py").unlink(True), every_byte),
        "leaderboard add": Verb(
            ["leaderboard", "add", "--name", "one", "--folder", "boards", "--runs", str(OFFERED)], nothing, every_byte
        ),
        "leaderboard build": Verb(["leaderboard", "build", "one", "--folder", "boards"], board, every_byte),
    }


OFFERED = Path(tempfile.gettempdir()) / f"lgbench-kills-{os.getpid()}" / "offered"
"""Runs that a leaderboard takes: of a whole preset, with made-up numbers."""


def command(folder: Path, *arguments: str) -> subprocess.Popen[bytes]:
    process = started(folder, *arguments)
    _, error = process.communicate()
    if process.returncode:
        raise SystemExit(f"lgbench {' '.join(arguments)}: {error.decode()}")
    return process


def started(folder: Path, *arguments: str) -> subprocess.Popen[bytes]:
    folder.mkdir(parents=True, exist_ok=True)
    return subprocess.Popen(
        [*LGBENCH, *arguments], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
    )


def killed(process: subprocess.Popen[bytes], seconds: float) -> bool:
    """Kills a process and all that it has started after a while; returns False if it has ended before."""
    with suppress(subprocess.TimeoutExpired):
        process.wait(seconds)
        return False
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    return True


def tried(name: str, verb: Verb, kills: int, chance: random.Random, place: Path) -> int:
    """Runs a verb undisturbed and disturbed; returns the number of kills that met it at work.

    Raises:
        SystemExit: the files differ, or one is left behind.
    """
    calm, disturbed = place / "calm", place / "disturbed"
    for folder in (calm, disturbed):
        folder.mkdir(parents=True)
        verb.ready(folder)
    before = time.monotonic()
    command(calm, *verb.arguments)
    duration, met = time.monotonic() - before, 0
    for _ in range(kills):
        met += killed(started(disturbed, *verb.arguments), chance.uniform(0.3, 1.0) * duration)
        if name == "new":  # it replaces no file, also not its own
            verb.ready(disturbed)
    command(disturbed, *verb.arguments)
    expected, found = verb.kept(calm), verb.kept(disturbed)
    if expected != found:
        unlike = sorted(path for path in expected.keys() | found.keys() if expected.get(path, 0) != found.get(path, 0))
        raise SystemExit(f"{name}: not the same after {met} kills: {', '.join(unlike)} (kept in {place})")
    print(f"{name:18} {met:3} kills of {kills} met it at work ({duration:.1f} s undisturbed): the same, nothing left")
    return met


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--verb", help="one verb alone")
    options = parser.parse_args()
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    from recorded_runs import recorded

    place, chance = OFFERED.parent, random.Random(options.seed)
    recorded(OFFERED, "he,timm")
    command(place, "run", *METHODS, "--runs", "runs")
    chosen = {name: verb for name, verb in verbs(place / "runs").items() if options.verb in (None, name)}
    met = 0
    for number, (name, verb) in enumerate(chosen.items()):
        share = options.kills // len(chosen) + (number < options.kills % len(chosen))
        met += tried(name, verb, share, chance, place / name.replace(" ", "-"))
    shutil.rmtree(place)
    print(f"{met} kills of {len(chosen)} verbs")


if __name__ == "__main__":
    main()
