"""The executor `local`: a pool of worker processes on this machine."""

from __future__ import annotations

import signal
from collections.abc import Iterator

from pydantic import Field

from learngene_bench.config.preset import Compute
from learngene_bench.config.section import Section
from learngene_bench.contracts.executor import Executor, Outcome, RunState, Work
from learngene_bench.execution.pool import Pool
from learngene_bench.execution.resources import PoolConfig, device_kind_here, worker_slots
from learngene_bench.schema.constants import DeviceKind
from learngene_bench.util.signals import handled

TICK = 0.25
"""Seconds between two looks at the workers, and so between two calls of `Work.watch`."""

STOP_SECONDS = 15.0
"""Time that workers have to save a checkpoint when the run is stopped."""


class LocalOptions(Section):
    """Options of the executor `local`."""

    workers: int | None = Field(
        None, ge=1, description="number of worker processes; by default as many as fit on this machine"
    )
    per_gpu: int | None = Field(None, ge=1, description="number of stages that share a GPU; 1 by default")
    processes_per_model: int = Field(
        1, ge=1, description="number of processes, each with a GPU of its own, that train one model together with DDP"
    )


class LocalExecutor(Executor):
    """Computes stages side by side in worker processes, each with a GPU or a share of the cores."""

    name = "local"
    title = "worker processes on this machine"
    Options = LocalOptions
    options: LocalOptions

    @property
    def processes(self) -> int:
        return self.options.processes_per_model

    def device_kind(self, compute: Compute) -> DeviceKind:
        return device_kind_here(compute)

    def run(self, work: Work) -> RunState:
        options = self.options
        slots = worker_slots(work.compute, options.workers, options.per_gpu, options.processes_per_model)
        work.begin()
        # They let the workers save, as Ctrl-C does.
        with handled((signal.SIGTERM, signal.SIGHUP), signal.default_int_handler):
            return run_in_pool(work, PoolConfig(slots, options.processes_per_model))


def run_in_pool(work: Work, config: PoolConfig) -> RunState:
    """Computes every stage that is not done with the workers of a pool.

    Raises:
        UserError: a worker met something that the user must put right (a full disk, a damaged file).
        KeyboardInterrupt: the run was stopped; the stages that were running have saved checkpoints.
    """
    state = work.initial_state()
    with Pool(work.runs, config, work.plugins) as pool:
        state.waiting = pool.waiting
        try:
            while not state.finished:
                for stage in state.ready()[: pool.free()]:
                    pool.start(stage)
                    state.running.add(stage.address)
                work.watch(state)
                _apply(work, state, pool.outcomes(TICK))
                state.block()
        except KeyboardInterrupt:
            state.stopping = True
            work.watch(state)
            _apply(work, state, pool.stop(STOP_SECONDS))
            work.watch(state)
            raise
    work.watch(state)
    return state


def _apply(work: Work, state: RunState, outcomes: Iterator[tuple[str, Outcome]]) -> None:
    for address, outcome in outcomes:
        work.apply(state, address, outcome)
