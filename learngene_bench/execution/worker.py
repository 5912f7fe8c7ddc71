"""A worker process: computes one stage after another, as its parent asks.

    python -m learngene_bench.execution.worker RUNS PROCESSES [PLUGIN...]

It reads one JSON object per line (`{"kind": ..., "address": ...}`) and answers with one, an `Outcome`. `{"stop": true}`
makes it save a checkpoint and answer "stopped". `{"waiting": ...}` may come before the answer: one line that says for
what the stage waits. It lives exactly as long as its parent: it ends when its standard input
ends, in the middle of a stage too, whose checkpoint the next run finds. Nothing else is written to its standard output:
what is printed outside of a stage, as by a plugin that is imported, goes to the log of the workers.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from learngene_bench.tracking.processes import part_with_trackers
from learngene_bench.util import interrupt, signals
from learngene_bench.util.errors import UserError
from learngene_bench.util.files import open_log
from learngene_bench.util.streams import accept_any_text

if TYPE_CHECKING:
    from learngene_bench.runs.store import Runs

Compute = Callable[[str, str], dict[str, Any]]
"""Computes a stage, by kind and address, and returns the fields of an `Outcome`."""


def main(arguments: list[str]) -> None:
    signals.ignore()
    signals.end_with_parent()
    accept_any_text("utf-8")
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    requests: queue.Queue[dict[str, Any]] = queue.Queue()
    threading.Thread(target=_read, args=(requests,), daemon=True).start()

    from learngene_bench.runs.store import Runs

    runs, processes = Runs(Path(arguments[0])), int(arguments[1])
    plugins = [Path(plugin) for plugin in arguments[2:]]
    compute = _alone(runs, plugins) if processes == 1 else _with_others(runs, plugins, processes, answers)
    while True:
        request = requests.get()
        folder = runs.folder(request["kind"], request["address"])
        try:
            with output_to(folder.log):
                answer = compute(request["kind"], request["address"])
        except UserError as error:
            answer = {"state": "refused", "error": str(error)}
        if not interrupt.should_save():  # another process has that stage now
            interrupt.reset()
        try:
            print(json.dumps(answer), file=answers, flush=True)
        except BrokenPipeError:  # the parent stopped meanwhile
            os._exit(0)


def _alone(runs: Runs, plugins: list[Path]) -> Compute:
    from learngene_bench.execution.stages import execute
    from learngene_bench.plugins.registry import Registry

    registry = Registry(plugins)
    return lambda kind, address: {"state": execute(runs, kind, address, registry)}


def _with_others(runs: Runs, plugins: list[Path], processes: int, answers: TextIO) -> Compute:
    """Starts the processes that compute; this one never imports torch."""
    from learngene_bench.distributed import launch

    def say(line: str) -> None:
        print(line, file=sys.stderr, flush=True)
        with suppress(BrokenPipeError):  # the parent stopped, which the answer meets too
            print(json.dumps({"waiting": line}), file=answers, flush=True)

    return lambda kind, address: launch(processes, runs.root, kind, address, plugins, say)


def _read(requests: queue.Queue[dict[str, Any]]) -> None:
    # Not sys.stdin, which a forked process closes: it would wait forever for the lock that this thread holds.
    for line in os.fdopen(os.dup(0)):
        request = json.loads(line)
        if "stop" in request:
            interrupt.request_stop()
        else:
            requests.put(request)
    part_with_trackers()
    os._exit(0)


@contextmanager
def output_to(log: Path) -> Iterator[None]:
    """Redirects the output of methods and libraries, also from C, to the stage's log."""
    saved = os.dup(1), os.dup(2)
    with open_log(log) as stream:
        os.dup2(stream.fileno(), 1)
        os.dup2(stream.fileno(), 2)
        try:
            yield
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for number, copy in enumerate(saved, start=1):
                os.dup2(copy, number)
                os.close(copy)


if __name__ == "__main__":
    main(sys.argv[1:])
