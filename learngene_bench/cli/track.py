"""`lgbench track`: shows finished stages in a tracker, and says during a run what trackers say."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from learngene_bench.cli import common
from learngene_bench.contracts.tracker import TRACKERS, Tracker, usable_tracker, usable_trackers
from learngene_bench.runs.leaderboard import LeaderboardRuns, open_runs
from learngene_bench.runs.store import Runs, StageFolder, State
from learngene_bench.schema.base import read
from learngene_bench.schema.constants import STAGE_KINDS
from learngene_bench.schema.manifest import nothing_in
from learngene_bench.schema.stage import StageFile
from learngene_bench.tracking.run import FOLDER, TrackedRun, tracker_folder
from learngene_bench.util.errors import UserError, describe_error
from learngene_bench.util.words import counted


def track(
    folders: Annotated[
        list[Path] | None, common.path_argument(metavar="RUNS", help="Folders of results, as with --runs.")
    ] = None,
    to: Annotated[
        list[str] | None,
        typer.Option("--to", metavar="NAME", help="Tracker; several: repeated or separated by commas. Needed."),
    ] = None,
    runs: common.RunsOptions = None,
    output: Annotated[
        Path | None,
        common.path_option("-o", "--output", help="Folder for files of the tracker. Default: RUNS/tracking."),
    ] = None,
) -> int:
    """Show the learning curves of finished stages in a tracker; points that it has are not repeated."""
    names = usable_trackers(to or ())
    if not names:
        raise UserError(f"--to NAME says which tracker: {', '.join(TRACKERS.names())}")
    console = common.console()
    for root in [*(folders or ()), *(runs or ())] or [Path("runs")]:
        opened, folder = open_runs(root), (output or root / FOLDER).absolute()
        stages = list(_finished(opened))
        if not stages:
            raise nothing_in(root, "finished stages")
        for name in names:
            points = sum(_tell(usable_tracker(name)(), folder, opened, stage) for stage in stages)
            told = f"{counted(len(stages), 'stage')} of {root}, {counted(points, 'new point')}"
            console.print(f"{name}: {told}", markup=False, soft_wrap=True)
        print_where(names, folder, console)
    return 0


def print_where(names: Sequence[str], folder: Path, console: Console) -> None:
    """Prints where each tracker shows what it is told.

    Args:
        folder: the folder of trackings.
    """
    for name in names:
        if where := usable_tracker(name).where(tracker_folder(folder, name)):
            console.print(f"{name}: {where}", markup=False, soft_wrap=True)


def _tell(tracker: Tracker, folder: Path, runs: Runs, stage: StageFolder) -> int:
    """Tells a tracker all points of a stage that it does not have; returns their number.

    Raises:
        UserError: the tracker fails.
    """
    from learngene_bench.tracking.points import points_of, recorded_curves
    from learngene_bench.tracking.sender import tracked_stage

    file = stage.read_config()
    record = stage.read_any_record(file.kind)
    try:
        run = TrackedRun(tracker, folder, tracked_stage(file))
        told = 0
        for curve in recorded_curves(file.config, record):
            told += run.log(curve.phase, [(point.step, point.values) for point in points_of(curve)])
        run.close("done")
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"{tracker.name}: {file.label}: {describe_error(error)}") from error
    return told


def _finished(runs: Runs) -> Iterator[StageFolder]:
    """Yields the finished stages of a folder, ancestors first."""
    if isinstance(runs, LeaderboardRuns):
        every = [runs.folder(stage.kind, address) for address, stage in runs.stages.items()]
        yield from (stage for stage in every if stage.state() is State.DONE)
        return
    for kind in STAGE_KINDS:
        for path in sorted((runs.root / kind).glob("*/result.json")):
            yield runs.folder(kind, read(StageFile, path.with_name("config.json")).address)
