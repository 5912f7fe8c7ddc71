"""Measures the overhead of a cell: the same training with and without stages, records and checkpoints.

    python benchmarks/overhead.py [--minutes 0.15] [--rounds 3] [--depth 12] [--set sizes.micro.width=192]

The claim under test: under 2 % at ten minutes of work (`--minutes 10 --rounds 1`), and under 1 s beside the imports.

Both ways run in this process with the same threads, data, recipe and seed, in turns, and must end with the same
learning curve. Directly: the target is made, initialized and trained by `learngene_bench.training.loop.train`, measured
every epoch. As a cell: what a worker of `lgbench run` does, from the cell's configuration to its record. A short
first round warms up and is not counted; it shows what the first cell of a process pays once.

On a busy machine the difference of two long times says little. Processor time says more, but leaves out waiting for
the disk. So the parts of a cell that training alone does not have are also timed one by one.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import wraps
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from timing import Ratio, alternate, ratio

from learngene_bench.contracts.family import spec_from_dict
from learngene_bench.contracts.task import task_kind
from learngene_bench.execution import cell_stage, stage
from learngene_bench.execution.device import choose_device
from learngene_bench.execution.stage_data import load_data
from learngene_bench.execution.stages import execute
from learngene_bench.planning.plan import Plan
from learngene_bench.planning.planner import make_plan
from learngene_bench.planning.request import build_request
from learngene_bench.plugins.registry import Registry
from learngene_bench.runs import lease, store
from learngene_bench.runs.manifest import describe_cell
from learngene_bench.runs.store import Runs
from learngene_bench.schema.metric import CurvePoint
from learngene_bench.schema.record import CellRecord
from learngene_bench.schema.stage import Execution
from learngene_bench.tracking.processes import part_with_trackers
from learngene_bench.tracking.run import FOLDER
from learngene_bench.training import loop
from learngene_bench.training.context import MeteredContext
from learngene_bench.training.evaluation import evaluate
from learngene_bench.training.inputs import new_model, plain_images, training_images
from learngene_bench.training.loop import train
from learngene_bench.training.run import TrainingRun
from learngene_bench.util.files import canonical
from learngene_bench.util.provenance import versions
from learngene_bench.util.rng import RngStreams

METHOD = "he"
SHORT = 38
"""Number of iterations of the trainings that warm up."""
PARTS: dict[str, list[tuple[Any, str]]] = {
    "claim": [(lease, "_take"), (lease, "_release")],
    "configuration": [(store.StageFolder, "read_config")],
    "hash and statistics of initial weights": [(cell_stage, "describe")],
    "checkpoints": [(loop, "write_checkpoint")],
    "progress": [(stage, "_write_progress")],
    "the fine-tuned model's file and hash": [(cell_stage, "save_tensors"), (cell_stage, "file_hash")],
    "provenance": [(stage.StageComputation, "record_head")],
    "record": [(cell_stage, "write_json"), (store.StageFolder, "finish")],
}
"""Names the parts of a cell's overhead and the functions that do them; none of these calls another."""

Curve = Sequence[CurvePoint]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=0.15, help="work of one cell, about")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--depth", type=int, default=12)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="same as `lgbench run --set`")
    options = parser.parse_args()
    settings = [f"grid.depths=[{options.depth}]", *options.set]
    short = plan_of([*settings, f"finetuning.iterations={SHORT}"])
    enough = plan_of([*settings, f"finetuning.iterations={iterations_for(60 * options.minutes, short)}"])
    seconds: dict[str, list[float]] = {"direct": [], "cell": []}
    processor: dict[str, list[float]] = {"direct": [], "cell": []}
    shares: list[dict[str, float]] = []
    for number, plan in enumerate([short, *[enough] * options.rounds]):
        ways = ["direct", "cell"] if number % 2 == 0 else ["cell", "direct"]
        curves, parts = {}, {}
        for way in ways:
            with timed() as parts_of_way:
                started, used = time.perf_counter(), time.process_time()
                curves[way] = directly(plan) if way == "direct" else as_a_cell(plan)
                seconds[way].append(time.perf_counter() - started)
                processor[way].append(time.process_time() - used)
            parts[way] = parts_of_way
        assert curves["direct"] == curves["cell"], "the two ways did not do the same"
        shares.append(parts["cell"])
    print(
        f"torch {torch.__version__}, Python {versions()['python']}, {enough.preset.compute.threads} threads, ", end=""
    )
    print(f"{spec_from_dict(enough.cells[0].target)}, {curves['cell'][-1].iterations} iterations")
    compare("seconds", seconds)
    compare("processor seconds", processor)
    explain(shares, min(seconds["direct"][1:]))


def ratios(seconds: float) -> Iterator[Ratio]:
    """Measures a cell of 100 steps at depth 4, with records and checkpoints, against its training, and tracked."""
    plan = plan_of(["grid.depths=[4]", "finetuning.iterations=100"])
    with tempfile.TemporaryDirectory() as folder:
        ways = {
            "a cell": lambda: as_a_cell(plan),
            "a cell with TensorBoard": lambda: as_a_tracked_cell(plan, Path(folder)),
            "its training": lambda: directly(plan),
        }
        taken = alternate(ways, seconds=seconds, warmup=1)
        part_with_trackers()
    yield ratio(
        taken, "a cell", "its training", "100 steps at depth 4; what a cell adds is much the same for long ones"
    )
    yield ratio(taken, "a cell with TensorBoard", "a cell", "the same cell, its curve sent to a process of TensorBoard")


def plan_of(settings: list[str]) -> Plan:
    return make_plan(build_request(METHOD, "depth", "digits", 1, settings, Registry(), quick=False))


def iterations_for(seconds: float, short: Plan) -> int:
    """Estimates the number of fine-tuning iterations for a duration from the second of two short trainings."""
    for _ in range(2):
        started = time.perf_counter()
        directly(short)
        each = (time.perf_counter() - started) / SHORT
    return max(SHORT, round(seconds / each))


def directly(plan: Plan) -> Curve:
    """Runs the cell's training and nothing else."""
    cell, preset = plan.cells[0], plan.preset
    target = spec_from_dict(cell.target)
    torch.set_num_threads(preset.compute.threads)
    device = choose_device(preset.compute.device)
    facts, splits, _ = load_data(canonical(preset.data))
    recipe = preset.recipe_of("finetuning", target.width)
    model = new_model(target, preset.base, cell.seed, recipe.drop_path)
    context = MeteredContext(cell.seed, device, preset.compute, preset.base, target)
    Registry().get(METHOD).create({}).initialize(model, target, None, context)
    held_out = plain_images(splits.test, splits, device)
    phase = TrainingRun(
        name="finetuning",
        streams=RngStreams(cell.seed),
        compute=preset.compute,
        classes=facts.classes,
        evaluate=lambda trained: evaluate(trained, held_out, preset.compute, task_kind().metrics()),
        measure_start=True,
    )
    return list(train(model.to(device), training_images(splits, recipe, device), recipe, phase).curve)


def as_a_cell(plan: Plan) -> Curve:
    """Runs the cell as `lgbench run` does, in a new runs folder."""
    with tempfile.TemporaryDirectory() as folder:
        return _cell_in(plan, Runs(Path(folder)))


def as_a_tracked_cell(plan: Plan, folder: Path) -> Curve:
    """Runs the cell as `lgbench run --track tensorboard` does; all cells of a folder share a process of the tracker."""
    runs = Runs(folder)
    curve = _cell_in(plan, runs, ("tensorboard",))
    for done in (runs.root / "cell", runs.root / FOLDER / "stages"):  # so that the next one is computed and told again
        shutil.rmtree(done)
    return curve


def _cell_in(plan: Plan, runs: Runs, trackers: tuple[str, ...] = ()) -> Curve:
    cell, preset = plan.cells[0], plan.preset
    execution = Execution(
        command=("lgbench", "run"),
        checkpoint_seconds=preset.compute.checkpoint_seconds,
        data=dict(preset.data),
        description=describe_cell(cell, plan),
        track=trackers,
    )
    stage_dir = runs.write_config(plan.stages[cell.address], execution)
    assert execute(runs, "cell", cell.address, Registry()) == "done"
    return list(stage_dir.read_record(CellRecord).curve)


@contextmanager
def timed() -> Iterator[dict[str, float]]:
    """Yields the seconds spent in each part."""
    spent = dict.fromkeys(PARTS, 0.0)

    def wrapper(part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            started = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                spent[part] += time.perf_counter() - started

        return wrapped

    with ExitStack() as patches:
        for part, functions in PARTS.items():
            for owner, name in functions:
                patches.enter_context(patch.object(owner, name, wrapper(part, getattr(owner, name))))
        yield spent


def compare(what: str, times: dict[str, list[float]]) -> None:
    """Prints the best of each way, and how each pair of neighbours differs."""
    direct, cell = times["direct"][1:], times["cell"][1:]
    pairs = ", ".join(f"{b / a - 1:+.2%}" for a, b in zip(direct, cell, strict=True))
    print(f"{what}: directly {min(direct):.3f}, as a cell {min(cell):.3f}, {min(cell) / min(direct) - 1:+.2%} ", end="")
    print(f"(best of {len(direct)}; pairs of neighbours: {pairs})")


def explain(shares: list[dict[str, float]], alone: float) -> None:
    """Prints the parts: their medians, and those of the first cell of a process."""
    medians = {part: statistics.median(share[part] for share in shares[1:]) for part in PARTS}
    print("\n   median    short first cell of a process")
    for part, spent in medians.items():
        print(f"{1e3 * spent:6.1f} ms  {1e3 * shares[0][part]:6.1f} ms  {part}")
    every, first = sum(medians.values()), sum(shares[0].values())
    print(f"{1e3 * every:6.1f} ms  {1e3 * first:6.1f} ms  together: {every / alone:.2%} of the training alone")


if __name__ == "__main__":
    main()
