"""`learngene_bench.run` and `plan`: the benchmark from Python, with the words of the command line."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from learngene_bench.api.measured import Measured, Names, names
from learngene_bench.cli import common
from learngene_bench.cli.computing import Computation
from learngene_bench.cli.executor_options import words_of
from learngene_bench.cli.plan import as_json, estimate_of, print_doubts, print_plan
from learngene_bench.cli.run import run as command_run
from learngene_bench.config.typed import user_path
from learngene_bench.contracts.executor import Executor
from learngene_bench.contracts.tracker import usable_trackers
from learngene_bench.execution.executors import make_executor
from learngene_bench.planning.plan import Plan
from learngene_bench.planning.planner import make_plan
from learngene_bench.planning.request import build_request
from learngene_bench.runs.store import Runs
from learngene_bench.schema.seeds import parse_seeds
from learngene_bench.util.errors import UserError
from learngene_bench.util.terminal import TerminalConsole

if TYPE_CHECKING:
    import pandas

_WIDTH = 100
"""Columns of a plan as a notebook shows it."""


def run(
    method: Names = (),
    grid: str = "depth",
    preset: str = "digits",
    *,
    seeds: int | str = 1,
    settings: Mapping[str, Any] | Sequence[str] = (),
    runs: str | Path | None = None,
    plugin: str | Path | Sequence[str | Path] = (),
    quick: bool = False,
    equal_budget: bool = False,
    retry_failed: bool = False,
    executor: str = "local",
    track: Names = (),
    quiet: bool = False,
    **options: Any,
) -> Measured:
    """Measures methods on a grid. Finished stages are reused, interrupted ones continue, as with `lgbench run`.

    Args:
        method: names of methods, or variants (`wave:noise=0.1`); those of the grid by default.
        grid: a name or a TOML file.
        preset: a name or a TOML file.
        seeds: number of seeds, or genes x targets as in "3x4".
        settings: what `--set` takes: `{"finetuning.epochs": 5}`, or texts KEY=VALUE.
        runs: folder of all results; `runs` by default, with `quick` a folder of its own.
        plugin: Python files that define initializers of your own.
        quick: train for a few steps on two targets, to see whether everything runs.
        equal_budget: let every method train on the same number of images.
        retry_failed: try stages again that failed in an earlier run.
        executor: `inline` (in this process), `local` (worker processes), `slurm`, or another installed one.
        track: trackers that show learning curves while stages are computed, such as "tensorboard".
        quiet: print no progress.
        options: options of the executor (`workers=2`; for slurm `partition="gpu"`).

    Returns:
        The results of this plan; those that are there, if an executor has handed the work over to a scheduler.
        `failures` has the errors of the stages that failed.

    Raises:
        UserError: any of these is wrong; the one line says what is valid.
    """
    chosen, trackers = make_executor(executor, options), usable_trackers(names(track))
    asked = _Asked(names(method), grid, preset, str(seeds), _settings(settings), _plugins(plugin), quick, equal_budget)
    folder = common.runs_folder(None if runs is None else user_path(str(runs)), quick)
    common.refuse_mixing(folder, quick)
    console = TerminalConsole(highlight=False, quiet=quiet)
    made = asked.plan(chosen)
    print_doubts(made, console)
    command = asked.command(folder, executor, options) + [w for name in trackers for w in ("--track", name)]
    Computation(chosen, Runs(folder), command, asked.plugins, retry_failed, False, trackers, console).compute([made])
    return _measured(folder, made)


def plan(
    method: Names = (),
    grid: str = "depth",
    preset: str = "digits",
    *,
    seeds: int | str = 1,
    settings: Mapping[str, Any] | Sequence[str] = (),
    runs: str | Path | None = None,
    plugin: str | Path | Sequence[str | Path] = (),
    quick: bool = False,
    equal_budget: bool = False,
    executor: str = "local",
    **options: Any,
) -> PlannedRun:
    """Plans what `run` with the same arguments would do, without doing it.

    Raises:
        UserError: see `run`.
    """
    asked = _Asked(names(method), grid, preset, str(seeds), _settings(settings), _plugins(plugin), quick, equal_budget)
    folder = common.runs_folder(None if runs is None else user_path(str(runs)), quick)
    return PlannedRun(asked.plan(make_executor(executor, options)), Runs(folder))


@dataclass(frozen=True)
class PlannedRun:
    """A plan, and what is done of it. A notebook shows it as `lgbench plan` prints it.

    Attributes:
        plan: cells and stages.
        runs: the folder of results.
    """

    plan: Plan
    runs: Runs

    @cached_property
    def content(self) -> dict[str, Any]:
        """All of it, as `lgbench plan --format json` prints it."""
        states = {address: self.runs.stage_dir(stage).state() for address, stage in self.plan.stages.items()}
        return as_json(self.plan, states, estimate_of(self.plan, self.runs, states))

    @property
    def cells(self) -> pandas.DataFrame:
        """One row for each cell: method, target, seed, parameters, state."""
        import pandas

        return pandas.json_normalize(self.content["cells"])

    @property
    def stages(self) -> pandas.DataFrame:
        """One row for each stage: kind, state, estimated operations."""
        import pandas

        return pandas.DataFrame(self.content["stages"])

    @property
    def estimate(self) -> dict[str, Any]:
        """Estimated cost of what is not done: stages, operations, seconds, workers."""
        return dict(self.content["estimate"])

    def __repr__(self) -> str:
        text = io.StringIO()
        states = {address: self.runs.stage_dir(stage).state() for address, stage in self.plan.stages.items()}
        console = Console(file=text, width=_WIDTH, highlight=False)
        print_plan(self.plan, states, estimate_of(self.plan, self.runs, states), console)
        return text.getvalue().rstrip()

    def _repr_html_(self) -> str:
        return f"<pre>{escape(repr(self))}</pre>"


@dataclass(frozen=True)
class _Asked:
    """The arguments of one call, as the command line has them."""

    methods: Sequence[str]
    grid: str
    preset: str
    seeds: str
    settings: Sequence[str]
    plugins: Sequence[Path]
    quick: bool
    equal_budget: bool

    def plan(self, executor: Executor) -> Plan:
        registry = common.registry_of(self.plugins)
        request = build_request(
            ",".join(self.methods) or None,
            self.grid,
            self.preset,
            parse_seeds(self.seeds),
            self.settings,
            registry,
            self.quick,
            self.equal_budget,
        )
        device = executor.device_kind(request.preset.compute)
        return make_plan(replace(request, device=device, processes=executor.processes))

    def command(self, runs: Path, executor: str, options: Mapping[str, Any]) -> list[str]:
        """Returns the command line that does the same, for the records."""
        words = ["lgbench", "run", *(["--method", ",".join(self.methods)] if self.methods else [])]
        words += ["--grid", self.grid, "--preset", self.preset, "--seeds", self.seeds, "--runs", str(runs)]
        words += [word for text in self.settings for word in ("--set", text)]
        words += [word for path in self.plugins for word in ("--plugin", str(path))]
        words += ["--quick"] * self.quick + ["--equal-budget"] * self.equal_budget + ["--executor", executor]
        return [*words, *words_of(executor, command_run, options)]


def _measured(folder: Path, made: Plan) -> Measured:
    from learngene_bench.results import load

    return Measured(load([folder]).of_setting(made.equal_budget_of or made.setting))


def _settings(given: Mapping[str, Any] | Sequence[str]) -> list[str]:
    """Returns settings as `--set` takes them."""
    if isinstance(given, str):
        return [given]
    if not isinstance(given, Mapping):
        return list(given)
    texts = []
    for key, value in given.items():
        try:
            texts.append(f"{key}={value}" if isinstance(value, str) else f"{key}={json.dumps(value)}")
        except TypeError:
            raise UserError(f"settings: {key} is {value!r}, and not a number, text, switch or list of these") from None
    return texts


def _plugins(given: str | Path | Sequence[str | Path]) -> list[Path]:
    paths = [given] if isinstance(given, str | Path) else list(given)
    return [user_path(str(path)) for path in paths]
