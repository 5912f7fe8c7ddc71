"""`lgbench retry` that is stopped can be called again: no failure is forgotten before its stage begins."""

from __future__ import annotations

from pathlib import Path

import pytest
from recorded_runs import recorded

from learngene_bench.cli.main import run_command
from learngene_bench.contracts.executor import RunState, Work
from learngene_bench.execution.local import LocalExecutor


def test_failures_of_stages_that_have_not_begun_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = recorded(tmp_path / "runs", "he", seeds=1)
    folders = [made.runs.stage_dir(stage) for stage in made.stages("cell")]
    for stage, folder in zip(made.stages("cell"), folders, strict=True):
        folder.result.unlink()
        folder.fail(stage.label, "ValueError: no", "Traceback")

    def stopped(self: LocalExecutor, work: Work) -> RunState:
        assert not work.initial_state().failed
        raise KeyboardInterrupt

    monkeypatch.setattr(LocalExecutor, "run", stopped)
    for _ in range(2):
        assert run_command(["retry", "--runs", str(made.folder)]) == 130
        assert [folder.read_failure().error for folder in folders] == ["ValueError: no"] * 2
    assert "stopped; run the same command again to continue" in capsys.readouterr().err
