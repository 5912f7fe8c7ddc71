"""Tutorials work: every command and every line of Python in docs/tutorials is run, from the first to the last."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import whole_runs

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "tutorials"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
SHORT = {
    "teacher.recipe.epochs": "0.5",
    "condensation.epochs": "0.2",
    "inheritance.iterations": "4",
    "finetuning.epochs": "0.2",
    "grid.depths": "[4,6]",
}
"""Settings by which a run of minutes takes seconds; a tutorial's own settings stay."""
MADE = {
    "check-a-number": ["leaderboard.html", "reruns/*/cell/*/result.json"],
    "cluster": ["runs-quick/cell/*/result.json"],
    "laptop-hour": ["figures/*.pdf", "report/report.html", "reruns/*/cell/*/result.json"],
    "own-images": ["images/digit-9/049.png", "model.safetensors"],
    "own-initializer": ["my_init.py", "runs/cell/*/result.json"],
    "own-timm-model": ["initialized.pt", "runs/gene/*/tensors.safetensors"],
    "paper": ["depth.tex", "numbers.tex", "figures/*.pdf", "appendix/appendix.tex", "appendix/references.bib"],
}
"""Files that there are after a tutorial."""
OTHER_MACHINE = ["check-a-number"]
"""Tutorials that compute a number of another machine again, which may differ by rounding (exit status 1)."""
STATUS = {"doctor": {0, 1}, "retry": {2}}
"""Exit statuses of commands that depend on the machine, or that have nothing to do as nothing fails."""


def lines(block: str) -> Iterator[str]:
    """Yields the commands of a block of shell, without comments."""
    for line in block.replace("\\\n", " ").splitlines():
        if command := shlex.join(shlex.split(line, comments=True)):
            yield command


def shortened(words: list[str]) -> list[str]:
    """Makes a run short, and lets it compute in this process."""
    if words[0] != "run" or "--dry-run" in words:
        return words
    given = {word.partition("=")[0] for word in words}
    settings = () if "--quick" in words else [f"{key}={value}" for key, value in SHORT.items() if key not in given]
    return [*words, *(word for setting in settings for word in ("--set", setting)), "--executor", "inline"]


def follow(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Runs all blocks of a tutorial in the working folder."""
    names: dict[str, Any] = {"__name__": name}
    for kind, block in BLOCK.findall((FOLDER / f"{name}.md").read_text(encoding="utf-8")):
        if file := re.match(r"# (\w+\.py)\n", block):
            Path(file[1]).write_text(block)
        elif kind == "python":
            exec(compile(block, f"{name}.md", "exec"), names)
            capsys.readouterr()
        elif kind == "toml":
            site = Path(".config/lgbench/site.toml")
            site.parent.mkdir(parents=True)
            site.write_text(block)
        else:
            assert kind == "sh", f"who runs {kind}?"
            for command in lines(block):
                run(name, shlex.split(command))


def run(name: str, words: list[str]) -> None:
    if words[0] != "lgbench":
        subprocess.run(words, check=True)
        return
    allowed = {0, 1} if words[1] == "rerun" and name in OTHER_MACHINE else STATUS.get(words[1], {0})
    done = whole_runs.lgbench_here(*shortened(words[1:]), status=None)
    assert done.returncode in allowed, done.stderr + done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("name", MADE)
def test_a_tutorial_can_be_followed(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    (tmp_path / "results").symlink_to(ROOT / "results")
    follow(name, capsys)
    assert [pattern for pattern in MADE[name] if not list(tmp_path.glob(pattern))] == []


def test_every_tutorial_is_followed() -> None:
    assert {page.stem for page in FOLDER.glob("*.md")} == set(MADE)


def test_runs_are_short_but_what_a_tutorial_says_stays() -> None:
    words = shortened(["run", "--set", "finetuning.epochs=6"])
    assert words[:3] == ["run", "--set", "finetuning.epochs=6"]
    assert "finetuning.epochs=0.2" not in words
    assert "condensation.epochs=0.2" in words
    assert shortened(["run", "--quick"]) == ["run", "--quick", "--executor", "inline"]
    assert shortened(["report"]) == ["report"]
