"""The executor `inline`: a method is computed in the process of the command, where a debugger works."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
from pathlib import Path

import pytest
from forked import MAIN, Program
from whole_runs import PLUGIN, lgbench, lgbench_here, short_preset, wait_until, words

pytestmark = pytest.mark.slow

INLINE = ["--executor", "inline"]


def test_a_breakpoint_in_a_method_opens_the_debugger_on_the_terminal(tmp_path: Path) -> None:
    plugin, runs = tmp_path / "mine.py", tmp_path / "runs"
    plugin.write_text(
        PLUGIN.format(body="breakpoint()\n            model.head.bias.data.fill_(self.bias)\n    bias = 0.01")
    )
    arguments = ["run", "--quick", "-m", "mine", "--plugin", str(plugin), "--runs", str(runs), *INLINE]
    terminal, side = pty.openpty()
    with Program(MAIN, argv=arguments, files=(side, side, side)) as process:
        os.close(side)
        text = _read_until(terminal, "(Pdb) ")
        assert "model.head.bias.data.fill_" in text
        os.write(terminal, b"p target.depth\n")
        assert re.search(r"\b6\b", _read_until(terminal, "(Pdb) "))
        os.write(terminal, b"continue\n")
        rest = _read_until(terminal, None)
        assert process.wait(60) == 0, rest
    os.close(terminal)
    assert len(list(runs.glob("cell/*/result.json"))) == 2


def test_to_leave_the_debugger_stops_the_run(tmp_path: Path) -> None:
    plugin, runs = tmp_path / "mine.py", tmp_path / "runs"
    plugin.write_text(PLUGIN.format(body="breakpoint(); pass"))
    arguments = ["run", "--quick", "-m", "mine", "--plugin", str(plugin), "--runs", str(runs), *INLINE]
    with Program(MAIN, argv=arguments) as process:
        output, error = process.communicate("quit\n")
    assert process.returncode == 130, output + error
    assert not list(runs.glob("cell/*/failed.json"))


def _read_until(terminal: int, end: str | None) -> str:
    """Reads what the terminal shows, up to a text or to the end of the program."""
    text = ""
    while end is None or not text.endswith(end):
        assert select.select([terminal], [], [], 120)[0], text
        try:
            text += os.read(terminal, 4096).decode()
        except OSError:  # the other side is closed
            assert end is None, text
            return text
        if end is None and not text:
            return text
    return text


def test_debug_shows_the_traceback_of_a_method(tmp_path: Path) -> None:
    plugin = tmp_path / "mine.py"
    plugin.write_text(PLUGIN.format(body="print('from the method'); raise ValueError('too deep')"))
    arguments = ["run", "--quick", "-m", "mine", "--plugin", str(plugin), "--runs", str(tmp_path / "runs"), *INLINE]
    plain = lgbench_here(*arguments, status=1)
    assert "from the method" in plain.stdout
    assert "Traceback" not in plain.stdout + plain.stderr
    shown = lgbench_here(*arguments, "--retry-failed", "--debug", status=1)
    assert 'mine.py", line' in shown.stdout
    assert "ValueError: too deep" in shown.stdout


def test_ctrl_c_saves_and_the_same_command_continues(tmp_path: Path) -> None:
    preset = short_preset(tmp_path)
    preset.write_text(preset.read_text().replace("checkpoint_seconds = 0.05", "checkpoint_seconds = 1000"))
    runs = tmp_path / "runs"
    arguments = [*words(preset, runs, "-m", "he"), *INLINE, "--set", "finetuning.epochs=2000"]
    with Program(MAIN, argv=arguments) as process:
        wait_until(lambda: any(step(path) > 0 for path in runs.glob("cell/*/progress.json")), 120)
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert error.splitlines()[-1] == "lgbench: stopped; run the same command again to continue"
    assert list(runs.glob("cell/*/checkpoints/finetuning.pt"))
    assert "interrupted" in lgbench("status", "--runs", str(runs)).stdout


def step(progress: Path) -> int:
    try:
        return int(json.loads(progress.read_text())["step"])
    except (OSError, ValueError):
        return 0
