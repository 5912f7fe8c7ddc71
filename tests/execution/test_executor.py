"""The state of a run, without computing anything."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import pytest
from fake_stages import FakeStage

from learngene_bench.config.preset import Compute
from learngene_bench.contracts.executor import JobReport, Outcome, RunState
from learngene_bench.execution import executors
from learngene_bench.execution.local import LocalExecutor
from learngene_bench.execution.status import StageState, stage_statuses, statuses_and_jobs
from learngene_bench.execution.work import StageWork
from learngene_bench.runs.store import Runs, StageFolder, State
from learngene_bench.util.errors import UserError


def test_a_failure_blocks_what_needs_it_and_is_not_done() -> None:
    """A cell may be done although its gene is computed again: someone deleted the gene's folder."""
    ancestor = FakeStage("ancestor", "ancestor")
    gene = FakeStage("gene", "gene", {"teacher": ancestor.address})
    cells = [FakeStage("cell", f"cell {seed}", {"gene": gene.address}) for seed in range(3)]
    direct = FakeStage("cell", "direct")
    stages = {stage.address: stage for stage in (ancestor, gene, *cells, direct)}
    state = RunState(stages, done={cells[0].address}, failed={ancestor.address: "no such file"})
    state.block()
    assert state.blocked == {gene.address, cells[1].address, cells[2].address}
    assert state.ready() == [direct]
    assert not state.finished
    state.done.add(direct.address)
    assert state.finished


def test_what_a_process_prints_is_an_outcome_or_it_died() -> None:
    assert Outcome.read('{"state": "done"}\n') == Outcome("done")
    assert Outcome.read('{"state": "refused", "error": "no space"}') == Outcome("refused", "no space")
    for text in ("", "Killed", '{"stat": "done"}', "[]", "3"):
        assert Outcome.read(text).state == "died"


def test_a_failure_that_another_run_has_cleared_to_try_again_is_waited_for(tmp_path: Path) -> None:
    stage = FakeStage("cell", "failed")
    work = StageWork({stage.address: stage}, tmp_path, Compute())
    state = work.initial_state()
    state.running.add(stage.address)
    work.apply(state, stage.address, Outcome("failed"))
    assert not state.failed
    assert stage.address in state.held_elsewhere


def test_a_failure_that_is_cleared_between_two_looks_is_no_error(tmp_path: Path) -> None:
    class ClearedMeanwhile(StageFolder):
        def state(self) -> State:
            found = super().state()
            self.failed.unlink(missing_ok=True)
            return found

    class Folder(Runs):
        def folder(self, kind: str, address: str) -> StageFolder:
            return ClearedMeanwhile(super().folder(kind, address).path, address)

    stage = FakeStage("cell", "failed")
    folder = Runs(tmp_path).stage_dir(stage)  # type: ignore[arg-type]
    folder.fail("failed", "out of memory", "")
    folder.config.write_text("{}")
    assert folder.state() is State.FAILED
    (status,) = stage_statuses(Folder(tmp_path), [stage], JobReport())
    assert status.state is StageState.RUNNING


@pytest.mark.parametrize(("finishes", "expected"), [(True, StageState.DONE), (False, StageState.LOST)])
def test_a_stage_that_is_done_while_the_scheduler_is_asked_is_not_lost(
    finishes: bool, expected: StageState, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stages of a large plan finish between the look at their files and the answer of squeue."""
    stage, early = FakeStage("cell", "in a job"), FakeStage("cell", "done before")
    folders = [Runs(tmp_path).stage_dir(one) for one in (stage, early)]  # type: ignore[arg-type]
    for folder in folders:
        folder.path.mkdir(parents=True)
    folders[1].result.write_text("{}")
    asked: list[list[str]] = []

    class Cluster(LocalExecutor):
        @classmethod
        def status(cls, runs: Path, unfinished: Collection[str]) -> JobReport:
            asked.append(list(unfinished))
            if finishes:
                folders[0].result.write_text("{}")
            return JobReport(job_of={stage.address: "7_0", early.address: "7_1"})

    monkeypatch.setattr(executors, "executors_of", lambda runs: [Cluster])
    found, jobs = statuses_and_jobs(Runs(tmp_path), [stage, early])
    assert [one.state for one in found] == [expected, StageState.DONE]
    assert asked == [[stage.address]]
    assert jobs.job_of


def test_jobs_are_not_called_cancelled_where_the_scheduler_does_not_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Silent(LocalExecutor):
        @classmethod
        def status(cls, runs: Path, unfinished: Collection[str]) -> JobReport:
            return JobReport(error="squeue does not answer")

    monkeypatch.setattr(executors, "executors_of", lambda runs: [Silent])
    with pytest.raises(UserError, match="squeue does not answer"):
        executors.cancel_jobs(tmp_path, ["12_3"])


def test_who_dies_after_the_last_file_has_done_the_work(tmp_path: Path) -> None:
    """A process may be killed between its record and its answer; whoever dies before has failed."""
    stages = {stage.address: stage for stage in (FakeStage("cell", "done"), FakeStage("cell", "not done"))}
    finished, unfinished = stages
    work = StageWork(stages, tmp_path, Compute())
    Runs(tmp_path).folder("cell", finished).path.mkdir(parents=True)
    Runs(tmp_path).folder("cell", finished).result.write_text("{}")
    state = RunState(stages, running={finished, unfinished})
    for address in stages:
        work.apply(state, address, Outcome("died", "killed"))
    assert (state.done, state.failed) == ({finished}, {unfinished: "killed"})
    assert not Runs(tmp_path).folder("cell", finished).failed.exists()
