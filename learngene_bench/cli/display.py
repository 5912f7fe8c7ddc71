"""Live progress of a run: a redrawn panel on a terminal, plain lines elsewhere. Read from files, like `status`."""

from __future__ import annotations

import time
from collections.abc import Mapping

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from learngene_bench.execution.local import Execution
from learngene_bench.planning.plan import Stage
from learngene_bench.runs.store import Runs
from learngene_bench.schema.progress import Progress
from learngene_bench.schema.record import AncestorRecord, CellRecord


def duration(seconds: float) -> str:
    """A duration as one says it: 40 s, 12 min, 3.5 h."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 100 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 100 * 3600 else f"{seconds / 86400:.0f} days"


class Display:
    """Shows an execution while it goes on."""

    def __init__(self, stages: Mapping[str, Stage], runs: Runs, console: Console) -> None:
        self.stages, self.runs, self.console = stages, runs, console
        self.live = Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else None
        self.started = time.monotonic()
        self.told: set[str] = set()
        self.stopping = False
        self.work = {address: stage.flops or 1e9 for address, stage in stages.items()}

    def __enter__(self) -> Display:
        if self.live:
            self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.live:
            self.live.stop()

    def update(self, execution: Execution) -> None:
        for address in [*execution.done, *execution.failed]:
            if address not in self.told and address not in execution.reused:
                self._tell(self.stages[address], execution)
            self.told.add(address)
        if execution.stopping and not self.stopping and not self.live:
            self.console.print("stopping: workers save where they are (Ctrl-C again: at once)")
        self.stopping = execution.stopping
        if self.live:
            self.live.update(self._panel(execution), refresh=True)

    def _tell(self, stage: Stage, execution: Execution) -> None:
        """A line for a stage that ended."""
        finished = len(execution.done) + len(execution.failed)
        count = f"[dim]{finished:>{len(str(len(self.work)))}}/{len(self.work)}[/]"
        if stage.address in execution.failed:
            error = execution.failed[stage.address]
            self.console.print(f"{count} [red]failed[/] {escape(stage.label)}: {escape(error)}")
            return
        self.console.print(f"{count} {escape(stage.label)}{self._measured(stage)}")

    def _measured(self, stage: Stage) -> str:
        """The primary metric of a stage that is done, in words."""
        folder = self.runs.stage_dir(stage)
        if stage.kind == "cell":
            cell = folder.read_record(CellRecord)
            spec = cell.metric_specs[cell.primary_metric]
            before, after = cell.initial_metrics[spec.name], cell.metrics[spec.name]
            return f"  {spec.title} {before:.1f} -> {after:.1f}"
        if stage.kind == "ancestor":
            ancestor = folder.read_record(AncestorRecord)
            spec = ancestor.metric_specs[ancestor.primary_metric]
            return f"  {spec.title} {ancestor.metrics[spec.name]:.1f} (validation)"
        return ""

    def _panel(self, execution: Execution) -> Group:
        table = Table.grid(padding=(0, 1))
        table.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
        table.add_column(no_wrap=True)
        table.add_column(width=12)
        running = 0.0
        for address in sorted(execution.running):
            stage = self.stages[address]
            progress = self.runs.stage_dir(stage).read_progress()
            share = progress.step / max(1, progress.steps) if progress else 0.0
            running += share * self.work[address]
            table.add_row(Text(stage.label), _epochs(progress), ProgressBar(total=1.0, completed=share, width=12))
        table.expand = True
        new = [address for address in execution.done if address not in execution.reused]
        computed = sum(self.work[address] for address in new) + running
        settled = execution.reused | execution.failed.keys() | execution.blocked
        left = sum(work for address, work in self.work.items() if address not in settled) - computed
        elapsed = time.monotonic() - self.started
        summary = f"{len(execution.done)} of {len(self.work)} stages, {duration(elapsed)}"
        if execution.stopping:
            summary += ", stopping: workers save where they are (Ctrl-C again: at once)"
        elif computed > 0.02 * (computed + left) and elapsed > 5:
            summary += f", about {duration(elapsed * left / computed)} left"
        return Group(table, Text(summary, style="dim"))


def _epochs(progress: Progress | None) -> str:
    if progress is None:
        return "starting"
    measured = "".join(f" {name} {value:.1f}" for name, value in list(progress.metrics.items())[:1])
    return f"{progress.phase} {progress.epoch:.1f}/{progress.epochs:.1f}{measured}"
