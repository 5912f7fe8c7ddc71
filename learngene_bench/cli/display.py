"""Live progress of a run: a redrawn panel on a terminal or in a notebook, plain lines elsewhere.

It reads files, like `status`.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from learngene_bench.cli.measured import measured
from learngene_bench.contracts.executor import RunState, StageInfo
from learngene_bench.runs.store import Runs, StageFolder, State
from learngene_bench.schema.progress import Progress
from learngene_bench.schema.record import AncestorRecord
from learngene_bench.tracking.problems import Problems
from learngene_bench.tracking.run import FOLDER
from learngene_bench.util.durations import duration
from learngene_bench.util.errors import describe_error
from learngene_bench.util.words import counted

STOPPING = "stopping: workers save checkpoints (Ctrl-C again: at once)"


class Panel(Protocol):
    """A place that shows one thing after the other, like `rich.live.Live`."""

    def start(self) -> None: ...

    def update(self, renderable: RenderableType, *, refresh: bool = False) -> None: ...

    def stop(self) -> None: ...


class Display:
    """Shows the state of a run while it goes on.

    Args:
        plain: True for lines instead of a panel, also on a terminal.
        debug: True to show the traceback of every stage that fails.
        panel: where else the panel is shown: in a notebook. It then has the pace of each stage, and the stage that
            ended last instead of a line for every one that has ended well.
    """

    def __init__(
        self,
        stages: Mapping[str, StageInfo],
        runs: Runs,
        console: Console,
        *,
        plain: bool = False,
        debug: bool = False,
        panel: Panel | None = None,
    ) -> None:
        self.stages, self.runs, self.console, self.debug = stages, runs, console, debug
        on_terminal = console.is_terminal and not plain
        self.in_notebook, self.last = panel is not None, ""
        self.live = panel or (Live(console=console, auto_refresh=False, transient=True) if on_terminal else None)
        self.started = time.monotonic()
        self.reported: set[str] = set()
        self.waited_for: set[str] = set()
        self.problems = Problems(runs.root / FOLDER)
        self.stopping = self.is_broken = False
        self.work = {address: stage.flops or 1e9 for address, stage in stages.items()}

    def __enter__(self) -> Display:
        return self

    def __exit__(self, *_: object) -> None:
        if self.live:
            with suppress(Exception):
                self.live.stop()
        with suppress(Exception):
            self._report_problems()

    def update(self, state: RunState) -> None:
        """Prints a line for every stage that ended since the last call or is held elsewhere, and redraws the panel.

        What cannot be shown, on a terminal that is gone for example, is not worth the run: from then on nothing is.
        """
        if self.is_broken:
            return
        try:
            self._update(state)
        except Exception as error:
            self.is_broken = True
            with suppress(OSError):
                print(f"lgbench: the display failed ({describe_error(error)}); the run goes on", file=sys.stderr)

    def _update(self, state: RunState) -> None:
        if self.live:
            self.live.start()  # not before: an executor may have something to say first
        for address in [*state.done, *state.failed]:
            if address not in self.reported and address not in state.reused:
                self._report(self.stages[address], state)
            self.reported.add(address)
        self._report_problems()
        for address in state.held_elsewhere.keys() - state.done - self.waited_for:
            self._report_holder(self.stages[address])
            self.waited_for.add(address)
        for address in state.waiting.keys() - self.waited_for:
            text = f"{self.stages[address].label}: {state.waiting[address]}"
            self.console.print(text, style="yellow", markup=False, soft_wrap=True)
            self.waited_for.add(address)
        if state.stopping and not self.stopping and not self.live:
            self.console.print(STOPPING)
        self.stopping = state.stopping
        if self.live:
            self.live.update(self._panel(state), refresh=True)

    def _report(self, stage: StageInfo, state: RunState) -> None:
        """Prints a line for a stage that ended."""
        finished = len(state.done) + len(state.failed)
        count = f"[dim]{finished:>{len(str(len(self.work)))}}/{len(self.work)}[/]"
        if stage.address in state.failed:
            error = state.failed[stage.address]
            self.console.print(f"{count} [red]failed[/] {escape(stage.label)}: {escape(error)}")
            if self.debug and (failure := self._folder(stage).read_failure_if_there()):
                self.console.print(failure.traceback or "", markup=False, soft_wrap=True)
            return
        self.last = f"{stage.label}{_indented(measured(self._folder(stage), stage.kind))}"
        if not self.in_notebook:
            self.console.print(f"{count} {escape(self.last)}")
        print_warnings([stage], self.runs, self.console)

    def _report_problems(self) -> None:
        """Prints the first problem of each tracker."""
        for tracker, problem in self.problems.new():
            text = f"{tracker}: {problem} (the run goes on; lgbench track --runs {self.runs.root} --to {tracker} later)"
            self.console.print(text, style="yellow", markup=False, soft_wrap=True)

    def _report_holder(self, stage: StageInfo) -> None:
        """Prints who computes a stage that this run waits for, and how to end it."""
        lease = self._folder(stage).current_lease()
        if lease and lease.is_held():
            text = f"waiting for {stage.label}: computed by {lease.words} ({lease.remedy})"
            self.console.print(text, style="yellow", markup=False, soft_wrap=True)

    def _panel(self, state: RunState) -> Group:
        table = Table.grid(padding=(0, 1))
        table.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
        for _ in range(1 + self.in_notebook):
            table.add_column(no_wrap=True)
        table.add_column(width=12)
        running = 0.0
        for address in sorted(state.running):
            stage = self.stages[address]
            progress = self._folder(stage).read_progress()
            share = progress.step / max(1, progress.steps) if progress else 0.0
            running += share * self.work[address]
            words = [_epochs(progress), *([_rate(progress)] if self.in_notebook else [])]
            table.add_row(Text(stage.label), *words, ProgressBar(total=1.0, completed=share, width=12))
        table.expand = True
        new = [address for address in state.done if address not in state.reused]
        computed = sum(self.work[address] for address in new) + running
        settled = state.reused | state.failed.keys() | state.blocked
        left = sum(work for address, work in self.work.items() if address not in settled) - computed
        elapsed = time.monotonic() - self.started
        summary = f"{len(state.done)} of {len(self.work)} stages, {duration(elapsed)}"
        if state.stopping:
            summary += f", {STOPPING}"
        elif not state.finished and computed > 0.02 * (computed + left) and elapsed > 5:
            summary += f", about {duration(elapsed * left / computed)} left"
        last = [Text(f"done: {self.last}", style="dim", no_wrap=True, overflow="ellipsis")] if self.last else []
        return Group(table, *(last if self.in_notebook else ()), Text(summary, style="dim"))

    def _folder(self, stage: StageInfo) -> StageFolder:
        return self.runs.folder(stage.kind, stage.address)


def print_warnings(stages: Iterable[StageInfo], runs: Runs, console: Console) -> None:
    """Prints the reasons to doubt ancestors that are done, a paragraph each."""
    for stage in stages:
        folder = runs.folder(stage.kind, stage.address)
        is_done = stage.kind == "ancestor" and folder.state() is State.DONE
        if is_done and (warning := folder.read_record(AncestorRecord).warning):
            console.print(f"[bold red]WARNING[/] {escape(stage.label)}: {escape(warning)}")


def _indented(text: str) -> str:
    return f"  {text}" if text else ""


def print_failures(state: RunState, console: Console) -> int:
    """Prints the stages that failed at the end of a run, and returns the exit status of the command."""
    for address, error in state.failed.items():
        console.print(f"[red]failed[/]    {escape(state.stages[address].label)}: {escape(error)}", soft_wrap=True)
    if state.blocked:
        console.print(f"not run   {counted(len(state.blocked), 'stage')} whose input failed")
    if state.failed:
        console.print(
            "run again with --retry-failed to try once more (crashed stages are tried again without it); "
            "failed.json and log.txt tell more",
            soft_wrap=True,
        )
    return 1 if state.failed else 0


def _rate(progress: Progress | None) -> str:
    """Returns the pace of a training run; nothing before there is one."""
    if progress is None or not progress.seconds_left:
        return ""
    return f"{(progress.steps - progress.step) / progress.seconds_left:.3g} steps/s"


def _epochs(progress: Progress | None) -> str:
    if progress is None:
        return "starting"
    measured = "".join(f" {name} {value:.1f}" for name, value in list(progress.metrics.items())[:1])
    return f"{progress.phase} {progress.epoch:.1f}/{progress.epochs:.1f}{measured}"
