"""Code of others cannot end the program unnoticed, and signals reach it as if it had no parent."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from forked import MAIN, Program, run
from whole_runs import PLUGIN, alive, children, wait_until

from learngene_bench.util.supervision import supervised


@pytest.mark.parametrize(("code", "status"), [(0, 1), (3, 3)])
def test_a_plugin_that_ends_the_process_while_it_is_imported_is_no_success(
    tmp_path: Path, code: int, status: int
) -> None:
    plugin = tmp_path / "mine.py"
    plugin.write_text(f"import os\nos._exit({code})\n")
    done = run(MAIN, argv=["plan", "-m", "mine", "--plugin", str(plugin)])
    words = f"lgbench: the process was ended with exit status {code} before the command was done"
    assert (done.returncode, done.stderr) == (status, f"{words}: code of a plugin ends it (os._exit)\n")


def test_a_method_that_ends_the_process_that_computes_inline_is_no_success(tmp_path: Path) -> None:
    plugin, runs = tmp_path / "mine.py", tmp_path / "runs"
    plugin.write_text(PLUGIN.format(body="import os; os._exit(0)"))
    options = ["--executor", "inline", "--set", "grid.depths=[6]", "--runs", str(runs)]
    done = run(MAIN, argv=["run", "--quick", "-m", "mine", "--plugin", str(plugin), *options])
    assert done.returncode == 1
    assert "before the command was done: code of a plugin ends it" in done.stderr
    assert not list(runs.glob("cell/*/result.json"))


def count_signals() -> int:
    """Counts the SIGINT that the child receives until a SIGUSR1 comes."""
    received: list[int] = []

    def work() -> int:
        signal.signal(signal.SIGINT, lambda number, _: received.append(number))
        print("ready", flush=True)
        assert signal.sigtimedwait({signal.SIGUSR1}, 60) is not None
        return len(received)

    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    return supervised(work)


def killed() -> int:
    def work() -> int:
        print("ready", flush=True)
        time.sleep(60)
        return 0

    return supervised(work)


def ready(function: str) -> Program:
    program = Program(f"test_supervision:{function}", path=[Path(__file__).parent])
    assert program.stdout.readline() == "ready\n"
    return program


def to_all(program: Program, number: int) -> None:
    os.killpg(program.pid, number)


@pytest.mark.parametrize("send", [Program.send_signal, to_all])
def test_a_signal_reaches_the_program_once_whoever_receives_it(send: Callable[[Program, int], None]) -> None:
    with ready("count_signals") as program:
        send(program, signal.SIGINT)
        time.sleep(0.5)
        send(program, signal.SIGUSR1)
        assert program.wait(60) == 1


def test_parent_and_child_end_together() -> None:
    with ready("killed") as program:
        (child,) = children(program.pid)
        os.kill(child, signal.SIGKILL)
        assert program.wait(60) == -signal.SIGKILL
    with ready("killed") as program:
        (child,) = children(program.pid)
        program.send_signal(signal.SIGKILL)
        program.wait(60)
        if sys.platform == "linux":
            wait_until(lambda: not alive(child))
