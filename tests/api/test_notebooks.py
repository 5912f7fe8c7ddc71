"""The notebooks of docs/ run from top to bottom, and show tables and pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")

FOLDER = Path(__file__).parents[2] / "docs" / "notebooks"


def outputs(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch, home: Path) -> list[Any]:
    """Runs a notebook in a folder, and returns all that its cells gave."""
    for variable in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR"):
        monkeypatch.setenv(variable, str(home))
    notebook = nbformat.read(FOLDER / name, as_version=4)
    assert all(not cell.get("outputs") for cell in notebook.cells), "it is kept without outputs"
    resources = {"metadata": {"path": str(folder)}}
    nbclient.NotebookClient(notebook, timeout=300, startup_timeout=300, resources=resources).execute()
    return [output for cell in notebook.cells for output in cell.get("outputs", ())]


def shown(found: list[Any], kind: str) -> list[str]:
    return [output["data"][kind] for output in found if kind in output.get("data", {})]


@pytest.mark.slow
def test_measured_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = outputs("measured-results.ipynb", FOLDER, monkeypatch, tmp_path)
    assert "<td><b>84.2</b>" in shown(found, "text/html")[0]
    assert len(shown(found, "image/png")) == 1
    (error,) = [output for output in found if output["output_type"] == "error"]
    (line,) = error["traceback"]
    assert line.startswith("UserError: unknown grid of these results 'dept': did you mean 'depth'?")


@pytest.mark.slow
def test_run_and_initialize(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = outputs("run-and-initialize.ipynb", tmp_path, monkeypatch, tmp_path)
    assert any("WAVE" in text for text in shown(found, "text/html"))
    assert (tmp_path / "runs-quick").is_dir()
    assert "mimetic" in "".join(output["text"] for output in found if output["output_type"] == "stream").lower()
