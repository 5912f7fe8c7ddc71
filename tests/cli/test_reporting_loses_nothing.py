"""Reporting ends no run: signals, terminals, encodings and backends are those of whoever starts the command."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
from rich.console import Console
from whole_runs import LGBENCH, lgbench_here

from learngene_bench.cli.display import Display
from learngene_bench.config.preset import Compute
from learngene_bench.contracts.executor import RunState
from learngene_bench.execution.inline import InlineExecutor
from learngene_bench.execution.local import LocalExecutor, LocalOptions
from learngene_bench.execution.work import StageWork
from learngene_bench.runs.store import Runs

STOPPING = (signal.SIGTERM, signal.SIGHUP)
EXECUTORS = [LocalExecutor(LocalOptions()), InlineExecutor(InlineExecutor.Options())]


@pytest.fixture
def dispositions() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in STOPPING}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("number", STOPPING)
def test_a_signal_that_is_ignored_stays_ignored(
    executor: LocalExecutor | InlineExecutor, number: signal.Signals, dispositions: None, tmp_path: Path
) -> None:
    """The signal is ignored as under `nohup`, and sent while the run goes on."""
    signal.signal(number, signal.SIG_IGN)
    sent = []

    def watch(state: RunState) -> None:
        sent.append(number)
        os.kill(os.getpid(), number)

    executor.run(StageWork({}, tmp_path, Compute(), on_change=watch))
    assert sent


@pytest.mark.parametrize("executor", EXECUTORS)
def test_a_run_leaves_signals_as_they_were_and_works_in_any_thread(
    executor: LocalExecutor | InlineExecutor, tmp_path: Path
) -> None:
    numbers, seen = (signal.SIGINT, *STOPPING), []
    before = [signal.getsignal(number) for number in numbers]
    work = StageWork({}, tmp_path, Compute(), on_change=lambda state: seen.append(signal.getsignal(signal.SIGTERM)))
    executor.run(work)
    assert [signal.getsignal(number) for number in numbers] == before
    if isinstance(executor, LocalExecutor):  # the other one has no stage here, and handles signals for stages only
        assert seen == [signal.default_int_handler]
    with ThreadPoolExecutor(1) as pool:
        pool.submit(executor.run, work).result(30)


def test_a_terminal_that_is_gone_does_not_stop_the_run(tmp_path: Path) -> None:
    master, slave = os.openpty()
    with suppress(OSError), open(slave, "w") as terminal:  # what is left to write cannot be written when it is closed
        display = Display({}, Runs(tmp_path), Console(file=terminal), plain=True)
        os.close(master)
        with display:
            display.update(RunState({}, stopping=True))
    assert display.is_broken


@pytest.mark.slow
def test_a_report_that_fails_is_one_line_and_is_made_whatever_the_terminal_and_the_notebook_want(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["run", "--quick", "-m", "he", "--executor", "inline", "--runs", str(tmp_path)]
    monkeypatch.setattr("learngene_bench.results.plots.accuracy", lambda *_: 1 / 0)
    failed = lgbench_here(*arguments, status=1)
    assert "Direct" in failed.stdout
    assert "the report failed (ZeroDivisionError: division by zero); the records are complete" in failed.stdout
    assert not list(tmp_path.glob("report/*/*.png"))
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "MPLBACKEND": "module://a.notebook"}
    done = subprocess.run([*LGBENCH, *arguments], capture_output=True, env=environment)
    assert done.returncode == 0, done.stderr + done.stdout
    assert b"Top-1 accuracy" in done.stdout
    assert list(tmp_path.glob("report/*/*.png"))
