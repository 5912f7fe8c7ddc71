"""A program that computes one stage: alone, or as one of several processes that torchrun starts.

    python -m learngene_bench.execution.rank RUNS KIND ADDRESS [PLUGIN...]
    torchrun --nproc-per-node 2 -m learngene_bench.execution.rank RUNS KIND ADDRESS [PLUGIN...]

Rank 0 prints one line of JSON to standard output, `{"state": ...}`, with an `error` for the last two of:

    done, failed    its folder says the rest
    busy            another run computes it
    stopped         SIGTERM or SIGINT asked for it; a checkpoint is saved
    died            a process was killed, hangs, or failed alone; only the last checkpoint is left
    refused         something that the user must put right

With `--tied` other lines come before it, for `learngene_bench.distributed.launch`: `{"come": RANK}` of each process
that has started, and `{"met": true}` once all of them have met. Everything else is printed to standard error. Exit
status of each process: 1 for died, 2 for refused, else 0.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any, TextIO

from learngene_bench.distributed.coordination import LostProcess
from learngene_bench.distributed.world import join
from learngene_bench.schema.constants import STAGE_KINDS
from learngene_bench.util import interrupt
from learngene_bench.util.errors import UserError
from learngene_bench.util.signals import end_with_parent
from learngene_bench.util.streams import accept_any_text


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="learngene_bench.execution.rank")
    parser.add_argument("--tied", action="store_true", help="end when standard input ends")
    parser.add_argument("runs", type=Path)
    parser.add_argument("kind", choices=STAGE_KINDS)
    parser.add_argument("address")
    parser.add_argument("plugins", type=Path, nargs="*")
    options = parser.parse_args(arguments)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    accept_any_text("utf-8")
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: interrupt.request_stop())
    rank = int(os.environ.get("RANK", "0"))
    if options.tied:
        end_with_parent()
        threading.Thread(target=_end_with_input, daemon=True).start()
        _say({"come": rank}, answers)
    try:
        join()
        if options.tied and rank == 0:
            _say({"met": True}, answers)
        state, error = _compute(options.runs, options.kind, options.address, options.plugins)
    except UserError as refusal:
        state, error = "refused", str(refusal)
    if error:
        print(error, file=sys.stderr)
    if rank == 0:
        _say({"state": state, **({"error": error} if error else {})}, answers)
    return {"died": 1, "refused": 2}.get(state, 0)


def _say(message: dict[str, Any], answers: TextIO) -> None:
    """Writes one line, whole: all processes of a stage share the pipe."""
    print(json.dumps(message), file=answers, flush=True)


def _compute(runs: Path, kind: str, address: str, plugins: list[Path]) -> tuple[str, str]:
    """Returns the outcome of the stage, and the error if a process was lost.

    Raises:
        UserError: something that the user must put right.
    """
    from learngene_bench.execution.stages import execute
    from learngene_bench.plugins.registry import Registry
    from learngene_bench.runs.store import Runs

    try:
        return execute(Runs(runs), kind, address, Registry(plugins)), ""
    except LostProcess as error:
        return "died", str(error)


def _end_with_input() -> None:
    while os.read(0, 1):
        pass
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
