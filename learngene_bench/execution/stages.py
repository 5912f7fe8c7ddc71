"""Computes one stage from its files, whichever kind it is of."""

from __future__ import annotations

import traceback
from bdb import BdbQuit

import torch
from torch import nn

from learngene_bench import distributed
from learngene_bench.contracts.tracker import StageOutcome
from learngene_bench.execution.ancestor_stage import AncestorStage
from learngene_bench.execution.cell_stage import CellStage
from learngene_bench.execution.gene_stage import GeneStage
from learngene_bench.execution.stage import StageComputation
from learngene_bench.plugins.registry import Registry
from learngene_bench.runs.store import Runs
from learngene_bench.schema.record import Record
from learngene_bench.util.errors import UserError, one_line
from learngene_bench.util.interrupt import Stopped

STAGES: dict[str, type[AncestorStage] | type[GeneStage] | type[CellStage]] = {
    "ancestor": AncestorStage,
    "gene": GeneStage,
    "cell": CellStage,
}


def execute(runs: Runs, kind: str, address: str, registry: Registry, *, retry_failed: bool = True) -> str:
    """Computes a stage, continuing an interrupted one; each of several processes that compute it together calls this.

    Returns "done", "failed", "busy" (another process has it) or "stopped" (it was asked to, see `interrupt`). A failure
    of the method is written to the stage's folder with its traceback.

    Raises:
        UserError: an input is damaged, the disk is full, there are more or fewer processes than the stage is planned
            for: nothing is recorded, as the user can put it right.
        LostProcess: of several processes, one was killed or failed alone: nothing is recorded.
        torch.AcceleratorError: the GPU failed, or a kernel on it. It is recorded as the death of a process, and this
            process must end: everything that it asks of its GPU fails from now on.
    """
    folder = runs.folder(kind, address)
    coordination = distributed.Coordination(distributed.world())
    if not distributed.world().is_rank0:
        return coordination.run_on_others(lambda: _load(runs, kind, address, registry).compute())
    with coordination.leading(), folder.acquire() as held:
        if not held:
            return coordination.finish("busy")
        if folder.result.exists():
            return coordination.finish("done")
        if folder.failed.exists():
            if not retry_failed:
                return coordination.finish("failed")
            folder.clear_failure()
        stage = _load(runs, kind, address, registry)
        planned, found = stage.file.config.processes, distributed.world().size
        if planned != found:
            raise UserError(
                f"{stage.file.label}: planned for {planned} processes, not for {found}: "
                f"run with --processes-per-model {planned}"
            )
        outcome: StageOutcome = "stopped"
        try:
            record = coordination.run_on_rank0(stage.compute)
            assert record is not None, "rank 0 makes the record"
            outcome = "done"
        except (Stopped, BdbQuit):  # a debugger that the user left is no failure of the method
            return coordination.finish("stopped")
        except (UserError, distributed.LostProcess):
            raise
        except Exception as error:
            outcome = "failed"
            lost = isinstance(error, torch.AcceleratorError)
            out_of_memory = isinstance(error, torch.OutOfMemoryError)
            folder.fail(stage.file.label, one_line(error), traceback.format_exc(), died=lost or out_of_memory)
            if lost:
                raise
            return coordination.finish("failed")
        finally:
            if stage.track:
                stage.track.end(outcome)
        folder.finish(record)
        return coordination.finish("done")


def initial_model(runs: Runs, address: str, registry: Registry) -> nn.Module:
    """Initializes a cell's target as its method did, computed again from the cell's files; on the CPU.

    Raises:
        UserError: the method or the data are not those of the run any more, or a file is missing.
        MethodFailure: the method fails this time.
    """
    return CellStage(runs, address, registry, writes=False).initialize().model


def _load(runs: Runs, kind: str, address: str, registry: Registry) -> StageComputation[Record]:
    return STAGES[kind](runs, address, registry)
