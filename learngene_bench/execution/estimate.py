"""Estimates the duration of stages from their operations and the rate of finished stages of the same plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from learngene_bench.config.preset import Compute
from learngene_bench.contracts.executor import StageInfo
from learngene_bench.runs.store import Runs, State

CPU_RATE, GPU_RATE = 4e10, 2e13
"""Operations per second assumed of one thread and of one GPU, where no stage is finished."""

MEASURED_STAGES = 100
"""Finished stages of each kind that the rate is taken from, at most."""

_PHASES = {"ancestor": ["train"], "gene": ["prepare"], "cell": ["initialize", "finetune"]}
"""Phases of the cost that a stage of each kind spends itself."""


@dataclass(frozen=True)
class Rate:
    """Operations per second of one worker.

    Attributes:
        measured: True if taken from finished stages, False if assumed.
    """

    flops: float
    measured: bool

    @property
    def source(self) -> str:
        return "finished stages" if self.measured else "an assumption"

    def seconds(self, stage: StageInfo) -> float | None:
        """Estimates the duration of a stage; None where its operations are not known beforehand."""
        return stage.flops / self.flops if stage.flops else None


def estimate_rate(
    stages: Mapping[str, StageInfo], runs: Runs, states: Mapping[str, State], compute: Compute, on_gpu: bool
) -> Rate:
    """Takes the rate from the finished stages; assumes one where there are none."""
    flops = seconds = 0.0
    for kind, phases in _PHASES.items():
        done = [stage for address, stage in stages.items() if stage.kind == kind and states[address] is State.DONE]
        for stage in done[-MEASURED_STAGES:]:
            cost = runs.folder(stage.kind, stage.address).read_any_record(stage.kind).cost
            flops += sum(getattr(cost, phase).flops for phase in phases)
            seconds += sum(getattr(cost, phase).seconds for phase in phases)
    if flops and seconds:
        return Rate(flops / seconds, measured=True)
    return Rate(GPU_RATE if on_gpu else CPU_RATE * compute.threads, measured=False)


def longest_chain(stages: Mapping[str, StageInfo], states: Mapping[str, State]) -> float:
    """Adds up the operations of the longest chain of stages that wait for each other, however many workers there are.

    Args:
        stages: by address, inputs before the stages that need them.
    """
    longest: dict[str, float] = {}
    for address, stage in stages.items():
        flops = 0.0 if states[address] is State.DONE else stage.flops
        longest[address] = flops + max((longest[needed] for needed in stage.inputs.values()), default=0.0)
    return max(longest.values(), default=0.0)
