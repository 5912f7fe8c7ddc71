"""A runs folder as large as a real grid's, and the seconds that `plan`, `status` and `report` take on it.

    python benchmarks/many_records.py [--seeds 157] [--preset imagenet] [--folder runs-10000]

The claim under test: each command answers within 3 s at 10,000 cells, with a page of HTML within 10 s. Beside it stands
what merely reading and parsing all those files takes, in the same run. Best of three, as a machine may be busy: the
processor's part says how much of the time that was.

The records are synthetic and have all that real ones have: a real `lgbench run --quick` makes one of every kind, which
is copied for each stage of the plan, with that stage's address, facts, tensors and epochs, and random numbers. With the
default options it is a plan of 10,048 cells and 3,000 genes and ancestors. Some cells are failed, running, interrupted
or not begun.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from timing import Ratio, alternate, ratio

from learngene_bench.contracts.family import spec_from_dict
from learngene_bench.planning.plan import Plan, Stage
from learngene_bench.planning.planner import make_plan
from learngene_bench.planning.request import build_request
from learngene_bench.plugins.registry import Registry
from learngene_bench.runs.manifest import describe_cell, write_manifest
from learngene_bench.runs.store import Runs, State
from learngene_bench.schema.base import read, write
from learngene_bench.schema.cost import CellCost
from learngene_bench.schema.metric import CurvePoint
from learngene_bench.schema.progress import Progress
from learngene_bench.schema.record import RECORDS, CellRecord, Failure, Record
from learngene_bench.schema.stage import StageFile
from learngene_bench.schema.subject import PlannedCell
from learngene_bench.util.files import write_json

LGBENCH = str(Path(sys.executable).with_name("lgbench"))
ROUNDS = 3
UNFINISHED = 0.05
"""Share of cells that are not done: one third failed, one third interrupted, one third not begun."""
RUNNING = 4
"""Number of interrupted cells that are running while the commands are timed."""

FAILING = """
from learngene_bench.contracts.initializer import Initializer

class Failing(Initializer):
    name, title = "failing", "Failing"

    def initialize(self, model, target, gene, context):
        raise ValueError("the singular values did not converge")
"""

PARSE = """
import json, pathlib, sys
runs = pathlib.Path(sys.argv[1])
for path in [*runs.glob("*/*/result.json"), *runs.glob("*/*/failed.json"), *runs.glob("plans/*.json")]:
    json.loads(path.read_bytes())
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--method", default="all")
    parser.add_argument("--grid", default="depth")
    parser.add_argument("--preset", default="digits")
    parser.add_argument("--seeds", type=int, default=157)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="same as `lgbench plan --set`")
    parser.add_argument("--folder", type=Path, help="keep the runs folder here, and take the one that is here")
    parser.add_argument(
        "--command", action="append", metavar="'report --runs RUNS --format csv'", help="time these instead"
    )
    parser.add_argument("--only-make", action="store_true", help="time nothing")
    options = parser.parse_args()
    request = build_request(
        options.method, options.grid, options.preset, options.seeds, options.set, Registry(), quick=False
    )
    plan = make_plan(request)
    asked = ["--method", options.method, "--grid", options.grid, "--preset", options.preset]
    asked += ["--seeds", str(options.seeds), *(part for text in options.set for part in ("--set", text))]
    with tempfile.TemporaryDirectory() as temporary, ExitStack() as claims:
        runs = Runs(options.folder or Path(temporary) / "runs")
        if not (runs.root / "plans").is_dir():
            fill(runs, plan, ["lgbench", "run", *asked])
        if options.only_make:
            return
        folders = [runs.stage_dir(stage) for stage in plan.stages.values()]
        for folder in [folder for folder in folders if folder.state() is State.INTERRUPTED][:RUNNING]:
            claims.enter_context(folder.acquire())
        print(about_the_machine())
        print(about_the_records(runs, plan))
        measure(runs, options.command or default_commands(asked), Path(temporary) / "nothing")


def ratios(seconds: float) -> Iterator[Ratio]:
    """Measures tables of a few hundred records against reading and parsing their files with json."""
    request = build_request("he,timm,wave", "depth", "digits", 40, [], Registry(), quick=False)
    plan = make_plan(request)
    with tempfile.TemporaryDirectory() as folder:
        runs = Runs(Path(folder) / "runs")
        fill(runs, plan, ["lgbench", "run"])
        root = str(runs.root)
        lines = {
            "lgbench report --format csv": [LGBENCH, "report", "--runs", root, "--format", "csv"],
            "lgbench status": [LGBENCH, "status", "--runs", root],
            "json": [sys.executable, "-c", PARSE, root],
        }
        ways = {
            name: partial(subprocess.run, line, check=True, stdout=subprocess.DEVNULL) for name, line in lines.items()
        }
        taken = alternate(ways, seconds=seconds, warmup=1)
    note = f"{len(plan.cells)} cells; the peer reads and parses the same files, and nothing else"
    yield ratio(taken, "lgbench report --format csv", "json", note)
    yield ratio(taken, "lgbench status", "json", note)


def fill(runs: Runs, plan: Plan, command: Sequence[str]) -> None:
    """Writes the files of all stages of a plan as they are when a large run is almost finished."""
    with tempfile.TemporaryDirectory() as temporary:
        samples = Samples(Path(temporary))
    draw = random.Random(0)
    cells = {cell.address: cell for cell in plan.cells}
    for address, stage in plan.stages.items():
        cell = cells.get(address)
        states = (
            [State.FAILED, State.INTERRUPTED, State.WAITING] if cell and draw.random() < UNFINISHED else [State.DONE]
        )
        state = draw.choice(states)
        if state is State.WAITING:
            continue
        description = describe_cell(cell, plan) if cell else None
        execution = samples.configs[stage.kind].execution.model_copy(update={"description": description})
        folder = runs.write_config(stage, execution)
        if state is State.FAILED:
            write(folder.failed, samples.failure.model_copy(update={"address": address, "label": stage.label}))
        elif state is State.INTERRUPTED:
            write_json(folder.progress, samples.progress.model_dump())
        else:
            if cell:
                write_json(folder.initial_weights, samples.initial_weights(cell, draw))
            folder.finish(samples.cell(stage, cell, plan, draw) if cell else samples.stage(stage))
    write_manifest(plan, runs, list(command))


class Samples:
    """Makes the files of a stage from those of a real stage of the same kind."""

    def __init__(self, folder: Path) -> None:
        runs, plugin = folder / "runs", folder / "failing.py"
        plugin.write_text(FAILING, encoding="utf-8")
        command = [LGBENCH, "run", "--quick", "--method", "wave,failing", "--plugin", str(plugin)]
        ran = subprocess.run([*command, "--runs", str(runs)], capture_output=True, text=True, check=False)
        if ran.returncode != 1:  # as one method fails
            sys.exit(f"{' '.join(command)}: {ran.stderr}")
        done = {kind: next((runs / kind).glob("*/result.json")) for kind in RECORDS}
        self.records: dict[str, Record] = {kind: read(RECORDS[kind], path) for kind, path in done.items()}
        self.configs = {kind: read(StageFile, path.with_name("config.json")) for kind, path in done.items()}
        weights = json.loads(done["cell"].with_name("initial_weights.json").read_text(encoding="utf-8"))
        self.statistics = next(iter(weights.values()))
        self.failure = read(Failure, next(runs.glob("cell/*/failed.json")))
        where = {"phase": "finetuning", "step": 40, "steps": 95, "epoch": 2.1, "epochs": 5.0, "metrics": {"top1": 20.0}}
        self.progress = Progress(**where, time=time.time())

    def stage(self, stage: Stage) -> Record:
        """Makes the record of a stage from the sample's, with the fields that differ from stage to stage."""
        return self.records[stage.kind].model_copy(update={"address": stage.address, "inputs": dict(stage.inputs)})

    def cell(self, stage: Stage, cell: PlannedCell, plan: Plan, draw: random.Random) -> CellRecord:
        """Makes the record of a cell with random numbers; it has as many epochs and tensors as the cell."""
        record = self.stage(stage)
        assert isinstance(record, CellRecord)
        seconds = stage.flops * 3e-11 * (1 + draw.random())
        finetune = record.cost.finetune.model_copy(update={"flops": stage.flops, "seconds": seconds})
        spent = record.cost if stage.inputs else CellCost()
        curve = learning_curve(cell, plan, record.curve[-1], draw)
        return record.model_copy(
            update={
                **dict(describe_cell(cell, plan)),
                "metrics": curve[-1].metrics,
                "initial_metrics": curve[0].metrics,
                "curve": curve,
                "cost": spent.model_copy(update={"finetune": finetune}),
            }
        )

    def initial_weights(self, cell: PlannedCell, draw: random.Random) -> dict[str, Any]:
        """Makes statistics for each tensor."""
        names = sorted(spec_from_dict(cell.target).parameter_shapes())
        return {name: {statistic: draw.gauss(0, 1) for statistic in self.statistics} for name in names}


def learning_curve(cell: PlannedCell, plan: Plan, point: CurvePoint, draw: random.Random) -> tuple[CurvePoint, ...]:
    """Makes a curve with a point for each epoch; deeper models and methods later in the plan end higher."""
    epochs = math.ceil(plan.preset.recipes["finetuning"].epochs or 1)
    start = 10 + draw.gauss(0, 1)
    methods = [(row.method, row.variant) for row in plan.methods]
    rise = 20 + int(cell.target["depth"] or 0) + methods.index((cell.method, cell.variant)) + draw.gauss(0, 1)
    curve = []
    for epoch in range(epochs + 1):
        top1 = min(100.0, max(0.0, start + rise * (1 - math.exp(-3 * epoch / epochs))))
        loss = None if epoch == 0 else 3 - top1 / 50
        metrics = {**(point.metrics or {}), "top1": top1}
        curve.append(CurvePoint(epoch=float(epoch), iterations=19 * epoch, loss=loss, metrics=metrics))
    return tuple(curve)


def default_commands(asked: Sequence[str]) -> list[str]:
    """Lists the timed commands; RUNS stands for the folder, NOTHING for a folder that does not exist."""
    plan = " ".join(["plan", *asked])
    formats = [f"report --runs RUNS --format {name}" for name in ("table", "csv", "markdown", "latex", "html", "json")]
    sheets = [f"report --runs RUNS --table {name}" for name in ("cost", "statistics")]
    return [
        f"{plan} --runs NOTHING",
        f"{plan} --runs RUNS",
        "status --runs RUNS",
        *formats,
        *sheets,
        "report --runs RUNS --compare published",
    ]


def about_the_machine() -> str:
    cpu = "unknown processor"
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        cpu = next((line.partition(": ")[2] for line in lines if line.startswith("model name")), cpu)
    packages = ", ".join(f"{name} {version(name)}" for name in ("learngene-bench", "pydantic", "rich", "typer"))
    return f"{os.cpu_count()} cores of {cpu}, {platform.system()}, Python {platform.python_version()}, {packages}"


def about_the_records(runs: Runs, plan: Plan) -> str:
    files = [*runs.root.glob("*/*/result.json"), *runs.root.glob("plans/*.json")]
    size = sum(path.stat().st_size for path in files) / 1e6
    return (
        f"{len(plan.cells)} cells, {len(plan.stages)} stages, {len(plan.methods)} rows; {size:.0f} MB of JSON to read"
    )


def measure(runs: Runs, commands: Sequence[str], nothing: Path) -> None:
    """Times the commands and the peer in turns, and prints the best of each."""
    peer = "(reading and parsing all of it with json)"
    lines = {peer: [sys.executable, "-c", PARSE, str(runs.root)]}
    names = {"RUNS": str(runs.root), "NOTHING": str(nothing)}
    for text in commands:
        lines[text] = [LGBENCH, *(names.get(word, word) for word in text.split())]
    seconds: dict[str, list[float]] = {text: [] for text in lines}
    processor: dict[str, list[float]] = {text: [] for text in lines}
    for _ in range(ROUNDS):
        for text, line in lines.items():
            started, used = time.perf_counter(), of_children()
            done = subprocess.run(line, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
            if done.returncode:
                sys.exit(f"{text}: {done.stderr}")
            seconds[text].append(time.perf_counter() - started)
            processor[text].append(of_children() - used)
    print("seconds  of them processor  over json")
    for text, times in seconds.items():
        print(f"{min(times):7.2f}  {min(processor[text]):17.2f}  {min(times) / min(seconds[peer]):9.2f}  {text}")


def of_children() -> float:
    """Returns the processor seconds of all commands that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
