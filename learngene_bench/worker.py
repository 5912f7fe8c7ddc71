"""A worker process: computes one stage after another, as the parent asks.

    python -m learngene_bench.worker RUNS PROCESSES [PLUGIN...]


It reads one JSON object per line (`{"kind": ..., "address": ...}`) and answers with one; `{"stop": true}` makes it
save where it is and answer so. It lives exactly as long as its parent: when its standard input ends, it ends, in the
middle of a stage too, whose checkpoint the next run finds.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from learngene_bench import stopping
from learngene_bench.errors import UserError


def main(arguments: list[str]) -> None:
    answers = os.fdopen(os.dup(1), "w")
    requests: queue.Queue[dict[str, Any]] = queue.Queue()
    threading.Thread(target=_read, args=(requests,), daemon=True).start()

    from learngene_bench.registry import Registry
    from learngene_bench.stages import execute
    from learngene_bench.store import Runs

    runs = Runs(Path(arguments[0]))
    registry = Registry([Path(plugin) for plugin in arguments[2:]])
    while True:
        request = requests.get()
        folder = runs.folder(request["kind"], request["address"])
        try:
            with _output_to(folder.log):
                answer = {"state": execute(runs, request["kind"], request["address"], registry)}
        except UserError as error:
            answer = {"state": "refused", "error": str(error)}
        if not stopping.keeps():  # another process has that stage now
            stopping.forget()
        try:
            print(json.dumps(answer), file=answers, flush=True)
        except BrokenPipeError:  # the parent stopped meanwhile
            os._exit(0)


def _read(requests: queue.Queue[dict[str, Any]]) -> None:
    for line in sys.stdin:
        request = json.loads(line)
        if "stop" in request:
            stopping.ask()
        else:
            requests.put(request)
    os._exit(0)


@contextmanager
def _output_to(log: Path) -> Iterator[None]:
    """Sends what methods and libraries print, also from C, to the stage's log."""
    kept = os.dup(1), os.dup(2)
    with log.open("a") as stream:
        os.dup2(stream.fileno(), 1)
        os.dup2(stream.fileno(), 2)
        try:
            yield
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for number, saved in enumerate(kept, start=1):
                os.dup2(saved, number)
                os.close(saved)


if __name__ == "__main__":
    main(sys.argv[1:])
