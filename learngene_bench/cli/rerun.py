"""`lgbench rerun`: computes a record once more from its configuration and prints the difference."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from learngene_bench.cli import common
from learngene_bench.cli.display import Display
from learngene_bench.cli.rerun_by import Teller
from learngene_bench.contracts.executor import RunState, StageInfo
from learngene_bench.execution.local import LocalExecutor, LocalOptions
from learngene_bench.execution.rerun import RerunPlan, parse_local_paths
from learngene_bench.execution.work import StageWork
from learngene_bench.plugins.registry import Registry
from learngene_bench.runs.leaderboard import open_runs
from learngene_bench.runs.listing import find_one_finished
from learngene_bench.runs.store import Runs, State
from learngene_bench.schema.record import CellRecord
from learngene_bench.schema.stage import StageFile
from learngene_bench.util.errors import UserError

if TYPE_CHECKING:
    from learngene_bench.results.records.repetition import ComparedValue, Repetition


def rerun(
    cell: common.CellArgument,
    runs: common.RunsOption = Path("runs"),
    output: Annotated[
        Path | None, common.path_option("-o", "--output", help="New folder for the result. Default: reruns/ADDRESS.")
    ] = None,
    keep_inputs: Annotated[
        bool, typer.Option("--keep-inputs", help="Use the recorded gene instead of computing it again too.")
    ] = False,
    workers: Annotated[
        int | None,
        typer.Option("--workers", min=1, help="Number of worker processes; by default as many as fit on this machine."),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Location of the data on this machine: data.root=FOLDER."),
    ] = None,
    checkpoint: Annotated[
        list[Path] | None, common.path_option("--checkpoint", help="File of weights that the record starts from.")
    ] = None,
    plugin: common.PluginOption = None,
    by: Annotated[
        str | None,
        typer.Option(
            "--by",
            metavar="NAME",
            help="Write into the leaderboard that NAME has computed this cell again, and what came out, whatever that "
            "is. A re-run that is in the folder of the result already is taken as it is.",
        ),
    ] = None,
) -> int:
    """Compute a record once more and compare. Exit status 0 if all numbers are the same, 1 if not."""
    source = open_runs(runs)
    teller = None if by is None else Teller(by, runs, keep_inputs=keep_inputs)
    address = find_one_finished(source, common.query_of(cell)).address
    paths = parse_local_paths(settings or [], checkpoint or [])
    repeat = RerunPlan(source, address, paths, common.command_line(), keep_inputs=keep_inputs)
    fresh = Runs(output or Path("reruns") / source.folder("cell", address).path.name)
    console = common.console()
    if fresh.folder("cell", address).state() is not State.DONE:
        repeat.check(Registry(plugin or []))
        state = _compute(repeat, fresh, workers, plugin or [], console)
        if state.failed:
            console.print("failed this time: failed.json and log.txt tell more")
            if teller:
                teller.tell_failure(source, repeat, fresh, state.failed, console)
            return 1
    elif teller is None:
        raise UserError(
            f"{fresh.root} holds this cell already: move it away, or name another folder with --output "
            "(--by NAME writes what it holds into the leaderboard)"
        )
    computed = [stage for address, stage in repeat.stages.items() if address not in repeat.kept]
    repetition = _compare(source, fresh, computed)
    console.print(Text(f"\n{repeat.cell.label} ({address[:8]}), repeated in {fresh.root}"), soft_wrap=True)
    _print(repetition, console)
    if teller:
        teller.tell(source, repeat, fresh, repetition, console)
    return 0 if repetition.same else 1


def _compute(
    repeat: RerunPlan, fresh: Runs, workers: int | None, plugins: Sequence[Path], console: Console
) -> RunState:
    """Computes a cell with all that it needs in a folder of its own."""
    fresh.check_writable()
    repeat.copy_kept(fresh)

    def begin(stages: Sequence[StageInfo]) -> None:
        for stage in stages:
            repeat.write_config(repeat.stages[stage.address], fresh)

    options = LocalOptions(workers=workers, processes_per_model=repeat.cell.config.processes)
    stages: dict[str, StageInfo] = dict(repeat.to_compute())
    with Display(stages, fresh, console) as display:
        return LocalExecutor(options).run(
            StageWork(
                stages=stages,
                runs=fresh.root,
                compute=repeat.cell.compute,
                plugins=plugins,
                retry="all",
                on_begin=begin,
                on_change=display.update,
            )
        )


def _compare(source: Runs, fresh: Runs, stages: Sequence[StageFile]) -> Repetition:
    """The cell's record beside the old one, and before it what it was made of."""
    from learngene_bench.results.records.repetition import compare, compare_tensors

    *needed, cell = stages
    inputs = []
    for stage in needed:
        before, after = (runs.folder(stage.kind, stage.address) for runs in (source, fresh))
        if before.state() is State.DONE:
            recorded, repeated = (folder.read_any_record(stage.kind) for folder in (before, after))
            inputs.append(compare_tensors(stage.label, recorded, repeated))
    before, after = (runs.folder("cell", cell.address) for runs in (source, fresh))
    return compare(before.read_record(CellRecord), after.read_record(CellRecord), inputs)


def _print(repetition: Repetition, console: Console) -> None:
    console.print(_table(repetition.numbers))
    if unlike := [value for value in repetition.environment if not value.same]:
        console.print(_table(unlike))
    console.print(Text(_verdict(repetition)), soft_wrap=True)


def _verdict(repetition: Repetition) -> str:
    """Says if the numbers are the same, and if that was to be expected."""
    obstacles = "; ".join(repetition.obstacles)
    if repetition.same:
        expected = f", although the same bits were not to be expected ({obstacles})" if obstacles else ""
        return f"All numbers are the same{expected}."
    if obstacles:
        return (
            f"The numbers differ. The same bits were not to be expected ({obstacles}): rounding is another then, and "
            "training makes that larger. Beside the spread over seeds it should be small."
        )
    return (
        "The numbers differ, and should not: one kind of CPU (by its name), the same versions and the same code give "
        "the same bits. The record was changed, or something computes differently each time."
    )


def _table(values: Sequence[ComparedValue]) -> Table:
    table = Table(box=None, header_style="dim", pad_edge=False)
    for header in ("", "recorded", "repeated", ""):
        table.add_column(header, overflow="fold")
    for value in values:
        verdict = "same" if value.same else value.remark or "differs"
        table.add_row(*map(Text, (value.name, value.recorded, value.repeated, verdict)))
    return table
