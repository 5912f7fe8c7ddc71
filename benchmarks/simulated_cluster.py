"""100,000 cells on a simulated cluster of 1,000 GPUs, through the real planner, submission, store, status and retry.

    python benchmarks/simulated_cluster.py --cells 10000 [--gpus 100] [--failures 1e-3] [--most-submitted 5000]

Questions: do all cells finish, how much work is lost, what must a user type, and which part breaks first? Real are
`lgbench plan`, `run --executor slurm`, `status`, `retry` and `report`, each a process of its own, and all files of the
runs folder except tensors, logs and learning curves. Simulated are training, time and SLURM: `cluster_parts/cluster.py`
has the rules, `cluster_parts/commands.py` the programs that stand for sbatch, squeue, sacct, sinfo and scontrol.

The simulated user types `lgbench run` for one grid after the other, looks once in `--look-hours`, and then types again
what SLURM refused, or `lgbench retry` if something failed or was lost. Numbers other than seconds of commands depend on
the options and the seed alone.
"""

from __future__ import annotations

import argparse
import copy
import io
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import asdict, dataclass, field, fields, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any
from unittest.mock import patch

from cluster_parts.cluster import HOUR, Cluster
from cluster_parts.commands import Commands, Site
from cluster_parts.jobs import Rates

from learngene_bench.cli.plan_grids import grid_names, methods_of
from learngene_bench.execution.slurm.submissions import SubmissionFile
from learngene_bench.execution.status import planned_stages
from learngene_bench.runs.store import Runs, State
from learngene_bench.schema.base import read

LGBENCH = str(Path(sys.executable).with_name("lgbench"))
PATIENCE = 3
"""Looks in a row at which nothing has moved, after which the user gives up."""


@dataclass(frozen=True)
class Ran:
    """A command of lgbench that has ended.

    Attributes:
        status: its exit status.
        output: what it printed.
        seconds: wall clock.
        processor: seconds of the processor.
        memory: most memory at a time, bytes; 0 where that is not known.
    """

    status: int
    output: str
    seconds: float
    processor: float = 0.0
    memory: int = 0


Lgbench = Callable[[Sequence[str], Mapping[str, str]], Ran]
"""Runs a command line without its first word, with further environment variables."""


def in_a_process(words: Sequence[str], environment: Mapping[str, str]) -> Ran:
    """Runs a command in a process of its own, whose time and memory are measured."""
    with tempfile.TemporaryFile() as printed:
        started = time.perf_counter()
        process = subprocess.Popen(
            [LGBENCH, *words], stdout=printed, stderr=subprocess.STDOUT, env=os.environ | environment
        )
        _, ended, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(ended)
        seconds = time.perf_counter() - started
        printed.seek(0)
        output = printed.read().decode("utf-8", "replace")
    used = usage.ru_utime + usage.ru_stime
    return Ran(process.returncode, output, seconds, used, 1024 * usage.ru_maxrss)


def in_this_process(words: Sequence[str], environment: Mapping[str, str]) -> Ran:
    """Runs a command here: faster, as nothing is imported again."""
    from learngene_bench.cli.main import run_command

    printed, started = io.StringIO(), time.perf_counter()
    with patch.dict(os.environ, environment), redirect_stdout(printed), redirect_stderr(printed):
        status = run_command(list(words))
    return Ran(status, printed.getvalue(), time.perf_counter() - started)


@dataclass(frozen=True)
class Asked:
    """Cells that the user wants measured.

    Attributes:
        grids: names of grids; `all` for every grid.
        method: methods of all grids; None for each grid's own.
        settings: values of `--set`.
        max_submitted: value of `--max-submitted`; 0 for none.
    """

    grids: str = "all"
    preset: str = "imagenet"
    seeds: int = 1
    method: str | None = None
    settings: Sequence[str] = ()
    max_submitted: int = 0

    @property
    def words(self) -> list[str]:
        words = ["--preset", self.preset, "--seeds", str(self.seeds)]
        return words + [word for text in self.settings for word in ("--set", text)]


@dataclass
class Report:
    """Findings of one simulation; times are hours of GPUs unless another unit is named.

    Attributes:
        typed: number of commands that compute, by verb.
        measured: seconds, processor seconds and bytes of memory of each verb's slowest command.
    """

    cells: int = 0
    cells_done: int = 0
    stages: int = 0
    stages_done: int = 0
    days: float = 0.0
    days_of_cells: dict[str, float] = field(default_factory=dict)
    longest: str = ""
    longest_days: float = 0.0
    longest_chain_days: float = 0.0
    useful: float = 0.0
    occupied: float = 0.0
    starting: float = 0.0
    waiting: float = 0.0
    saving: float = 0.0
    lost: dict[str, float] = field(default_factory=dict)
    down: float = 0.0
    unused: float = 0.0
    queue_hours: float = 0.0
    counts: dict[str, int] = field(default_factory=dict)
    most_queued: int = 0
    most_running: int = 0
    typed: dict[str, int] = field(default_factory=dict)
    refused: int = 0
    calls: dict[str, int] = field(default_factory=dict)
    arrays: int = 0
    longest_dependency: int = 0
    files: int = 0
    megabytes: float = 0.0
    slurm_files: int = 0
    planned: dict[str, Any] = field(default_factory=dict)
    measured: dict[str, dict[str, float]] = field(default_factory=dict)


class User:
    """Types commands, looks again after some hours, and continues what stopped.

    Attributes:
        pending: grids that are not submitted completely.
    """

    def __init__(self, folder: Path, asked: Asked, rates: Rates, site: Site, seed: int, lgbench: Lgbench) -> None:
        self.runs = Runs(folder / "runs")
        self.asked, self.site, self.lgbench = asked, site, lgbench
        self.commands = Commands(folder / "slurm", site)
        self.cluster = Cluster(self.runs, rates, seed)
        self.report = Report()
        self.pending, _ = grid_names([asked.grids])
        self._seen: set[Path] = set()

    def begin(self) -> None:
        """Submits everything, as far as SLURM takes it."""
        self._submit()

    def adopt(self, other: Report) -> None:
        """Goes on from a copy of a folder in which everything is submitted, and nothing has begun."""
        self.pending = []
        self.report.typed, self.report.measured = dict(other.typed), {"run": dict(other.measured["run"])}
        self._take_in()

    def work(self, look_hours: float) -> Report:
        """Waits, looks and types until everything is done, or nothing moves any more."""
        report, cluster = self.report, self.cluster
        idle = looks = 0
        while True:
            before = len(cluster.done), len(self.pending)
            looks += 1
            cluster.run_until(looks * look_hours * HOUR)
            if self._finished() or idle >= PATIENCE:
                break
            cluster.clock = max(cluster.clock, looks * look_hours * HOUR)
            print(f"day {cluster.clock / 24 / HOUR:.1f}: {len(cluster.done)} stages done, {cluster.live} jobs, "
                  f"{len(cluster.trouble)} failed or lost", file=sys.stderr, flush=True)  # fmt: skip
            self._look()
            moves = cluster.running or (len(cluster.done), len(self.pending)) != before
            idle = 0 if moves else idle + 1
        self._conclude()
        return report

    def _finished(self) -> bool:
        return not self.pending and len(self.cluster.done) == len(self.cluster.planned)

    def _look(self) -> None:
        """Continues what was refused, as far as the queue takes more, and retries what failed."""
        cluster, room = self.cluster, self.site.most_submitted
        if cluster.trouble or (not cluster.live and not self.pending):
            self._type("status", ["--runs", str(self.runs.root)])
            if self._compute("retry", ["--runs", str(self.runs.root)]):
                cluster.trouble.clear()
        room = room or self.asked.max_submitted
        if self.pending and (not room or cluster.live < room / 2):
            self._submit()

    def _submit(self) -> None:
        """Types `lgbench run` for every grid that is left, until SLURM refuses."""
        executor = ["--executor", "slurm", "--partition", "gpu", "--gpus-per-node", "1", "--cpus-per-task", "8"]
        if self.asked.max_submitted:
            executor += ["--max-submitted", str(self.asked.max_submitted)]
        while self.pending:
            grid = self.pending[0]
            method = methods_of(grid, self.asked.method)
            words = ["--grid", grid, *(["--method", method] if method else []), *self.asked.words]
            if not self._compute("run", [*words, "--runs", str(self.runs.root), *executor]):
                return
            self.pending.pop(0)

    def _compute(self, verb: str, words: Sequence[str]) -> bool:
        """Types a command that submits; returns False if something is left, as SLURM refused or the queue is full."""
        self.report.typed[verb] = self.report.typed.get(verb, 0) + 1
        ran = self._type(verb, words)
        self._take_in()
        if ran.status == 2 and "the scheduler refuses" in ran.output:
            self.report.refused += 1
            return False
        return "are left for later" not in ran.output

    def _type(self, verb: str, words: Sequence[str]) -> Ran:
        """Types a command and measures it."""
        self.cluster.show()
        self.commands.publish(self.cluster.queue(), self.cluster.ended.items())
        ran = self.lgbench([verb, *words], self.commands.environment)
        most = self.report.measured.setdefault(verb, {"times": 0, "seconds": 0.0, "processor": 0.0, "memory": 0})
        most["times"] += 1
        for name in ("seconds", "processor", "memory"):
            most[name] = max(most[name], getattr(ran, name))
        nothing_left = verb == "retry" and "nothing of that failed or was lost" in ran.output
        if ran.status and not nothing_left and "the scheduler refuses" not in ran.output:
            sys.exit(f"lgbench {verb} {' '.join(words)}: {ran.output}")
        return ran

    def _take_in(self) -> None:
        """Puts what sbatch took into the queue of the cluster."""
        stages: dict[str, tuple[str, ...]] = {}
        for path in sorted(set((self.runs.root / "slurm").glob("*/submission.json")) - self._seen):
            self._seen.add(path)
            for made in read(SubmissionFile, path).arrays:
                stages |= dict(zip(made.jobs, made.stages, strict=True))
        if (self.runs.root / "plans").is_dir():
            self.cluster.planned = {stage.address: stage for stage in planned_stages(self.runs)}
        for array in self.commands.submitted():
            self.report.arrays += 1
            self.report.longest_dependency = max(self.report.longest_dependency, len(array.after))
            self.cluster.submit(array, stages)
        self.cluster.start_jobs()

    def _conclude(self) -> None:
        """Fills in the report."""
        report, cluster = self.report, self.cluster
        self._type("status", ["--runs", str(self.runs.root)])
        self._type("report", ["--runs", str(self.runs.root), "--format", "csv"])
        started = time.perf_counter()
        states = [
            (stage.kind, self.runs.folder(stage.kind, stage.address).state()) for stage in cluster.planned.values()
        ]
        report.measured["scan of the store"] = {"times": 1, "seconds": time.perf_counter() - started}
        cells = [state for kind, state in states if kind == "cell"]
        report.cells, report.cells_done = len(cells), cells.count(State.DONE)
        report.stages, report.stages_done = len(states), [state for _, state in states].count(State.DONE)
        hours = cluster.hours
        report.days = cluster.clock / 24 / HOUR
        ends = sorted(
            cluster.done_at[one]
            for one, stage in cluster.planned.items()
            if stage.kind == "cell" and one in cluster.done
        )
        for share in (50, 90, 99) if ends else ():
            report.days_of_cells[f"{share} %"] = ends[(len(ends) - 1) * share // 100] / 24 / HOUR
        self._find_longest()
        report.useful = (sum(cluster.computed.values()) - sum(cluster.lost.values())) / HOUR
        for name in ("occupied", "starting", "waiting", "saving", "down"):
            setattr(report, name, getattr(hours, name) / HOUR)
        report.lost = {cause: seconds / HOUR for cause, seconds in sorted(hours.lost.items())}
        report.unused = len(cluster.nodes) * cluster.rates.node_gpus * cluster.clock / HOUR - report.occupied
        report.queue_hours = cluster.queue_seconds / HOUR / max(1, cluster.counts["starts of jobs"])
        report.counts, report.calls = dict(sorted(cluster.counts.items())), dict(sorted(self.commands.calls().items()))
        report.most_queued, report.most_running = cluster.most_queued, cluster.most_running
        report.files, report.megabytes = on_disk(self.runs.root)
        report.slurm_files, _ = on_disk(self.runs.root / "slurm")

    def _find_longest(self) -> None:
        """Finds the longest stage, and the longest chain of stages that wait for each other, without failures."""
        cluster, chains = self.cluster, dict[str, float]()
        longest = max(cluster.planned.values(), key=lambda stage: cluster.seconds_of(stage.address))
        self.report.longest, seconds = longest.label, cluster.seconds_of(longest.address)
        for address, stage in cluster.planned.items():
            before = max((chains[needed] for needed in stage.inputs.values()), default=0.0)
            chains[address] = before + cluster.seconds_of(address)
        self.report.longest_days = seconds / 24 / HOUR
        self.report.longest_chain_days = max(chains.values()) / 24 / HOUR


def on_disk(folder: Path) -> tuple[int, float]:
    """Counts the files and folders below a folder, and the megabytes of their blocks."""
    files, blocks = 0, 0
    for path, folders, names in os.walk(folder):
        files += len(folders) + len(names)
        blocks += sum(os.lstat(os.path.join(path, name)).st_blocks for name in (*folders, *names))
    return files, 512 * blocks / 1e6


def simulate(
    folder: Path,
    asked: Asked,
    rates: Rates | None = None,
    site: Site | None = None,
    *,
    seed: int = 0,
    look_hours: float = 24.0,
    lgbench: Lgbench = in_a_process,
) -> tuple[Report, Cluster]:
    """Simulates everything from the first command to the last record."""
    user = User(folder, asked, rates or Rates(), site or Site(), seed, lgbench)
    user.begin()
    return user.work(look_hours), user.cluster


def lines(report: Report) -> list[str]:
    """Words what was found."""
    lost = sum(report.lost.values())
    causes = ", ".join(f"{cause} {hours:,.0f}" for cause, hours in report.lost.items())
    found = [
        f"finished: {report.cells_done:,} of {report.cells:,} cells, "
        f"{report.stages_done:,} of {report.stages:,} stages",
        f"simulated time: {report.days:,.1f} days; "
        + ", ".join(f"{share} of the cells after {days:,.1f}" for share, days in report.days_of_cells.items()),
        f"longest stage: {report.longest}, {report.longest_days:,.1f} days on one GPU; longest chain of stages: "
        f"{report.longest_chain_days:,.1f} days",
        f"GPU-hours that jobs held: {report.occupied:,.0f} = useful {report.useful:,.0f} + lost {lost:,.0f} + starting "
        f"{report.starting:,.0f} + waiting for another job's stage {report.waiting:,.0f} + saving {report.saving:,.0f}",
        f"lost: {causes or 'nothing'}",
        f"GPU-hours without a job: {report.unused:,.0f}, of them {report.down:,.0f} on nodes under repair",
        f"a start of a job waited {report.queue_hours:.1f} h in the queue on average",
        f"what happened: {', '.join(f'{name} {count:,}' for name, count in report.counts.items())}",
        f"queue: {report.most_queued:,} jobs at most, {report.most_running:,} of them running",
        f"typed: {', '.join(f'{count} lgbench {verb}' for verb, count in report.typed.items())}; "
        f"{report.refused} refused",
        f"calls: {', '.join(f'{count} {name}' for name, count in report.calls.items())}; {report.arrays} arrays, "
        f"with {report.longest_dependency} ids to wait for at most",
        f"on the disk here: {report.files:,} files and folders, {report.megabytes:,.0f} MB; {report.slurm_files:,} of "
        f"them are submitit's",
    ]
    for verb, most in report.measured.items():
        words = f"{verb}: {most['times']} times, at most {most['seconds']:.1f} s"
        if most.get("memory"):
            words += f" ({most['processor']:.1f} s of the processor), {most['memory'] / 1e6:,.0f} MB of memory"
        found.append(words)
    return found


def about_the_machine() -> str:
    packages = ", ".join(f"{name} {version(name)}" for name in ("learngene-bench", "submitit", "pydantic"))
    return f"{os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}, {packages}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, default=100_000, help="about so many; sets the number of seeds")
    parser.add_argument("--grids", default="all")
    parser.add_argument("--preset", default="imagenet")
    parser.add_argument("--seed", type=int, default=0, help="seed of the simulation")
    parser.add_argument("--look-hours", type=float, default=24.0, help="time between two looks of the user")
    parser.add_argument("--folder", type=Path, help="folder for the files, which are kept; a temporary one by default")
    parser.add_argument("--max-submitted", type=int, default=0, help="the user gives lgbench this option")
    parser.add_argument("--vary", action="store_true", help="also with ten times the failures, and a tenth of the GPUs")
    parser.add_argument("--json", type=Path, help="write what is found to this file, too")
    for option in (*fields(Rates), *fields(Site)):
        name = f"--{option.name.replace('_', '-')}"
        parser.add_argument(name, type=type(option.default), default=option.default)
    options = vars(parser.parse_args())
    rates = Rates(**{one.name: options[one.name] for one in fields(Rates)})
    site = Site(**{one.name: options[one.name] for one in fields(Site)})
    with tempfile.TemporaryDirectory() as temporary:
        folder = options["folder"] or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        plan = partial(planned, Asked(options["grids"], options["preset"]), folder)
        one, _ = plan(1)
        seeds = max(1, round(options["cells"] / one["together"]["left"]["cell"]))
        about, ran = plan(seeds)
        asked = Asked(options["grids"], options["preset"], seeds, max_submitted=options["max_submitted"])
        print(f"{asked}\n{rates}\n{site}\nseed {options['seed']}; {about_the_machine()}", flush=True)
        first = User(folder / "as-asked", asked, rates, site, options["seed"], in_a_process)
        first.begin()
        submitted = copy.deepcopy(first.report)
        if options["vary"]:
            if first.pending:
                parser.error("--vary: SLURM did not take everything at once, so there is nothing common to begin with")
            shutil.copytree(folder / "as-asked", folder / "submitted")
        found = {"as asked": first.work(options["look_hours"])}
        found["as asked"].planned = about["together"]
        found["as asked"].measured["plan"] = {"times": 1, **measured(ran)}
        print("\n".join(lines(found["as asked"])), flush=True)
        for name, other in variants(rates).items() if options["vary"] else ():
            shutil.rmtree(folder / "as-asked")
            shutil.copytree(folder / "submitted", folder / "as-asked")
            user = User(folder / "as-asked", asked, other, site, options["seed"], in_a_process)
            user.adopt(submitted)
            found[name] = user.work(options["look_hours"])
            print("\n".join(["", name, *lines(found[name])]), flush=True)
    if options["json"]:
        content = {name: asdict(report) for name, report in found.items()}
        options["json"].write_text(json.dumps(content, indent=1), encoding="utf-8")


def variants(rates: Rates) -> dict[str, Rates]:
    """Changes one thing at a time."""
    return {
        "no failures": replace(rates, failures=0.0, preemptions=0.0, stage_failures=0.0),
        "10 x failures of nodes": replace(rates, failures=10 * rates.failures),
        "10 x preemptions": replace(rates, preemptions=10 * rates.preemptions),
        "10 x failures of stages": replace(rates, stage_failures=10 * rates.stage_failures),
        "a tenth of the GPUs": replace(rates, gpus=rates.gpus // 10),
    }


def measured(ran: Ran) -> dict[str, float]:
    """Returns what a command took."""
    return {"seconds": ran.seconds, "processor": ran.processor, "memory": ran.memory}


def planned(asked: Asked, folder: Path, seeds: int) -> tuple[dict[str, Any], Ran]:
    """Asks `lgbench plan` what several grids take together."""
    words = ["plan", "--grid", asked.grids, "--preset", asked.preset, "--seeds", str(seeds), "--format", "json"]
    ran = in_a_process([*words, "--runs", str(folder / "nothing")], {})
    if ran.status:
        sys.exit(ran.output)
    return json.loads(ran.output), ran


if __name__ == "__main__":
    main()
