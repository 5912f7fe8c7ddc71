"""Workers end with the run, however it ends, also those whose method never lets another thread run."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fake_stages import FakeStage
from whole_runs import alive, wait_until

from learngene_bench.execution import pool
from learngene_bench.execution.pool import Pool
from learngene_bench.execution.resources import PoolConfig, WorkerSlot

HOLD = "import ctypes; print('holding', flush=True); ctypes.PyDLL(None).sleep(600)"
"""A process that keeps the interpreter to itself: no thread of it runs, no signal handler of Python either."""


def test_a_worker_that_does_not_end_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "PARTING_SECONDS", 0.2)
    with Pool(tmp_path, PoolConfig([WorkerSlot()] * 2), []) as workers:
        workers.command = [sys.executable, "-c", HOLD]
        for number in range(2):
            workers.start(FakeStage("cell", str(number)))
        started = [worker.process for worker in workers.busy.values()]
        for process in started:
            assert process.stdout
            assert process.stdout.readline() == "holding\n"
        before = time.monotonic()
    assert time.monotonic() - before < 5
    assert [process.returncode for process in started] == [-signal.SIGKILL] * 2


@pytest.mark.skipif(sys.platform != "linux", reason="the system ends no process with its parent")
def test_a_killed_parent_takes_along_a_process_that_holds_the_interpreter() -> None:
    child = f"from learngene_bench.util import signals; signals.ignore(); signals.end_with_parent(); {HOLD}"
    parent = "import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', sys.argv[1]]).pid, flush=True); "
    process = subprocess.Popen(
        [sys.executable, "-c", f"{parent}import time; time.sleep(600)", child], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    lines = {process.stdout.readline().strip() for _ in range(2)}
    (pid,) = (int(line) for line in lines if line.isdigit())
    process.kill()
    process.wait()
    wait_until(lambda: not alive(pid), 5)


def test_what_a_plugin_prints_while_it_is_imported_is_no_answer(tmp_path: Path) -> None:
    plugin = tmp_path / "loud.py"
    plugin.write_text(
        "import os, sys\nfrom learngene_bench.contracts.initializer import Initializer\n"
        "print('hello', flush=True)\nos.write(1, b'from C')\n"
        "class Loud(Initializer):\n    name, title = 'loud', 'Loud'\n"
        "    def initialize(self, model, target, gene, context): pass\n"
    )
    command = [sys.executable, "-P", "-m", "learngene_bench.execution.worker", str(tmp_path), "1", str(plugin)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdin
    assert process.stdout
    process.stdin.write(b'{"kind": "cell", "address": "%064d"}\n' % 0)  # there is none
    process.stdin.flush()
    assert json.loads(process.stdout.readline())["state"] == "refused"
    _, printed = process.communicate()
    assert {b"hello", b"from C"} <= set(re.findall(b"hello|from C", printed))
