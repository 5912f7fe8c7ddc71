"""`lgbench doctor` never crashes where something is missing or broken: it says what, and what that costs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import whole_runs

from learngene_bench.cli import doctor_machine, doctor_software
from learngene_bench.cli.doctor_findings import Verdict, findings_of
from learngene_bench.cli.main import run_command
from learngene_bench.execution import torch_probe

BROKEN = 'raise OSError("libcudart.so.13: cannot open shared object file")'


@pytest.fixture
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A torch that cannot be imported, for processes that the test starts; its file can be replaced."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "torch.py").write_text(BROKEN)
    return tmp_path / "torch.py"


def test_where_nothing_is_there(broken: Path, tmp_path: Path) -> None:
    for name in ("timm", "torchvision", "scipy", "sklearn", "pandas", "matplotlib", "numpy", "submitit"):
        (tmp_path / f"{name}.py").write_text(BROKEN)
    (tmp_path / "file").touch()
    environment = {"PATH": str(tmp_path), "PYTHONPATH": str(tmp_path), "HOME": "/nowhere", "LGBENCH_CACHE": ""}
    done = subprocess.run(
        [*whole_runs.LGBENCH, "doctor", "--json", "--runs", str(tmp_path / "file" / "runs")],
        capture_output=True,
        text=True,
        env=environment | {"TMPDIR": str(tmp_path), "PYTHONIOENCODING": "ascii"},
    )
    assert done.returncode == 1, done.stderr
    assert done.stderr == ""
    document = json.loads(done.stdout)
    found = {finding["subject"]: finding for finding in document["findings"]}
    assert {subject for subject, finding in found.items() if finding["verdict"] == "fault"} == {"torch", "runs"}
    assert "OSError: libcudart.so.13: cannot open shared object file" in found["torch"]["text"]
    lacking = {subject for subject, finding in found.items() if finding["verdict"] == "lacks"}
    assert lacking >= {"SLURM", "TeX", "git", "cache", "terminal"}
    assert all(finding["meaning"] for finding in document["findings"] if finding["verdict"] != "ok")
    assert document["status"] == 1


def test_what_a_person_sees(
    broken: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "lgbench").mkdir()
    (tmp_path / "lgbench" / "site.toml").write_text('[slurm]\npartitio = "gpu"')
    assert run_command(["doctor"]) == 1
    output = capsys.readouterr().out
    assert "did you mean 'partition'" in " ".join(output.split())
    assert output.splitlines()[-1] == "2 faults: lgbench run fails, or will soon; below each is what to do"
    assert max(map(len, output.splitlines())) <= 80
    assert "…" not in output
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lgbench", "torch.py"]  # it leaves nothing behind


@pytest.mark.parametrize(
    ("code", "limit", "ended"),
    [
        ("import time; time.sleep(60)", 1, "it took longer than 1 second"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", 60, "the process ended with SIGSEGV"),
        ("raise SystemExit('no licence')", 60, "exit status 1: no licence"),
    ],
)
def test_a_torch_that_does_not_return(broken: Path, code: str, limit: float, ended: str) -> None:
    broken.write_text(code)
    assert torch_probe.run(limit) == ([], ended)


def test_no_pair(broken: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "torch-2.12.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: torch\nVersion: 2.12.0\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    (found,) = [one for one in doctor_software.torch() if one.subject == "torchvision"]
    assert found.verdict is Verdict.FAULT
    assert "and torch is 2.12.0" in found.text


def test_a_package_that_is_too_old_or_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "learngene_bench-0.dist-info"
    folder.mkdir()
    asked = "Requires-Dist: pandas>=99\nRequires-Dist: no-such-package\nRequires-Dist: rich>=1\n"
    asked += "Provides-Extra: cloud\nRequires-Dist: also-not-there; extra == 'cloud'\n"
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: learngene-bench\nVersion: 0\n{asked}")
    monkeypatch.syspath_prepend(str(tmp_path))
    found = {one.subject: one for one in doctor_software.packages()}
    assert [one.subject for one in found.values() if one.verdict is Verdict.FAULT] == ["pandas", "no-such-package"]
    assert found["pandas"].text.endswith("is installed, >=99 is needed")
    assert found["extra cloud"].text == "without also-not-there"


def test_an_error_that_no_check_expects() -> None:
    def check() -> Any:
        yield from doctor_machine.tex()
        raise ValueError("strange")

    assert [one.text for one in findings_of("TeX", check)][-1] == "ValueError: strange"


@pytest.mark.slow
def test_the_torch_of_this_environment() -> None:
    """Importing torch in a process of its own takes seconds. What this process holds is not counted."""
    held = b"1" * (2 * doctor_machine.WORKER_NEEDS)
    found = {one.subject: one for one in doctor_software.torch()}
    assert found["torch"].verdict == found["torchvision"].verdict == Verdict.OK
    assert found["torch"].values["version"] == sys.modules["torch"].__version__
    assert found["torch"].values["memory"] < len(held)
    assert ("GPU" in found) != ("GPU 0" in found)
    assert os.environ.get("CUDA_VISIBLE_DEVICES") != "" or found["GPU"].values["count"] == 0
