"""Rebuilds the work of failed and lost stages from their files, for `lgbench retry`.

The files may be those of somebody else. They say what is computed, but no code is run because they name it: plugins and
whatever an executor might take for a command come from the user (`make_executor`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from learngene_bench.config.preset import Compute
from learngene_bench.execution.status import StageState, StageStatus
from learngene_bench.planning.plan import Stage
from learngene_bench.plugins.registry import Registry
from learngene_bench.runs.store import Runs, stage_of
from learngene_bench.schema.manifest import PlannedStage
from learngene_bench.schema.stage import CellConfig, GeneConfig, StageFile
from learngene_bench.util.errors import UserError
from learngene_bench.util.files import canonical

RETRIED = frozenset({StageState.FAILED, StageState.LOST, StageState.CANCELLED, StageState.INTERRUPTED})
"""States of stages that are computed again."""
_UNFINISHED = frozenset({*RETRIED, StageState.WAITING, StageState.BLOCKED})


@dataclass(frozen=True)
class RetryBatch:
    """Stages that one command asked for, with the way in which it computed them.

    Attributes:
        stages: by address, inputs before the stages that need them.
    """

    executor: str
    executor_options: Mapping[str, Any]
    compute: Compute
    command: Sequence[str]
    stages: Mapping[str, Stage]


def stages_to_retry(
    planned: Sequence[PlannedStage], statuses: Sequence[StageStatus], wanted: set[str] | None
) -> list[PlannedStage]:
    """Picks the stages to compute again.

    Args:
        planned: all stages of the runs folder, inputs before the stages that need them.
        wanted: addresses of stages that the user named; None for all.

    Returns:
        Those that failed or were lost and are wanted, and the unfinished stages that need them. If all are wanted,
        also the stages that a stopped run has not come to. Empty if nothing failed or was lost.
    """
    state = {one.address: one.state for one in statuses}
    picked = {address for address, found in state.items() if found in RETRIED and (wanted is None or address in wanted)}
    if not picked:
        return []
    for stage in planned:
        needs_picked = not picked.isdisjoint(stage.inputs.values())
        if state[stage.address] in _UNFINISHED and (wanted is None or needs_picked):
            picked.add(stage.address)
    return [stage for stage in planned if stage.address in picked]


def batches(runs: Runs, picked: Sequence[PlannedStage]) -> list[RetryBatch]:
    """Reads the stages and their inputs from their configurations, and groups them by how they were computed.

    Raises:
        DamagedFile: a configuration is missing or has been changed.
    """
    files = runs.load_with_inputs([(stage.kind, stage.address) for stage in picked])
    groups: dict[str, list[PlannedStage]] = {}
    for stage in picked:
        execution = files[stage.address].execution
        how = execution.model_dump(mode="json", include={"executor", "executor_options", "plugins", "command"})
        groups.setdefault(canonical(how), []).append(stage)
    return [_batch(runs, members, files[members[0].address]) for members in groups.values()]


def _batch(runs: Runs, members: Sequence[PlannedStage], file: StageFile) -> RetryBatch:
    flops = {stage.address: stage.flops for stage in members}
    files = runs.load_with_inputs([(stage.kind, stage.address) for stage in members])
    return RetryBatch(
        executor=file.execution.executor,
        executor_options=file.execution.executor_options,
        compute=file.compute,
        command=file.execution.command,
        stages={address: replace(stage_of(file), flops=flops.get(address, 0.0)) for address, file in files.items()},
    )


def check_plugins(runs: Runs, batches: Sequence[RetryBatch], registry: Registry) -> None:
    """Checks that the user has given the plugin files whose methods are needed.

    Raises:
        UserError: naming one that is not there, and the file that the runs folder names.
    """
    for batch in batches:
        for address, stage in batch.stages.items():
            if not isinstance(stage.config, GeneConfig | CellConfig) or stage.config.method.source_hash is None:
                continue
            method, label = stage.config.method, stage.label
            if method.name not in registry.names() or registry.get(method.name).source_hash != method.source_hash:
                named = ", ".join(runs.folder(stage.kind, address).read_config().execution.plugins) or "no file"
                raise UserError(
                    f"{label}: {method.name} is defined in a plugin file; the runs folder names {named}, whose code "
                    "runs only if you give it (--plugin FILE)"
                )
