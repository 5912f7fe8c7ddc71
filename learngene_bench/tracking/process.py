"""The process of a tracker: whatever the tracker does, the process that trains does not notice.

    python -m learngene_bench.tracking.process NAME FOLDER

It reads one JSON object per line: `{"begin": STAGE}`, `{"phase": ..., "points": [[STEP, VALUES], ...]}`,
`{"end": OUTCOME}`. It ends after its input has ended, at the latest `PARTING` later. An error of the tracker ends the
tracking of that stage, a tracker that takes longer than `PATIENCE` for one call ends the process: either is reported.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from learngene_bench.contracts.tracker import StageOutcome, TrackedStage, usable_tracker
from learngene_bench.tracking.problems import report_problem
from learngene_bench.tracking.run import TrackedRun
from learngene_bench.util import signals
from learngene_bench.util.errors import describe_error, first_line
from learngene_bench.util.streams import accept_any_text

PATIENCE = float(os.environ.get("LGBENCH_TRACKER_PATIENCE", "300"))
"""Seconds that a tracker may take to open a run, to log a point, or to close the run."""
PARTING = 120.0
"""Seconds that it has for what is left once the run has ended."""
NICENESS = 5
"""Added to the niceness of the process: training comes first."""


class _Process:
    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.folder = name, folder
        self.messages: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self.run: TrackedRun | None = None
        self.label = ""
        self.busy_since = self.ended = float("inf")

    def main(self) -> None:
        threading.Thread(target=self._read, daemon=True).start()
        threading.Thread(target=self._watch, daemon=True).start()
        while (message := self.messages.get()) is not None:
            self.busy_since = time.monotonic()
            try:
                self._handle(message)
            except (Exception, SystemExit) as error:
                self.run = None
                self._report(_in_words(error))
            self.busy_since = float("inf")
        with suppress(Exception, SystemExit):  # a run that is left is of a process that was killed
            self._close("stopped")

    def _handle(self, message: dict[str, Any]) -> None:
        if "begin" in message:
            self._close("stopped")
            self.label = message["begin"]["label"]
            self.run = TrackedRun(usable_tracker(self.name)(), self.folder, TrackedStage(**message["begin"]))
        elif self.run and "points" in message:
            self.run.log(message["phase"], message["points"])
        elif self.run and "end" in message:
            self._close(message["end"])

    def _close(self, outcome: StageOutcome) -> None:
        run, self.run = self.run, None
        if run:
            run.close(outcome)

    def _read(self) -> None:
        for line in os.fdopen(os.dup(0), encoding="utf-8"):
            self.messages.put(json.loads(line))
        self.ended = time.monotonic()
        self.messages.put(None)

    def _watch(self) -> None:
        while True:
            time.sleep(min(1.0, PATIENCE / 4))
            now = time.monotonic()
            if now > self.busy_since + PATIENCE:
                self._report(f"it has not answered for {PATIENCE:g} s")
                os._exit(1)
            if now > self.ended + PARTING:
                self._report(f"it has not taken everything {PARTING:g} s after the run")
                os._exit(1)

    def _report(self, text: str) -> None:
        report_problem(self.folder, self.name, self.label, text)
        with suppress(Exception):
            print(f"{self.label}: {text}", file=sys.stderr, flush=True)


def _in_words(error: BaseException) -> str:
    return first_line(error) if type(error).__name__ == "UserError" else describe_error(error)


def main(arguments: list[str]) -> None:
    signals.ignore()
    accept_any_text("utf-8")
    with suppress(OSError):
        os.nice(NICENESS)
    _Process(arguments[0], Path(arguments[1])).main()


if __name__ == "__main__":
    main(sys.argv[1:])
