"""The tests of the suite that need a GPU: those with pytest's marker `gpu`."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

from supervised import Report, Verdict

from gpu_parts.plan import Settings

ROOT = Path(__file__).parents[2]
MARKER = "mark.gpu"


def measure(settings: Settings, report: Report) -> None:
    files = [str(path) for path in sorted((ROOT / "tests").rglob("test_*.py")) if MARKER in path.read_text("utf-8")]
    if importlib.util.find_spec("pytest") is None:
        report.add(f"{len(files)} files of tests", verdict="skipped", note="pytest is not installed")
        return
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder) / "results.xml"
        command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", f"--junit-xml={results}", *files]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        if not results.exists():
            report.add("pytest", verdict="wrong", note=(done.stdout + done.stderr).strip()[-300:])
            return
        for name, verdict, note, seconds in outcomes(results):
            report.add(name, {"seconds": seconds}, verdict=verdict, note=note)


def outcomes(results: Path) -> Iterator[tuple[str, Verdict, str, float]]:
    """Yields name, verdict, reason and seconds of each test of a JUnit file."""
    for case in ElementTree.parse(results).getroot().iter("testcase"):
        verdict: Verdict = "ok"
        note = ""
        for child in case:
            if child.tag in ("failure", "error", "skipped"):
                verdict = "skipped" if child.tag == "skipped" else "wrong"
                note = (child.get("message") or "").splitlines()[0][:300]
        yield f"{case.get('classname', '')}::{case.get('name')}", verdict, note, float(case.get("time", 0))
