"""Computes the stages of plans, and says what came of them: what `run` does after it has read its options."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from learngene_bench.cli import common
from learngene_bench.cli.display import Display, Panel, print_failures, print_warnings
from learngene_bench.config.preset import QUICK
from learngene_bench.contracts.executor import Executor, RunState, StageInfo
from learngene_bench.execution.work import StageWork
from learngene_bench.planning.plan import Plan, Stage
from learngene_bench.plugins.registry import settings_anywhere
from learngene_bench.runs.manifest import describe_cell, write_manifest
from learngene_bench.runs.store import Runs, State
from learngene_bench.schema.provenance import SourceCode
from learngene_bench.schema.stage import Execution
from learngene_bench.util import source_code
from learngene_bench.util.errors import UserError, describe_error
from learngene_bench.util.files import read_bytes, write_text

if TYPE_CHECKING:
    from learngene_bench.results import Results


@dataclass(frozen=True)
class Computation:
    """The means of one command to compute plans.

    Attributes:
        command: the command, word by word.
        retry_failed: try stages again that failed in an earlier run.
        debug: show the traceback of every stage that fails.
        track: trackers that are told the learning curves of stages.
        console: place where progress is printed; the standard output by default.
        panel: makes a place for the panel of progress, where that is not the console.
    """

    executor: Executor
    runs: Runs
    command: Sequence[str]
    plugins: Sequence[Path]
    retry_failed: bool
    debug: bool
    track: Sequence[str] = ()
    console: Console = field(default_factory=common.console)
    panel: Callable[[], Panel] | None = None

    def compute(self, plans: Sequence[Plan]) -> RunState:
        """Computes the stages of plans that are not done, each once, and shows how far they are.

        Raises:
            UserError: data are missing, or something else that the user must put right.
        """
        stages: dict[str, Stage] = {}
        owners: dict[str, Plan] = {}
        for plan in plans:
            if self.executor.on_this_machine:
                _check_data(plan, self.runs)
            for address, stage in plan.stages.items():
                stages.setdefault(address, stage)
                owners.setdefault(address, plan)

        def begin(unfinished: Sequence[StageInfo]) -> None:
            for plan in plans:
                write_manifest(plan, self.runs, list(self.command))
            execution_of = self._execution_of(plans, owners)
            for stage in unfinished:
                self.runs.write_config(stages[stage.address], execution_of(stage))

        plain, panel = self.executor.shares_terminal, self.panel() if self.panel else None
        with Display(stages, self.runs, self.console, plain=plain, debug=self.debug, panel=panel) as display:
            return self.executor.run(
                StageWork(
                    stages=dict(stages),
                    runs=self.runs.root,
                    compute=plans[0].preset.compute,
                    plugins=self.plugins,
                    retry="all" if self.retry_failed else "crashed",
                    command_line=self.command,
                    on_begin=begin,
                    on_change=display.update,
                )
            )

    def _execution_of(self, plans: Sequence[Plan], owners: Mapping[str, Plan]) -> Callable[[StageInfo], Execution]:
        """Returns a function that says what a stage's worker needs to know beside the stage.

        Args:
            owners: the first plan of each stage, by address.
        """
        cells = {cell.address: describe_cell(cell, plan) for plan in reversed(plans) for cell in plan.cells}
        code = SourceCode(**source_code.identity())

        def execution_of(stage: StageInfo) -> Execution:
            plan = owners[stage.address]
            here = plan.task_data.get(stage.address)
            return Execution(
                command=tuple(self.command),
                code=code,
                executor=self.executor.name,
                executor_options=self.executor.options.model_dump(mode="json", exclude_defaults=True),
                plugins=tuple(str(path.resolve()) for path in self.plugins),
                checkpoint_seconds=plan.preset.compute.checkpoint_seconds,
                num_workers=plan.preset.compute.num_workers,
                keep_probabilities=plan.preset.compute.keep_probabilities,
                data=settings_anywhere(plan.preset.data),
                task_data=None if here is None else settings_anywhere(here),
                files={found: str(path.resolve()) for found, path in plan.files.items()},
                description=cells.get(stage.address),
                track=tuple(self.track),
            )

        return execution_of


def conclude_run(computation: Computation, state: RunState, plan: Plan) -> int:
    """Prints and writes the tables of a plan; returns the exit status of the command."""
    of_setting = plan.equal_budget_of or plan.setting
    return conclude(computation, [state], [plan], plan.setting, lambda results: results.of_setting(of_setting))


def conclude(
    computation: Computation,
    states: Sequence[RunState],
    plans: Sequence[Plan],
    setting: str,
    select: Callable[[Results], Results],
) -> int:
    """Prints the tables of a run, reasons to doubt it and failures.

    Args:
        states: how the stages ended.
        plans: its plans.
        setting: setting or sweep, by address, after which the folder of the report is named.
        select: keeps the results that the tables are made of.

    Returns:
        The exit status of the command.
    """
    console, runs = computation.console, computation.runs
    folder = runs.root / "report" / f"{plans[0].preset.name}-{setting[:8]}"
    status = _report(plans[0], runs, folder, select, console)
    stages = {address: stage for plan in plans for address, stage in plan.stages.items()}
    print_warnings(stages.values(), runs, console)
    return max(status, *(print_failures(state, console) for state in states))


def _report(plan: Plan, runs: Runs, folder: Path, select: Callable[[Results], Results], console: Console) -> int:
    """Writes the tables beside the records, prints them, and draws the figures; says where everything is.

    Returns 1 if that goes wrong, which no record depends on.
    """
    from learngene_bench import results
    from learngene_bench.results.formats.reporting import FORMATS, WHERE_MEASURED, make, print_report

    try:
        found = select(results.load([runs.root]))
        if not found.records:
            return 0
        written = {"CSV": folder / "cells.csv", "Markdown": folder / "tables.md"}
        write_text(written["CSV"], FORMATS["csv"](make(found)))
        tables = FORMATS["markdown"](make(found, computed=WHERE_MEASURED))
        drawn = _drawn(written["Markdown"], tables)
        if not drawn:
            write_text(written["Markdown"], tables)
        if plan.preset.name.endswith(QUICK):
            console.print("a quick run: it shows that everything runs, its numbers mean nothing\n", soft_wrap=True)
        print_report(make(found, plan.grid.name, computed=WHERE_MEASURED), console)
        if not drawn:
            drawn = _draw(found, folder)
            write_text(written["Markdown"], tables + _shown(drawn))
        written |= {"plot" if number == 0 else f"plot {number + 1}": path for number, path in enumerate(drawn)}
        for kind, path in {"records": runs.root / "cell", **written}.items():
            console.print(f"{kind:10}{path}", soft_wrap=True)
    except (UserError, BrokenPipeError):
        raise
    except Exception as error:
        console.print(
            f"the report failed ({describe_error(error)}); the records are complete, and "
            f"lgbench --debug report --runs {runs.root} shows where it fails",
            markup=False,
            soft_wrap=True,
        )
        return 1
    return 0


def _check_data(plan: Plan, store: Runs) -> None:
    """Raises `UserError` if data of a task are missing, before hours of training on the source."""
    if not all(store.stage_dir(stage).state() is State.DONE for stage in plan.stages.values()):
        for task in plan.tasks:
            task.check_available()


def _shown(figures: Sequence[Path]) -> str:
    """Returns the end of the Markdown file, which shows the figures."""
    return "".join(f"\n![{path.stem}]({path.name})\n" for path in figures)


def _drawn(report: Path, tables: str) -> list[Path]:
    """Returns the figures of a Markdown file; empty unless it has these tables and every figure is there.

    It names the figures once all are drawn: a run may be killed between two of them, or between the two files of one.
    """
    try:
        text = read_bytes(report).decode()
    except (OSError, ValueError):
        return []
    names = re.findall(r"^!\[[^]]*\]\(([\w.-]+\.png)\)$", text, re.MULTILINE)
    drawn = [report.parent / name for name in names]
    whole = all(path.is_file() and path.with_suffix(".pdf").is_file() for path in drawn)
    return drawn if whole and text == tables + _shown(drawn) else []


def _draw(found: Results, folder: Path) -> list[Path]:
    """Draws the figures; returns those for a screen."""
    from learngene_bench.results import plots

    every = [*plots.accuracy(found, folder), *plots.sweep(found, folder)]
    return [path for path in every if path.suffix == ".png"]
