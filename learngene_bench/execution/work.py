"""Stages to compute and the means to do so, as executors receive them."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from learngene_bench.config.preset import Compute
from learngene_bench.contracts.executor import RETRY_SECONDS, Outcome, OutcomeState, Retry, RunState, StageInfo, Work
from learngene_bench.runs.store import Runs, StageFolder, State
from learngene_bench.util import interrupt
from learngene_bench.util.errors import UserError


def _nothing(*_: object) -> None:
    pass


@dataclass(frozen=True)
class StageWork(Work):
    """The `Work` of one run.

    Attributes:
        on_begin: writes the plan and the configurations of these stages, which are not done.
        on_change: shows the state of the run to the user.
    """

    stages: Mapping[str, StageInfo]
    runs: Path
    compute: Compute
    plugins: Sequence[Path] = ()
    retry: Retry = "crashed"
    command_line: Sequence[str] = ()
    on_begin: Callable[[Sequence[StageInfo]], None] = _nothing
    on_change: Callable[[RunState], None] = _nothing

    def begin(self) -> None:
        Runs(self.runs).check_writable()
        self.on_begin([stage for stage in self.stages.values() if self._folder(stage).state() is not State.DONE])

    def initial_state(self) -> RunState:
        state = RunState(self.stages)
        for address, stage in self.stages.items():
            folder = self._folder(stage)
            found = folder.state()
            if found is State.DONE:
                state.done.add(address)
            elif found is State.FAILED and self.retry != "all":
                failure = folder.read_failure_if_there()
                if failure and (self.retry == "never" or not failure.died):
                    state.failed[address] = failure.error
        state.reused = set(state.done)
        state.block()
        return state

    def compute_here(self, stage: StageInfo) -> Outcome:
        from learngene_bench.execution.stages import execute
        from learngene_bench.plugins.registry import Registry

        outcome = execute(Runs(self.runs), stage.kind, stage.address, Registry(self.plugins))
        if not interrupt.should_save():  # another run took the stage over
            interrupt.reset()
            return Outcome("busy")
        return Outcome(cast("OutcomeState", outcome))

    def command(self, stage: StageInfo) -> list[str]:
        # -P: the code of this process, not that of another checkout in the current folder.
        program = [sys.executable, "-P", "-m", "learngene_bench.execution.rank", str(self.runs.resolve())]
        return [*program, stage.kind, stage.address, *(str(Path(plugin).resolve()) for plugin in self.plugins)]

    def apply(self, state: RunState, address: str, outcome: Outcome) -> None:
        state.running.discard(address)
        folder = self._folder(state.stages[address])
        match outcome.state:
            case "done":
                state.done.add(address)
            case "failed" if failure := folder.read_failure_if_there():
                state.failed[address] = failure.error
            case "died" if folder.result.exists():  # killed between its last file and its answer
                state.done.add(address)
            case "died" if (failure := folder.read_failure_if_there()) and failure.died:  # it wrote why before it ended
                state.failed[address] = failure.error
            case "died":
                state.failed[address] = outcome.error
                folder.fail(state.stages[address].label, outcome.error, "", died=True)
            case "failed" | "busy":  # failed, and another run has begun to try again
                state.held_elsewhere[address] = time.monotonic() + RETRY_SECONDS
            case "refused":
                raise UserError(outcome.error)

    def watch(self, state: RunState) -> None:
        self.on_change(state)

    def clear_failure(self, stage: StageInfo) -> None:
        folder = self._folder(stage)
        if folder.failed.exists():
            folder.clear_failure()

    def _folder(self, stage: StageInfo) -> StageFolder:
        return Runs(self.runs).folder(stage.kind, stage.address)
