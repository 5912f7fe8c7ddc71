"""Whole runs in real processes, for tests: a short preset, the command, the numbers that must not change."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import forked

from learngene_bench.cli.main import run_command
from learngene_bench.config.loader import shipped_files

# Ctrl-C means what it does in a terminal, also where whoever started the tests ignores it.
_AS_IN_A_TERMINAL = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
LGBENCH = [sys.executable, "-c", f"{_AS_IN_A_TERMINAL}from learngene_bench.cli.main import main; main()"]


def short_preset(folder: Path) -> Path:
    """The digits, trained for about half a second each stage, with checkpoints all the time."""
    text = shipped_files("preset")["digits"].read_text()
    text = text.replace('name = "digits"\ntitle', 'name = "short"\ntitle').replace("epochs = 60", "epochs = 2")
    text = text.replace("epochs = 15", "epochs = 3").replace("checkpoint_seconds = 5.0", "checkpoint_seconds = 0.05")
    path = folder / "short.toml"
    path.write_text(text.replace("epochs = 5", "epochs = 2").replace("iterations = 150", "iterations = 10"))
    return path


def words(preset: Path, runs: Path, *arguments: str) -> list[str]:
    return ["run", "--preset", str(preset), "--runs", str(runs), "--set", "grid.depths=[4,6]", *arguments]


def command(preset: Path, runs: Path, *arguments: str) -> list[str]:
    return [*LGBENCH, *words(preset, runs, *arguments)]


def lgbench(*arguments: str, status: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([*LGBENCH, *arguments], capture_output=True, text=True, timeout=300)
    assert done.returncode == status, done.stderr + done.stdout
    return done


def lgbench_here(*arguments: str, status: int | None = 0) -> subprocess.CompletedProcess[str]:
    """Runs a command in this process, which has torch already: for tests that are about no process.

    Args:
        status: exit status that it must have; None for any.
    """
    output, error = io.StringIO(), io.StringIO()
    with redirect_stdout(output), redirect_stderr(error):
        returned = run_command(list(arguments))
    assert status in (None, returned), error.getvalue() + output.getvalue()
    return subprocess.CompletedProcess(arguments, returned, output.getvalue(), error.getvalue())


def lgbench_forked(*arguments: str, status: int = 0) -> subprocess.CompletedProcess[str]:
    """Runs a command in a process of its own that has read no data yet."""
    done = forked.run(forked.MAIN, argv=arguments)
    assert done.returncode == status, done.stderr + done.stdout
    return done


def run(preset: Path, runs: Path, *arguments: str, status: int = 0) -> subprocess.CompletedProcess[str]:
    return lgbench(*words(preset, runs, *arguments), status=status)


def run_here(preset: Path, runs: Path, *arguments: str, status: int = 0) -> subprocess.CompletedProcess[str]:
    return lgbench_here(*words(preset, runs, *arguments), "--executor", "inline", status=status)


def numbers(runs: Path) -> dict[str, Any]:
    """All that must be the same in two runs of the same thing: everything but times."""
    found = {}
    for path in runs.glob("*/*/result.json"):
        record = json.loads(path.read_text())
        kept = {key: record[key] for key in record.keys() & {"metrics", "curve", "initial_weights", "tensors", "cell"}}
        cost = {phase: {k: v for k, v in cost.items() if k != "seconds"} for phase, cost in record["cost"].items()}
        found[str(path.relative_to(runs))] = {**kept, "cost": cost}
    return found


def children(pid: int) -> list[int]:
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True)
    return [int(line) for line in found.stdout.split()]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def wait_until(condition: Callable[[], object], seconds: float = 20) -> None:
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.05)


PLUGIN = """
from learngene_bench.contracts.initializer import Initializer

class Mine(Initializer):
    name, title = "mine", "Mine [x]"
    def initialize(self, model, target, gene, context):
        if target.depth == 6:
            {body}
"""
