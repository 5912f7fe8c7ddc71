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
from learngene_bench.api.notebook import NotebookPanel, in_notebook, is_watched
from learngene_bench.cli import common
from learngene_bench.cli.computing import Computation
from learngene_bench.cli.executor_options import words_of
from learngene_bench.cli.plan import as_json, estimate_of, plan_of_sweep, print_doubts, print_plan
from learngene_bench.cli.run import run as command_run
from learngene_bench.cli.sweep import compute_sweep
from learngene_bench.config.typed import user_path
from learngene_bench.contracts.executor import Executor
from learngene_bench.contracts.tracker import usable_trackers
from learngene_bench.execution.executors import make_executor
from learngene_bench.planning.plan import Plan
from learngene_bench.planning.planner import make_plan
from learngene_bench.planning.request import Request, build_request
from learngene_bench.planning.sweep import SweepPlan, make_sweep
from learngene_bench.runs.store import Runs
from learngene_bench.schema.seeds import parse_seeds
from learngene_bench.util.errors import UserError
from learngene_bench.util.terminal import TerminalConsole

if TYPE_CHECKING:
    import pandas

Swept = Mapping[str, str | Sequence[Any]] | str | Sequence[str]
"""Settings that differ between trials: a list of values or a range for each key, or texts KEY=VALUES."""

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
    sweep: Swept = (),
    trials: int | None = None,
    trial_seed: int = 0,
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
        sweep: what `--sweep` takes: `{"finetuning.learning_rate": [5e-4, 1e-3]}`, or texts KEY=VALUES. Every method is
            measured at several settings on validation images, and what is selected by them on test images.
        trials: number of trials that are drawn; by default every combination of the values.
        trial_seed: seed by which they are drawn.
        retry_failed: try stages again that failed in an earlier run.
        executor: `inline` (in this process), `local` (worker processes), `slurm`, or another installed one.
        track: trackers that show learning curves while stages are computed, such as "tensorboard".
        quiet: print no progress. In a notebook that a person executes, progress is one output that changes in place.
        options: options of the executor (`workers=2`; for slurm `partition="gpu"`).

    Returns:
        The results of this plan; those that are there, if an executor has handed the work over to a scheduler.
        `failures` has the errors of the stages that failed; of a sweep, `trials` and `selected` have what was tried
        and what was chosen.

    Raises:
        UserError: any of these is wrong; the one line says what is valid.
    """
    chosen, trackers = make_executor(executor, options), usable_trackers(names(track))
    asked = _Asked(names(method), grid, preset, str(seeds), _settings(settings), _plugins(plugin), quick, equal_budget)
    asked = replace(asked, sweep=_sweep(sweep), trials=trials, trial_seed=trial_seed)
    folder = common.runs_folder(None if runs is None else user_path(str(runs)), quick)
    common.refuse_mixing(folder, quick)
    console = _console(quiet)
    made = asked.plan(chosen)
    default = made.default if isinstance(made, SweepPlan) else made
    print_doubts(default, console)
    command = asked.command(folder, executor, options) + [w for name in trackers for w in ("--track", name)]
    panel = NotebookPanel if is_watched() and not quiet else None
    means = Computation(chosen, Runs(folder), command, asked.plugins, retry_failed, False, trackers, console, panel)
    if isinstance(made, SweepPlan):
        compute_sweep(means, made)
    else:
        means.compute([made])
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
    sweep: Swept = (),
    trials: int | None = None,
    trial_seed: int = 0,
    executor: str = "local",
    **options: Any,
) -> PlannedRun:
    """Plans what `run` with the same arguments would do, without doing it. All trials of a sweep are cells of the plan.

    Raises:
        UserError: see `run`.
    """
    asked = _Asked(names(method), grid, preset, str(seeds), _settings(settings), _plugins(plugin), quick, equal_budget)
    asked = replace(asked, sweep=_sweep(sweep), trials=trials, trial_seed=trial_seed)
    folder = Runs(common.runs_folder(None if runs is None else user_path(str(runs)), quick))
    made = asked.plan(make_executor(executor, options))
    return PlannedRun(plan_of_sweep(made, folder) if isinstance(made, SweepPlan) else made, folder)


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
    sweep: Sequence[str] = ()
    trials: int | None = None
    trial_seed: int = 0

    def plan(self, executor: Executor) -> Plan | SweepPlan:
        """Plans it, as a sweep where there is one.

        Raises:
            UserError: something is wrong.
        """
        _check_draws(self.trials, self.trial_seed)
        registry, wanted = common.registry_of(self.plugins), parse_seeds(self.seeds)
        space = common.sweep_space(list(self.sweep), self.trials, self.trial_seed, list(self.settings), registry)

        def build(further: Sequence[str]) -> Request:
            every = [*self.settings, *further]
            methods = ",".join(self.methods) or None
            request = build_request(
                methods, self.grid, self.preset, wanted, every, registry, self.quick, self.equal_budget
            )
            return replace(request, device=executor.device_kind(request.preset.compute), processes=executor.processes)

        return make_plan(build(())) if space is None else make_sweep(build, space)

    def command(self, runs: Path, executor: str, options: Mapping[str, Any]) -> list[str]:
        """Returns the command line that does the same, for the records."""
        words = ["lgbench", "run", *(["--method", ",".join(self.methods)] if self.methods else [])]
        words += ["--grid", self.grid, "--preset", self.preset, "--seeds", self.seeds, "--runs", str(runs)]
        words += [word for text in self.settings for word in ("--set", text)]
        words += [word for path in self.plugins for word in ("--plugin", str(path))]
        words += [word for text in self.sweep for word in ("--sweep", text)]
        words += [] if self.trials is None else ["--trials", str(self.trials)]
        words += ["--trial-seed", str(self.trial_seed)] if self.trial_seed else []
        words += ["--quick"] * self.quick + ["--equal-budget"] * self.equal_budget + ["--executor", executor]
        return [*words, *words_of(executor, command_run, options)]


def _console(quiet: bool) -> TerminalConsole:
    """Returns a console of plain lines in a notebook, where rich would make an output of its own of each."""
    if in_notebook():
        return TerminalConsole(highlight=False, quiet=quiet, force_jupyter=False, force_terminal=False, width=_WIDTH)
    return TerminalConsole(highlight=False, quiet=quiet)


def _measured(folder: Path, made: Plan | SweepPlan) -> Measured:
    from learngene_bench.results import load

    found = load([folder])
    if isinstance(made, SweepPlan):
        return Measured(found.of_sweep(made.sweep.address))
    return Measured(found.of_setting(made.equal_budget_of or made.setting))


def _settings(given: Mapping[str, Any] | Sequence[str]) -> list[str]:
    """Returns settings as `--set` takes them."""
    if isinstance(given, str):
        return [given]
    if not isinstance(given, Mapping):
        return list(given)
    return [f"{key}={_text('settings', key, value)}" for key, value in given.items()]


def _sweep(given: Swept) -> list[str]:
    """Returns what is swept as `--sweep` takes it."""
    if isinstance(given, str):
        return [given]
    if not isinstance(given, Mapping):
        return list(given)
    texts = []
    for key, values in given.items():
        if not isinstance(values, str | list | tuple):
            raise UserError(f"sweep: {key} is {values!r}, and not a list of values or a range as in 'uniform(0,1)'")
        many = [values] if isinstance(values, str) else [_text("sweep", key, value) for value in values]
        texts.append(f"{key}={','.join(many)}")
    return texts


def _check_draws(trials: int | None, seed: int) -> None:
    """Raises `UserError` for numbers that the command line refuses."""
    if trials is not None and (type(trials) is not int or trials < 2):
        raise UserError(f"trials: {trials!r} is no whole number from 2")
    if type(seed) is not int or seed < 0:
        raise UserError(f"trial_seed: {seed!r} is no whole number from 0")


def _text(argument: str, key: str, value: Any) -> str:
    """Returns a value as it is typed after `--set KEY=`."""
    try:
        return value if isinstance(value, str) else json.dumps(value)
    except TypeError:
        raise UserError(f"{argument}: {key} is {value!r}, and not a number, text, switch or list of these") from None


def _plugins(given: str | Path | Sequence[str | Path]) -> list[Path]:
    paths = [given] if isinstance(given, str | Path) else list(given)
    return [user_path(str(path)) for path in paths]
