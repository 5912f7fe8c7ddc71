"""`lgbench rerun --by NAME`: writes into a leaderboard who has computed one of its cells again, and what came out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from learngene_bench.execution.rerun import RerunPlan
from learngene_bench.runs.store import Runs
from learngene_bench.schema.leaderboard import is_leaderboard
from learngene_bench.schema.record import CellRecord
from learngene_bench.schema.rerun import RERUNS, Rerun, person
from learngene_bench.util.errors import UserError

if TYPE_CHECKING:
    from learngene_bench.results.records.repetition import Repetition


class Teller:
    """Writes lines of one person into one leaderboard."""

    def __init__(self, name: str, board: Path, *, keep_inputs: bool) -> None:
        """Checks what can be checked before hours of computing.

        Args:
            name: name of the person.
            board: folder of the leaderboard.
            keep_inputs: whether the gene is to be taken as it is.

        Raises:
            UserError: the name is none, the folder holds no leaderboard, or it cannot be written to.
        """
        try:
            self.name = person(name)
        except ValueError as error:
            raise UserError(f"--by {name!r}: {error}") from None
        if not is_leaderboard(board):
            raise UserError(f"--by writes into a leaderboard, and {board} is none: --runs results/leaderboards/NAME")
        if keep_inputs:
            raise UserError("--by tells of a cell that was computed again with its gene: leave out --keep-inputs")
        Runs(board).check_writable()
        self.board = board

    def tell(self, source: Runs, repeat: RerunPlan, fresh: Runs, repetition: Repetition, console: Console) -> None:
        """Writes what came out.

        Raises:
            UserError: what is in the folder is the recorded cell itself, or a copy of it; a rule is broken.
        """
        from learngene_bench.results.leaderboard.reruns import rerun_of

        recorded = _recorded(source, repeat)
        repeated = [fresh.folder(one.kind, one.address).read_any_record(one.kind) for one in repeat.stages.values()]
        for stage, record in zip(repeat.stages.values(), repeated, strict=True):
            before = source.folder(stage.kind, stage.address).read_any_record(stage.kind).provenance
            if record.provenance == before:
                raise UserError(f"{fresh.root}: its {stage.label} is the recorded one, and not computed again")
            if record.provenance.code is None:
                raise UserError(f"{fresh.root}: its {stage.label} does not say by which code it was computed")
        self._write(rerun_of(self.name, repeat.cell.label, recorded, repeated, repetition), console)

    def tell_failure(
        self, source: Runs, repeat: RerunPlan, fresh: Runs, failed: Mapping[str, str], console: Console
    ) -> None:
        """Writes that a stage failed, unless its process died, for which there may be reasons outside of it."""
        from learngene_bench.results.leaderboard.reruns import failed_rerun

        address, error = next(iter(failed.items()))
        stage = repeat.stages[address]
        if fresh.folder(stage.kind, address).read_failure().died:
            text = f"not written into {self.board}: the process died, which says nothing of the record"
            console.print(Text(text), soft_wrap=True)
            return
        failure = f"{stage.label}: {error}"
        self._write(failed_rerun(self.name, repeat.cell.label, _recorded(source, repeat), failure), console)

    def _write(self, line: Rerun, console: Console) -> None:
        from learngene_bench.results.leaderboard.manage import add_rerun

        path = self.board / RERUNS
        if add_rerun(self.board, line):
            text = f"{path}: {line.label}, re-run by {line.by}: {line.outcome} (git diff shows it)"
        else:
            text = f"{path}: tells already that {line.by} has computed {line.label} again with these numbers"
        console.print(Text(text), soft_wrap=True)


def _recorded(source: Runs, repeat: RerunPlan) -> CellRecord:
    return source.folder("cell", repeat.cell.address).read_record(CellRecord)
