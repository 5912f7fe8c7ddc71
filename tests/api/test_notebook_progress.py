"""Progress in a notebook: one output that changes in place if a person executes the cell; it never stops a run."""

from __future__ import annotations

import io
import json
import time
from pathlib import Path
from typing import Any

import pytest
from recorded_runs import recorded
from rich.console import Console, RenderableType
from rich.text import Text

from learngene_bench.api.notebook import NotebookPanel, in_notebook, is_watched, rendered
from learngene_bench.cli.display import Display
from learngene_bench.contracts.executor import RunState


class Shown:
    """A panel that keeps what it is given."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def start(self) -> None: ...

    def update(self, renderable: RenderableType, *, refresh: bool = False) -> None:
        self.texts.append(rendered(renderable)["text/plain"])

    def stop(self) -> None: ...


def test_the_panel_has_what_runs_its_pace_and_the_time_left(tmp_path: Path) -> None:
    made, panel, output = recorded(tmp_path / "runs", "he"), Shown(), io.StringIO()
    stages = dict(made.plan.stages)
    running, ended, *_ = stages
    progress = {"phase": "finetune", "step": 40, "steps": 100, "epoch": 2.0, "epochs": 5.0, "metrics": {"top1": 34.5}}
    path = made.file(stages[running], "progress.json")
    path.write_text(json.dumps({**progress, "seconds_left": 30.0, "time": time.time()}))
    with Display(stages, made.runs, Console(file=output), panel=panel) as display:
        display.started -= 100.0
        display.update(RunState(stages, done={ended}, running={running}))
    (text,) = panel.texts
    assert stages[running].label in text
    assert "finetune 2.0/5.0 top1 34.5" in text
    assert "2 steps/s" in text
    assert f"done: {stages[ended].label}" in text
    assert "1 of 4 stages, 2 min, about " in text
    assert text.rstrip().endswith("left")
    display.update(RunState(stages, done=set(stages)))
    assert panel.texts[-1].rstrip().endswith("4 of 4 stages, 2 min")
    assert output.getvalue() == ""


def test_names_of_others_are_text() -> None:
    shown = rendered(Text("<script>\x1b[2J"))
    assert "<script>" not in shown["text/html"]
    assert "\x1b" not in "".join(shown.values())


def test_a_panel_that_fails_stops_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = recorded(tmp_path / "runs", "he")
    stages = dict(made.plan.stages)

    class Broken(Shown):
        def update(self, renderable: RenderableType, *, refresh: bool = False) -> None:
            raise RuntimeError("no front end")

        def stop(self) -> None:
            raise RuntimeError("no front end")

    with Display(stages, made.runs, Console(file=io.StringIO()), panel=Broken()) as display:
        for _ in range(2):
            display.update(RunState(stages, running={next(iter(stages))}))
    assert capsys.readouterr().err == "lgbench: the display failed (RuntimeError: no front end); the run goes on\n"


def test_outside_of_a_notebook_nobody_watches_one() -> None:
    assert (in_notebook(), is_watched()) == (False, False)
    NotebookPanel().stop()  # nothing was shown, and IPython is not asked for


CELL = """
import learngene_bench as lb
found = lb.run("he", settings={{"grid.depths": [{depth}]}}, quick=True, executor="inline", runs="runs")
assert {{*found.cells["state"]}} == {{"done"}}
"""


def printed(outputs: list[Any], stream: str) -> str:
    """All that a cell has printed to a stream."""
    return "".join(output.text for output in outputs if output.get("name") == stream)


@pytest.mark.slow
def test_a_cell_shows_progress_only_to_a_person(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cells of one kernel: executed by a program, by a person, and by a person whose front end shows nothing."""
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    for variable in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR"):
        monkeypatch.setenv(variable, str(tmp_path / "home"))
    broken = "import IPython.display\nIPython.display.display = None"
    codes = [CELL.format(depth=4), CELL.format(depth=6), broken + CELL.format(depth=8)]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code) for code in codes])
    resources = {"metadata": {"path": str(tmp_path)}}
    client = nbclient.NotebookClient(notebook, timeout=None, startup_timeout=600, resources=resources)
    with client.setup_kernel():
        for index, cell in enumerate(notebook.cells):
            client.kc.allow_stdin = index > 0  # as a front end with a person before it
            client.execute_cell(cell, index)
    unseen, seen, failed = (cell.outputs for cell in notebook.cells)
    assert {output.output_type for output in (*unseen, *failed)} == {"stream"}
    assert "1/1 he micro depth 4 seed 0" in printed(unseen, "stdout")
    (output,) = (output for output in seen if output.output_type != "stream")
    assert output.output_type == "display_data"
    assert "1 of 1 stages" in output.data["text/plain"]
    assert "done: he micro depth 6 seed 0" in output.data["text/html"]
    assert "he micro" not in printed(seen, "stdout")
    text = "the display failed (TypeError: 'NoneType' object is not callable); the run goes on"
    assert text in printed(failed, "stderr")
