"""Parts of a measurement in processes of their own: a crash, a hang or a kill loses nothing that was found before."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest
import supervised
from supervised import Finding, Outcome, Part, Report
from whole_runs import alive

PROGRAM = """
import argparse, os, pathlib, signal, subprocess, sys, time
sys.path.insert(0, {benchmarks!r})
from supervised import Report
parser = argparse.ArgumentParser()
for name in ("--part", "--limit", "--lines"):
    parser.add_argument(name)
options = parser.parse_args()
report = Report(pathlib.Path(options.lines), options.part, float(options.limit))
report.add("first", {{"ms": 1.5, "rate": float("nan")}})
print("a word before the end")
match options.part:
    case "hangs":
        child = subprocess.Popen(["sleep", "600"])
        report.add("child", {{"pid": child.pid}})
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(600)
    case "crashes":
        os.kill(os.getpid(), signal.SIGSEGV)
    case "raises":
        raise ArithmeticError("a product is wrong")
    case "tries":
        report.tried("work", lambda: 1 / 0)
report.add("last", verdict="ok")
"""


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM.format(benchmarks=str(Path(supervised.__file__).parent)))
    return [sys.executable, str(program)]


def test_no_part_loses_what_another_found(command: list[str], tmp_path: Path) -> None:
    lines = tmp_path / "findings.jsonl"
    names = {"crashes": 60.0, "hangs": 3.0, "raises": 60.0, "tries": 60.0}
    started = time.monotonic()
    outcomes = {name: supervised.run(Part(name, name, limit), command, lines) for name, limit in names.items()}
    assert time.monotonic() - started < 120
    assert {name: outcome.ended for name, outcome in outcomes.items()} == {
        "crashes": "ended by SIGSEGV",
        "hangs": "stopped at its limit of 3 s",
        "raises": "exit status 1",
        "tries": "",
    }
    for outcome in outcomes.values():
        assert outcome.findings[0] == Finding("first", {"ms": 1.5, "rate": "nan"})
        assert not outcome.fine
    assert outcomes["raises"].output[-1] == "ArithmeticError: a product is wrong"
    tried, last = outcomes["tries"].findings[1:]
    assert tried == Finding("work", {}, "wrong", "ZeroDivisionError: division by zero")
    assert last.verdict == "ok"
    assert len(supervised.read_findings(lines)) == 7


def test_all_that_a_part_started_ends_with_it(command: list[str], tmp_path: Path) -> None:
    outcome = supervised.run(Part("hangs", "", 3.0), command, tmp_path / "findings.jsonl")
    child = outcome.findings[1].values["pid"]
    limit = time.monotonic() + 20
    while alive(child):
        assert time.monotonic() < limit
        time.sleep(0.05)


def test_a_line_that_a_kill_cut_off_is_left_out(tmp_path: Path) -> None:
    lines = tmp_path / "findings.jsonl"
    Report(lines, "one").add("whole")
    with lines.open("a") as stream:
        stream.write('{"part": "one", "what": "ha')
    assert supervised.read_findings(lines) == [Finding("whole")]


def test_an_outcome_survives_json() -> None:
    outcome = Outcome(Part("one", "One", 3.0), "ended by SIGKILL", 2.5, [Finding("a", {"b": 1}, "ok", "c")], ["d"])
    assert Outcome.from_dict(outcome.as_dict()) == outcome
