"""Parts of a measurement, each in a process of its own with a time limit; what a part finds is written as it comes.

A part is a function that adds findings to a `Report`. A finding is one line of a file of JSON lines, on the disk before
the part goes on. So a part that crashes, hangs or is killed loses nothing of the others, and nothing that it had found.
"""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

Verdict = Literal["", "ok", "wrong", "skipped"]
"""Empty for what is only measured."""
GRACE = 10.0
"""Seconds that a killed process has to vanish; one that hangs in a driver may never do so."""
LAST_LINES = 12
"""Number of lines of a part's output that are kept if it did not end well."""


@dataclass(frozen=True)
class Part:
    """One part of a measurement.

    Attributes:
        seconds: time limit, the start of the process included.
    """

    name: str
    title: str
    seconds: float


@dataclass
class Finding:
    """One line of a part's result.

    Attributes:
        what: what was measured or compared.
        values: numbers and words by the name of their column.
        note: one sentence for whoever reads the table.
    """

    what: str
    values: dict[str, Any] = field(default_factory=dict)
    verdict: Verdict = ""
    note: str = ""


@dataclass
class Outcome:
    """The result of a part.

    Attributes:
        ended: how its process ended if not well: a signal, a limit, an exit status; else empty.
        output: last lines that it printed, if it did not end well.
    """

    part: Part
    ended: str
    seconds: float
    findings: list[Finding]
    output: list[str] = field(default_factory=list)

    @property
    def fine(self) -> bool:
        """True if the process ended well and nothing that it found is wrong."""
        return not self.ended and all(finding.verdict != "wrong" for finding in self.findings)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_dict(values: dict[str, Any]) -> Outcome:
        """Reads what `as_dict` gives."""
        findings = [Finding(**finding) for finding in values["findings"]]
        return Outcome(**{**values, "part": Part(**values["part"]), "findings": findings})


class Report:
    """The findings of the part that this process is, written to a file line by line.

    Args:
        seconds: limit of the part, counted from now.
    """

    def __init__(self, path: Path, part: str, seconds: float = math.inf) -> None:
        self.path, self.part, self.end = path, part, time.monotonic() + seconds

    def add(self, what: str, values: Mapping[str, Any] | None = None, *, verdict: Verdict = "", note: str = "") -> None:
        """Adds a finding; its line is on the disk when this returns. Values that are None are left out."""
        known = {name: _plain(value) for name, value in (values or {}).items() if value is not None}
        finding = Finding(what, known, verdict, note)
        with self.path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps({"part": self.part, **asdict(finding)}) + "\n")
            stream.flush()
            os.fsync(stream.fileno())

    def seconds_left(self) -> float:
        """Returns the time until the limit, of which a part should keep something back."""
        return self.end - time.monotonic()

    def tried(self, what: str, work: Callable[[], None]) -> None:
        """Does work; an exception is a finding, and the part goes on."""
        try:
            work()
        except Exception as error:
            first = (str(error).strip().splitlines() or [""])[0]
            self.add(what, verdict="wrong", note=f"{type(error).__name__}: {first}"[:300])


def _plain(value: Any) -> Any:
    """Returns what JSON can hold: NaN and infinity as words, four digits of other fractions."""
    if not isinstance(value, float):
        return value
    return float(f"{value:.4g}") if math.isfinite(value) else str(value)


def run(part: Part, command: Sequence[str], lines: Path) -> Outcome:
    """Runs a part as a process and waits until it ends or its limit is over.

    Args:
        command: gets `--part NAME --limit SECONDS --lines FILE` at its end.
        lines: file that the process adds its findings to, after those of other parts.
    """
    before = lines.stat().st_size if lines.exists() else 0
    started = time.monotonic()
    whole = [*command, "--part", part.name, "--limit", f"{part.seconds:g}", "--lines", str(lines)]
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            whole, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            process.wait(part.seconds)
            ended = _how_it_ended(process.returncode)
        except subprocess.TimeoutExpired:
            ended = f"stopped at its limit of {part.seconds:g} s"
        finally:
            _end(process)
        output.seek(0)
        printed = output.read().decode("utf-8", "replace").splitlines() if ended else []
    findings = read_findings(lines, before)
    return Outcome(part, ended, round(time.monotonic() - started, 1), findings, printed[-LAST_LINES:])


def _how_it_ended(status: int) -> str:
    if status < 0:
        return f"ended by {signal.Signals(-status).name}"
    return f"exit status {status}" if status else ""


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends the process with all that it started, its process group."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    with suppress(subprocess.TimeoutExpired):
        process.wait(GRACE)


def read_findings(lines: Path, start: int = 0) -> list[Finding]:
    """Reads the findings from a byte of the file on; a line that was cut off by a kill is left out."""
    if not lines.exists():
        return []
    found = []
    for line in lines.read_bytes()[start:].splitlines():
        with suppress(ValueError):
            values = json.loads(line)
            values.pop("part")
            found.append(Finding(**values))
    return found


def this_program() -> list[str]:
    """Returns the command of this script with its own options, for processes that compute its parts."""
    return [sys.executable, *sys.argv]
