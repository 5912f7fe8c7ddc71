"""Stages that several processes compute: the record of one, and an end whatever happens to any of them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import submitit
import torch
from ranks import run_ranks
from safetensors.torch import load_file
from submitit.helpers import CommandFunction

from learngene_bench import distributed
from learngene_bench.distributed import launch
from learngene_bench.execution.stages import execute
from learngene_bench.planning.plan import Plan, Stage
from learngene_bench.planning.planner import make_plan
from learngene_bench.planning.request import build_request
from learngene_bench.plugins.registry import Registry
from learngene_bench.runs.manifest import describe_cell
from learngene_bench.runs.store import Runs, State
from learngene_bench.schema.constants import PHASES
from learngene_bench.schema.predictions import read_predictions
from learngene_bench.schema.record import CellRecord
from learngene_bench.schema.stage import Execution
from learngene_bench.tasks.datasets.digits import Digits, DigitsOptions
from learngene_bench.util import interrupt
from learngene_bench.util.errors import UserError

pytestmark = pytest.mark.slow

PLUGIN = """
import os
import sys

from learngene_bench.config.section import Section
from learngene_bench.contracts.initializer import Initializer


class Awkward(Initializer):
    name, title = "awkward", "Awkward"

    class Options(Section):
        how: str = "well"

    def initialize(self, model, target, gene, context):
        print("initializing", file=sys.stderr)
        if self.options.how == "all-fail":
            raise ValueError("all fail alike")
        if self.options.how == "one-fails" and os.environ["RANK"] == "1":
            raise ValueError("one fails alone")
"""


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    path = tmp_path / "awkward.py"
    path.write_text(PLUGIN)
    return path


def plan_of(method: str, plugins: list[Path], *settings: str, processes: int = 2) -> Plan:
    """One target on the digits, four iterations of everything unless settings say otherwise."""
    registry = Registry(plugins)
    changes = ["grid.depths=[4]", *settings]
    request = build_request(method, "depth", "digits", 1, changes, registry, quick=not settings)
    return make_plan(replace(request, processes=processes))


def write_configs(plan: Plan, runs: Runs) -> list[Stage]:
    descriptions = {cell.address: describe_cell(cell, plan) for cell in plan.cells}
    for address, stage in plan.stages.items():
        execution = Execution(
            command=(), checkpoint_seconds=0.2, data=dict(plan.preset.data), description=descriptions.get(address)
        )
        runs.write_config(stage, execution)
    return list(plan.stages.values())


def test_a_gene_and_a_cell_have_the_files_and_the_record_of_one_process(tmp_path: Path) -> None:
    """All but the numbers that are drawn: what is written, the cost, and how good the cell is."""
    alone, together = Runs(tmp_path / "alone"), Runs(tmp_path / "together")
    stages = write_configs(plan_of("wave", [], processes=1), alone)
    others = write_configs(plan_of("wave", []), together)
    assert {stage.address for stage in stages}.isdisjoint(stage.address for stage in others)
    *inputs, last = others
    assert run_ranks(2, "test_distributed_stages:execute_all", str(together.root), *map(key, inputs)) == [0, 0]
    assert launch(2, together.root, last.kind, last.address) == {"state": "done"}
    for stage, other in zip(stages, others, strict=True):
        assert execute(alone, stage.kind, stage.address, Registry()) == "done"
        names = [sorted(path.name for path in folder.iterdir()) for folder in folders(alone, stage, together, other)]
        assert names[0] == names[1]
    (*_, cell), (*_, cell_of_two) = stages, others
    one, two = alone.stage_dir(cell).read_record(CellRecord), together.stage_dir(cell_of_two).read_record(CellRecord)
    assert two.metrics["top1"] == pytest.approx(one.metrics["top1"], abs=10)
    assert two.curve[-1].loss == pytest.approx(one.curve[-1].loss, rel=0.3)
    for record, folder in ((one, alone.stage_dir(cell)), (two, together.stage_dir(cell_of_two))):
        assert record.predictions
        kept = read_predictions(folder.predictions, record.predictions, record.evaluation.images)
        assert 100 * kept.right.mean() == pytest.approx(record.metrics["top1"], abs=1e-9)
        assert kept.label.tolist() == Digits(DigitsOptions()).load().test.labels.tolist()
    for phase in PHASES:
        assert two.cost[phase].model_copy(update={"seconds": 0}) == one.cost[phase].model_copy(update={"seconds": 0})
    assert two.provenance.hardware == {**one.provenance.hardware, "processes": 2}
    expected, weights = (load_file(path / "model.safetensors") for path in folders(alone, cell, together, cell_of_two))
    assert {name: weight.shape for name, weight in weights.items()} == {n: w.shape for n, w in expected.items()}


def key(stage: Stage) -> str:
    return f"{stage.kind}/{stage.address}"


def execute_all(runs: str, *keys: str) -> None:
    distributed.join()
    for kind, address in (key.split("/") for key in keys):
        assert execute(Runs(Path(runs)), kind, address, Registry()) == "done"


def folders(alone: Runs, stage: Stage, together: Runs, other: Stage) -> tuple[Path, Path]:
    return alone.stage_dir(stage).path, together.stage_dir(other).path


def test_another_number_of_processes_than_planned_is_refused(tmp_path: Path) -> None:
    runs = Runs(tmp_path / "runs")
    (cell,) = write_configs(plan_of("he", []), runs)
    with pytest.raises(UserError, match="planned for 2 processes, not for 1: run with --processes-per-model 2"):
        execute(runs, cell.kind, cell.address, Registry())


def test_failures_leave_processes_that_compute_the_next_stage(
    tmp_path: Path, plugin: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two tasks of one submitit job: all fail alike, one fails alone, the disk fails for rank 0, and all is well."""
    runs = Runs(tmp_path / "runs")
    methods = "awkward:how=all-fail,awkward:how=one-fails,awkward:how=no-disk,awkward"
    stages = write_configs(plan_of(methods, [plugin]), runs)
    all_fail, one_fails, no_disk, well = (runs.stage_dir(stage) for stage in stages)
    no_disk.checkpoints.write_text("not a folder")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))  # as pytest has it
    executor = submitit.LocalExecutor(tmp_path / "jobs")
    executor.update_parameters(tasks_per_node=2, timeout_min=5)
    program = [sys.executable, __file__, str(runs.root), str(plugin), *(stage.address for stage in stages)]
    printed = executor.submit(CommandFunction(program, verbose=False)).results()
    assert [text.split("ended: ")[1:] for text in printed] == [["failed\n", "failed\n", "refused\n", "done"]] * 2
    assert all_fail.read_failure().error == "ValueError: all fail alike"
    assert one_fails.read_failure().error == "ValueError: one fails alone (process 1 of 2)"
    assert 'raise ValueError("one fails alone")' in (one_fails.read_failure().traceback or "")
    assert not no_disk.failed.exists()
    assert well.read_record(CellRecord).provenance.hardware["processes"] == 2


def main(runs: str, plugin: str, *addresses: str) -> None:
    distributed.join_job()
    registry = Registry([Path(plugin)])
    for address in addresses:
        try:
            state = execute(Runs(Path(runs)), "cell", address, registry)
        except UserError:
            state = "refused"
        print("ended:", state)


@pytest.fixture
def long_cell(tmp_path: Path, plugin: Path) -> tuple[Runs, Stage]:
    runs = Runs(tmp_path / "runs")
    (cell,) = write_configs(plan_of("awkward", [plugin], "finetuning.epochs=1000"), runs)
    return runs, cell


@contextmanager
def launched(runs: Runs, cell: Stage, plugin: Path) -> Iterator[list[dict[str, Any]]]:
    """While two processes train, from where there is a checkpoint; then the answer is in the list."""
    needed = runs.stage_dir(cell).progress, runs.stage_dir(cell).checkpoints / "finetuning.pt"
    answers: list[dict[str, Any]] = []
    arguments = (2, runs.root, cell.kind, cell.address, [plugin])
    thread = threading.Thread(target=lambda: answers.append(launch(*arguments)))
    runs.stage_dir(cell).progress.unlink(missing_ok=True)
    thread.start()
    try:
        wait_until(lambda: all(path.exists() for path in needed))
        yield answers
        thread.join(timeout=60)
        assert answers, "the processes have not ended"
    finally:
        interrupt.request_stop()
        thread.join()
        interrupt.reset()


def wait_until(condition: Callable[[], Any], seconds: float = 60) -> None:
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.05)


def processes_of(runs: Runs) -> list[int]:
    """Lists the processes that compute stages of this folder, without torchrun."""
    listed = subprocess.run(["ps", "-ww", "-eo", "pid=,args="], capture_output=True, text=True).stdout.splitlines()
    mine = [line for line in listed if f"learngene_bench.execution.rank --tied {runs.root}" in line]
    return [int(line.split()[0]) for line in mine if "torchrun" not in line]


def test_processes_stop_when_asked_and_end_with_any_of_them_and_with_their_parent(
    plugin: Path,
    long_cell: tuple[Runs, Stage],
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    runs, cell = long_cell
    folder = runs.stage_dir(cell)
    for victim in ("follower", "leader"):
        with launched(runs, cell, plugin) as answers, monkeypatch.context() as patch:
            patch.setattr(import_module("learngene_bench.distributed.launch"), "MEETING", 0.0)  # they have met
            assert execute(runs, cell.kind, cell.address, Registry([plugin])) == "busy"
            leader = folder.current_lease().owner.pid
            (follower,) = set(processes_of(runs)) - {leader}
            os.kill(follower if victim == "follower" else leader, signal.SIGKILL)
        assert answers[0]["state"] == "died"
        assert processes_of(runs) == []
        assert folder.state() is State.INTERRUPTED

    with launched(runs, cell, plugin) as answers:
        reached = torch.load(folder.checkpoints / "finetuning.pt")["step"]
        interrupt.request_stop()
    assert answers == [{"state": "stopped"}]
    assert torch.load(folder.checkpoints / "finetuning.pt")["step"] > reached
    assert folder.state() is State.INTERRUPTED

    arguments = f"2, Path({str(runs.root)!r}), {cell.kind!r}, {cell.address!r}, [Path({str(plugin)!r})]"
    code = f"from pathlib import Path; from learngene_bench.distributed import launch; launch({arguments})"
    with subprocess.Popen([sys.executable, "-c", code]) as parent:
        wait_until(lambda: folder.state() is State.RUNNING)
        parent.kill()
    wait_until(lambda: not processes_of(runs))
    assert "initializing" in capfd.readouterr().err


if __name__ == "__main__":
    main(*sys.argv[1:])
