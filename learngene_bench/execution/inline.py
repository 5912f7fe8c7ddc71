"""The executor `inline`: this process, one stage after the other, so that a debugger works in a method."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from learngene_bench.config.preset import Compute
from learngene_bench.contracts.executor import Executor, RunState, Work
from learngene_bench.execution.resources import device_kind_here
from learngene_bench.schema.constants import DeviceKind
from learngene_bench.tracking.processes import part_with_trackers
from learngene_bench.util import interrupt
from learngene_bench.util.signals import handled

TICK = 0.5
"""Seconds between two looks at stages that another run computes."""


class InlineExecutor(Executor):
    """Computes stages in the process of `lgbench run` itself.

    `breakpoint()` in a method opens the debugger on this terminal, what a method prints appears here, and `--debug`
    shows the traceback of a method that fails. To leave the debugger stops the run.
    """

    name = "inline"
    title = "this process, one stage after the other: breakpoint() works in a method"
    shares_terminal = True

    def device_kind(self, compute: Compute) -> DeviceKind:
        return device_kind_here(compute)

    def run(self, work: Work) -> RunState:
        work.begin()
        state = work.initial_state()
        with _interrupt_requests_stop():
            while not state.finished:
                if interrupt.stop_requested():
                    raise KeyboardInterrupt
                if not (ready := state.ready()):
                    time.sleep(TICK)
                    continue
                state.running.add(ready[0].address)
                work.watch(state)
                outcome = work.compute_here(ready[0])
                work.apply(state, ready[0].address, outcome)
                work.watch(state)
                if outcome.state == "stopped":  # by Ctrl-C, or because the user left a debugger
                    raise KeyboardInterrupt
                state.block()
        work.watch(state)
        return state


@contextmanager
def _interrupt_requests_stop() -> Iterator[None]:
    """Lets the first Ctrl-C end training at its next safe point; a second one raises KeyboardInterrupt at once."""

    def request(number: int, frame: FrameType | None) -> None:
        if interrupt.stop_requested():
            raise KeyboardInterrupt
        interrupt.request_stop()

    with handled((signal.SIGINT, signal.SIGTERM, signal.SIGHUP), request):
        try:
            yield
        finally:
            interrupt.reset()
            part_with_trackers()
