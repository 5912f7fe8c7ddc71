"""Whole sweeps: the selection sees no test image, and a sweep that was stopped ends like one that was not."""

from __future__ import annotations

import re
import shutil
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from whole_runs import lgbench_here, numbers

from learngene_bench.config.loader import shipped_files
from learngene_bench.contracts.dataset import DATASETS
from learngene_bench.schema.base import read
from learngene_bench.schema.manifest import Manifest

pytestmark = pytest.mark.slow

SWEEP = ("--sweep", "finetuning.learning_rate=1e-4,1e-2")


@pytest.fixture(scope="module", autouse=True)
def _guarded() -> None:
    DATASETS.names()
    point = EntryPoint("guarded", "guarded_images:GuardedStripes", "learngene_bench.datasets")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(DATASETS._points, "guarded", [point])
        yield


@pytest.fixture(scope="module")
def preset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The preset of the digits with the guarded images and a narrow model, trained for six steps."""
    text = shipped_files("preset")["digits"].read_text()
    text = text[: text.index("\n[downstream.recipe]")].replace("width = 48", "width = 16")
    text = re.sub(r"\[data\].*?\n\n", '[data]\nname = "guarded"\nruns = "unset"\n\n', text, flags=re.DOTALL)
    path = tmp_path_factory.mktemp("preset") / "guarded.toml"
    path.write_text(text.replace("epochs = 5\n", "iterations = 6\n").replace("epochs = 60", "epochs = 1"))
    return path


def run(preset: Path, runs: Path, *arguments: str, status: int = 0, permuted: bool = False) -> str:
    settings = [f'data.runs="{runs}"', f"data.permuted={str(permuted).lower()}", "grid.depths=[2]"]
    words = [word for setting in settings for word in ("--set", setting)]
    common = ("--preset", str(preset), "--grid", "depth", "--runs", str(runs), "--executor", "inline", *words)
    return lgbench_here("run", "--method", "he,weight-selection", *common, *arguments, status=status).stdout


@pytest.fixture(scope="module")
def reference(preset: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    runs = tmp_path_factory.mktemp("reference") / "runs"
    return runs, run(preset, runs, *SWEEP)


def plans(runs: Path) -> list[Manifest]:
    return [read(Manifest, path) for path in sorted((runs / "plans").glob("*.json"))]


def cells_of(runs: Path, role: str) -> set[str]:
    return {c.folder for plan in plans(runs) if plan.sweep and plan.sweep.role == role for c in plan.cells}


def test_test_images_are_first_seen_after_selection(preset: Path, reference: tuple[Path, str], tmp_path: Path) -> None:
    """Genes, trials and the selection leave the test split alone; a run without a sweep does not, and is caught."""
    runs, _ = reference
    assert (len(cells_of(runs, "trials")), len(cells_of(runs, "selected"))) == (4, 2)
    failed = run(preset, tmp_path / "runs", status=1)
    assert "SeenTooEarly: shape of the test images" in failed or "SeenTooEarly: labels of the test images" in failed


def test_permuted_test_labels_change_no_selection(preset: Path, reference: tuple[Path, str], tmp_path: Path) -> None:
    runs, permuted = reference[0], tmp_path / "runs"
    run(preset, permuted, *SWEEP, permuted=True)
    before, after = numbers(runs), numbers(permuted)
    trials = {f"cell/{folder}/result.json" for folder in cells_of(runs, "trials")}
    assert {name: before[name] for name in trials} == {name: after[name] for name in trials}
    assert cells_of(permuted, "selected") == cells_of(runs, "selected")
    measured = [f"cell/{folder}/result.json" for folder in cells_of(runs, "selected")]
    top1 = [(before[name]["metrics"]["top1"], after[name]["metrics"]["top1"]) for name in measured]
    assert all(right + wrong == pytest.approx(100) for right, wrong in top1)  # of two classes each label is wrong


def test_a_stopped_sweep_gives_the_same_table(preset: Path, reference: tuple[Path, str], tmp_path: Path) -> None:
    """The sweep was stopped in a trial, before anything was selected."""
    runs, stopped = reference[0], tmp_path / "runs"
    shutil.copytree(runs, stopped)
    trials = sorted(cells_of(runs, "trials"))
    for path in (stopped / "plans").glob("*.json"):
        if read(Manifest, path).sweep is None or read(Manifest, path).sweep.role == "selected":  # type: ignore[union-attr]
            path.unlink()
    for folder in {path.name for path in (stopped / "cell").iterdir()} - set(trials[1:]):
        shutil.rmtree(stopped / "cell" / folder)
    shutil.rmtree(stopped / "report")
    run(preset, stopped, *SWEEP)
    assert numbers(stopped) == numbers(runs)
    tables = [next(folder.glob("report/*/tables.md")).read_text() for folder in (stopped, runs)]
    assert tables[0] == tables[1]
    *_, second = sorted(stopped.glob("report/*/*.png"))
    figure = second.read_bytes()
    for suffix in (".png", ".pdf"):  # as if it had been killed between the two figures
        second.with_suffix(suffix).unlink()
    (report,) = stopped.glob("report/*/tables.md")
    report.write_text(report.read_text().partition("\n![")[0])
    lines = run(preset, stopped, *SWEEP).splitlines()
    assert not [line for line in lines if re.match(r"\d+/\d+ ", line)]  # nothing is left to compute
    assert second.read_bytes() == figure
    assert report.read_text() == tables[0]
