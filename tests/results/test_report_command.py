from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from learngene_bench.cli.main import _status


def report(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    status = _status(["report", *arguments])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_the_comparison_stands_after_the_tables(budgets: Any, capsys: pytest.CaptureFixture[str]) -> None:
    for extra in ((), ("--format", "markdown")):
        _, plain, _ = report(capsys, str(budgets.folder), *extra)
        status, compared, error = report(capsys, str(budgets.folder), "--compare", "published", *extra)
        assert (status, error) == (0, "")
        assert compared.startswith(plain)
        assert "beside the paper" in compared[len(plain) :]


def test_csv_holds_the_comparison_instead(budgets: Any, capsys: pytest.CaptureFixture[str]) -> None:
    _, text, _ = report(capsys, str(budgets.folder), "--compare", "published", "--format", "csv")
    found = [row for row in csv.DictReader(io.StringIO(text)) if (row["method"], row["size"]) == ("he", "micro")]
    assert [row["equal_budget_iterations"] for row in found] == ["", "245"]
    assert [float(row["mean"]) for row in found] == pytest.approx([83.2, 86.2])


def test_json_holds_it_as_well(budgets: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    _, text, _ = report(capsys, str(budgets.folder), "--compare", "published", "--format", "json")
    document = json.loads(text)
    assert [item["size"] for item in document.pop("comparisons")] == ["micro", "s", "micro", "s"]
    report(capsys, str(budgets.folder), "--format", "json", "-o", str(tmp_path / "plain.json"))
    assert json.loads((tmp_path / "plain.json").read_text()) == document


def test_the_paper_has_no_accuracies_as_initialized(budgets: Any, capsys: pytest.CaptureFixture[str]) -> None:
    status, _, error = report(capsys, str(budgets.folder), "--compare", "published", "--metric", "top1_initial")
    assert status == 2
    assert len(error.splitlines()) == 1
    assert "--metric top1" in error


@pytest.mark.parametrize(("arguments", "heavy"), [([], set()), (["--compare", "published"], {"numpy", "scipy"})])
def test_only_the_comparison_loads_scipy(budgets: Any, arguments: list[str], heavy: set[str]) -> None:
    code = (
        "import sys\n"
        "from learngene_bench.cli.main import _status\n"
        f"_status(['report', {str(budgets.folder)!r}, *{arguments!r}])\n"
        "print({'torch', 'numpy', 'pandas', 'scipy', 'matplotlib'} & set(sys.modules), file=sys.stderr)\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert eval(ran.stderr) == heavy
