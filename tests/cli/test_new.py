"""`lgbench new`: a file that runs and keeps the contract as it is written, and after its own next step."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from learngene_bench.cli.main import run_command
from learngene_bench.conformance.runner import check
from learngene_bench.plugins.registry import Registry


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", ["my-init", "x2", "none"])
def test_what_is_written_keeps_the_contract(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["new", name]) == 0
    path = Path(f"{name.replace('-', '_')}.py")
    assert f"{path} written" in capsys.readouterr().out
    lines = path.read_text().splitlines()
    assert len(lines) < 50
    assert max(map(len, lines)) <= 120
    report = check(Registry([path]).get(name))
    assert {outcome.status for outcome in report.outcomes} == {"passed"}


def test_the_next_step_keeps_the_contract_too() -> None:
    """Adds the gene of the comments, and takes the blocks from it."""
    run_command(["new", "my-init"])
    path = Path("my_init.py")
    lines = path.read_text().splitlines()
    methods = [line.replace("    # ", "    ", 1) for line in lines if line.startswith(("    # def ", "    #     "))]
    imports = [line.removeprefix("    #   ") for line in lines if line.startswith("    #   from ")]
    code = [line for line in lines if not line.startswith("    #")]
    path.write_text("\n".join([*imports, *code, *methods, ""]))
    report = check(Registry([path]).get("my-init"))
    assert {outcome.status for outcome in report.outcomes} == {"passed"}, report
    details = {outcome.check: outcome.detail for outcome in report.outcomes}
    assert details["gene"] == "4 genes saved, loaded and inherited"


@pytest.mark.slow
def test_what_is_written_runs_beside_other_methods(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["new", "my-init", "--output", "own/my_init.py"]) == 0
    command = [
        "run",
        "--executor",
        "inline",
        "--plugin",
        "own/my_init.py",
        "--method",
        "my-init,he",
        "--grid",
        "depth",
        "--quick",
    ]
    assert run_command(command) == 0
    assert "My Init" in capsys.readouterr().out
    assert len(list(Path("runs-quick/cell").iterdir())) == 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["My-Init"], "method name 'My-Init': lower-case letters, digits and single hyphens, as in my-init"),
        (["my--init"], "method name 'my--init': lower-case letters"),
        (["../my"], "method name '../my': lower-case letters"),
        (["wave"], "method name 'wave' is taken (taken: all, "),
        (["all"], "method name 'all' is taken"),
        (["mine", "-o", "mine.txt"], "mine.txt: a plugin is a Python file, so its name must end in .py"),
        (["mine", "-o", "there.py"], "there.py exists already; choose another name, or --output FILE"),
        (["mine", "-o", "there.py/mine.py"], "there.py/mine.py: cannot be written"),
    ],
)
def test_mistakes(capsys: pytest.CaptureFixture[str], arguments: list[str], message: str) -> None:
    Path("there.py").write_text("mine")
    assert run_command(["new", *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 1
    assert [path.name for path in Path().iterdir()] == ["there.py"]
    assert Path("there.py").read_text() == "mine"


@pytest.mark.parametrize("arguments", [["new", "my-init"], ["check", "--help"], ["export", "--help"]])
def test_no_torch_is_imported(arguments: list[str]) -> None:
    code = (
        "import sys\nfrom learngene_bench.cli.main import run_command\n"
        "run_command(sys.argv[1:])\nprint('torch' in sys.modules, 'timm' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False False"
