"""Computing the stages of a plan on this machine, each after its inputs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from learngene_bench.execution.pool import Crew, Pool
from learngene_bench.planning.plan import Stage
from learngene_bench.runs.store import Runs, State
from learngene_bench.util.errors import UserError

TICK = 0.25
"""Seconds between two looks at the workers, and so between two calls of `watch`."""

AGAIN = 2.0
"""Seconds until a stage that another run computes is asked for again."""

GRACE = 15.0
"""Seconds that workers have to save where they are when the run is stopped."""

Retry = Literal["nothing", "died", "failed"]


@dataclass
class Execution:
    """How the stages of one run stand; what `watch` is shown.

    Attributes:
        reused: stages that were done before this run.
        failed: error by address; a stage that could not be started because an input failed is in `blocked`.
        elsewhere: stages that another run was computing when last asked for, and when they are asked for again.
        stopping: whether the run was stopped and waits for its workers to save where they are.
    """

    stages: Mapping[str, Stage]
    reused: set[str] = field(default_factory=set)
    done: set[str] = field(default_factory=set)
    running: set[str] = field(default_factory=set)
    failed: dict[str, str] = field(default_factory=dict)
    blocked: set[str] = field(default_factory=set)
    elsewhere: dict[str, float] = field(default_factory=dict)
    stopping: bool = False

    def ready(self) -> list[Stage]:
        """Stages that can start now: those that most work waits for first."""
        settled = self.done | self.running | self.failed.keys() | self.blocked
        now = time.monotonic()
        settled |= {address for address, when in self.elsewhere.items() if now < when}
        waiting = [stage for address, stage in self.stages.items() if address not in settled]
        order = {"ancestor": 0, "gene": 1, "cell": 2}
        ready = [stage for stage in waiting if all(address in self.done for address in stage.inputs.values())]
        return sorted(ready, key=lambda stage: (stage.address in self.elsewhere, order[stage.kind], -stage.flops))

    def block(self) -> None:
        """Marks what can no longer be computed."""
        lost = self.failed.keys() | self.blocked
        settled = lost | self.done  # a cell may be done whose gene is computed again, as its folder was deleted
        for address, stage in self.stages.items():  # inputs come before those that need them
            if address not in settled and any(needed in lost for needed in stage.inputs.values()):
                self.blocked.add(address)
                lost.add(address)

    @property
    def finished(self) -> bool:
        return len(self.done) + len(self.failed) + len(self.blocked) == len(self.stages)


def execute_plan(
    stages: Mapping[str, Stage],
    runs: Runs,
    crew: Crew,
    *,
    enter: Callable[[Stage], object] = lambda stage: None,
    plugins: Sequence[Path] = (),
    retry: Retry = "died",
    watch: Callable[[Execution], None] = lambda execution: None,
) -> Execution:
    """Computes every stage that is not done, each after its inputs; one failure does not stop the others.

    Args:
        stages: by address, inputs before those that need them.
        enter: called before a stage is started for the first time; writes its configuration where that is not done.
        retry: which stages that failed in an earlier run are tried again: none, those whose process died, or all.
        watch: called a few times a second, and once at the end.

    Raises:
        UserError: a worker met something the user must put right (a full disk, a damaged file).
        KeyboardInterrupt: a person stopped it; the stages that were running have saved where they were.
    """
    state = first_look(stages, runs, retry)
    with Pool(runs, crew, plugins) as pool:
        try:
            while not state.finished:
                for stage in state.ready()[: pool.free()]:
                    if stage.address not in state.elsewhere:
                        enter(stage)
                    pool.start(stage)
                    state.running.add(stage.address)
                watch(state)
                _settle(state, pool.answers(TICK), runs)
                state.block()
        except KeyboardInterrupt:
            state.stopping = True
            watch(state)
            _settle(state, pool.stop(GRACE), runs)
            watch(state)
            raise
    watch(state)
    return state


def first_look(stages: Mapping[str, Stage], runs: Runs, retry: Retry) -> Execution:
    """How the stages stand before anything is started."""
    state = Execution(stages)
    for address, stage in stages.items():
        found = runs.stage_dir(stage).state()
        if found is State.DONE:
            state.done.add(address)
        elif found is State.FAILED and retry != "failed":
            failure = runs.stage_dir(stage).read_failure()
            if retry == "nothing" or not failure.died:
                state.failed[address] = failure.error
    state.reused = set(state.done)
    state.block()
    return state


def _settle(state: Execution, answers: Iterator[tuple[str, dict[str, Any]]], runs: Runs) -> None:
    """Takes down what workers answer."""
    for address, answer in answers:
        state.running.discard(address)
        if answer["state"] == "done":
            state.done.add(address)
        elif answer["state"] == "failed":
            state.failed[address] = runs.stage_dir(state.stages[address]).read_failure().error
        elif answer["state"] == "died":
            state.failed[address] = answer["error"]
            runs.stage_dir(state.stages[address]).fail(state.stages[address].label, answer["error"], "", died=True)
        elif answer["state"] == "refused":
            raise UserError(answer["error"])
        elif answer["state"] == "busy":
            state.elsewhere[address] = time.monotonic() + AGAIN
