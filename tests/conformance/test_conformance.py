"""`lgbench check`: what a sound method of somebody else's gets, what the command prints, what a context leads to."""

from __future__ import annotations

import gc
import json
import types
from pathlib import Path

import pytest
import torch
from method_texts import ON_A_GPU, OWN_LOSS, TOO_SHALLOW, WITH_DROP_PATH, checked, direct, failures, with_gene

from learngene_bench.cli.main import run_command
from learngene_bench.conformance.fixtures import shared_benchmark
from learngene_bench.contracts.dataset import Splits
from learngene_bench.execution.cell_stage import CellStage
from learngene_bench.plugins.registry import Registry
from learngene_bench.runs.store import Runs
from learngene_bench.training.context import MeteredContext


@pytest.mark.parametrize(
    "text", [direct(), with_gene(), with_gene(prepare=OWN_LOSS.format(smoothing="smoothing", more=WITH_DROP_PATH))]
)
def test_a_sound_plugin_passes(tmp_path: Path, text: str) -> None:
    report = checked(tmp_path, text)
    assert {outcome.status for outcome in report.outcomes} == {"passed"}, failures(report)


def test_a_plugin_may_import_torch(tmp_path: Path) -> None:
    report = checked(tmp_path, f"import torch\n{direct()}")
    assert report.passed
    assert [outcome.check for outcome in report.outcomes if outcome.status == "note"] == ["import"]


def test_a_step_that_waits_for_a_gpu_is_a_note_with_its_place(tmp_path: Path) -> None:
    waiting = with_gene(prepare=ON_A_GPU.format(forward="assert logits.isfinite().all()"))
    report = checked(tmp_path, waiting, shared_benchmark("vit").targets()[:1])
    (found,) = [outcome for outcome in report.outcomes if outcome.check == "gpu"]
    assert report.passed
    assert found.status == "note"
    assert found.detail.startswith("training steps wait for a GPU: 3 times _local_scalar_dense at mine.py, line ")


def reachable(start: object) -> list[object]:
    """Returns every object that a method could come to from this one, without modules and the names in them."""
    reached, waiting = {}, [start]
    while waiting:
        thing = waiting.pop()
        if id(thing) in reached or isinstance(thing, type | types.ModuleType | types.FunctionType):
            continue
        reached[id(thing)] = thing
        waiting += gc.get_referents(thing)
    return list(reached.values())


def context_of_a_stage(folder: Path) -> tuple[MeteredContext, Splits]:
    """Returns what a benchmark hands to He-Init for its first cell."""
    assert run_command(["run", "--executor", "inline", "--quick", "--method", "he", "--runs", str(folder)]) == 0
    address = min(path.name for path in (folder / "cell").iterdir())
    stage = CellStage(Runs(folder), address, Registry())
    return stage.make_context("target", stage.target, stage.config.recipes), stage.source[1]


@pytest.mark.parametrize("where", ["benchmark", "check"])
def test_nothing_in_a_context_leads_to_the_test_split(where: str, tmp_path: Path) -> None:
    if where == "benchmark":
        context, splits = context_of_a_stage(tmp_path)
    else:
        benchmark = shared_benchmark("vit")
        recipes = benchmark.recipes(("inheritance",), 16, {})
        context, splits = benchmark.context("target", benchmark.targets()[0].spec, recipes, 0), benchmark.splits
    found = reachable(context)
    tensors = {thing.data_ptr() for thing in found if isinstance(thing, torch.Tensor)}
    assert torch.from_numpy(splits.train.images).data_ptr() in tensors
    assert torch.from_numpy(splits.test.images).data_ptr() not in tensors
    assert not any(thing is splits or thing is splits.test or thing is splits.test.images for thing in found)


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "mine.py"
    path.write_text(direct(TOO_SHALLOW))
    monkeypatch.setenv("COLUMNS", "60")
    assert run_command(["check", "mine", "--plugin", str(path)]) == 1
    out = capsys.readouterr().out
    checks = [line for line in out.splitlines() if line.startswith(("passed", "FAILED"))]
    assert len(checks) == 17
    assert max(map(len, checks)) <= 60
    assert f"mine, from {path}" in out
    assert "FAILED  initializes " in out
    assert "16 passed, 1 failed" in out
    assert "--debug shows every problem and the tracebacks" in " ".join(out.split())
    assert "Traceback" not in out
    assert run_command(["check", "mine", "--plugin", str(path), "--debug"]) == 1
    out = capsys.readouterr().out
    assert f'File "{path}", line' in out
    assert run_command(["check", "mine", "--plugin", str(path), "--format", "json"]) == 1
    (report,) = json.loads(capsys.readouterr().out)
    assert not report["passed"]
    statuses = {judged["check"]: judged["status"] for judged in report["checks"]}
    assert statuses == dict.fromkeys(statuses, "passed") | {"initializes": "failed"}


def test_mistakes(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["check", "wav"]) == 2
    assert "unknown method 'wav': did you mean 'wave'?" in capsys.readouterr().err
    assert run_command(["check", "wave:inheritance=x"]) == 2
    assert "inheritance: input should be 'padding' or 'interpolate'" in capsys.readouterr().err
