"""How long stages will take: from their operations, and the rate of finished ones of the same plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from learngene_bench.config.preset import Compute
from learngene_bench.planning.plan import Plan, Stage
from learngene_bench.runs.store import Runs, State

CPU_RATE, GPU_RATE = 4e10, 2e13
"""Operations per second assumed of one thread and of one GPU where no finished stage tells better."""

_PHASES = {"ancestor": ["train"], "gene": ["prepare"], "cell": ["initialize", "finetune"]}
"""The phases of each kind's cost that the stage itself spends."""


@dataclass(frozen=True)
class Rate:
    """Operations per second of one worker.

    Attributes:
        measured: on finished stages of the plan; else an assumption.
    """

    flops: float
    measured: bool

    @property
    def source(self) -> str:
        return "finished stages" if self.measured else "an assumption"

    def seconds(self, stage: Stage) -> float | None:
        """How long the stage takes; None where nobody can tell its operations beforehand."""
        return stage.flops / self.flops if stage.flops else None


def rate(plan: Plan, runs: Runs, states: Mapping[str, State], compute: Compute, on_gpu: bool) -> Rate:
    """The rate of this plan's finished stages, a hundred of each kind at most; an assumption where there are none."""
    flops = seconds = 0.0
    for kind, phases in _PHASES.items():
        done = [stage for address, stage in plan.stages.items() if stage.kind == kind and states[address] is State.DONE]
        for stage in done[-100:]:
            cost = runs.stage_dir(stage).read_any_record(stage.kind).cost
            flops += sum(getattr(cost, phase).flops for phase in phases)
            seconds += sum(getattr(cost, phase).seconds for phase in phases)
    if flops and seconds:
        return Rate(flops / seconds, measured=True)
    return Rate(GPU_RATE if on_gpu else CPU_RATE * compute.threads, measured=False)


def longest_chain(plan: Plan, states: Mapping[str, State]) -> float:
    """Operations of the most work that must be done one stage after the other, however many workers there are."""
    longest: dict[str, float] = {}
    for address, stage in plan.stages.items():
        own = 0.0 if states[address] is State.DONE else stage.flops
        longest[address] = own + max((longest[needed] for needed in stage.inputs.values()), default=0.0)
    return max(longest.values(), default=0.0)
