"""A runs folder of somebody else: it says what was computed, but runs no code and names no place outside of it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from recorded_runs import RecordedRuns, recorded
from whole_runs import PLUGIN, lgbench_here

from learngene_bench.execution.executors import make_executor
from learngene_bench.execution.slurm import submissions
from learngene_bench.runs.store import Runs
from learngene_bench.util.errors import UserError


def edited(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


@pytest.fixture
def foreign(tmp_path: Path) -> RecordedRuns:
    """Runs of a plugin that leaves a file when it is imported; its last cell failed."""
    plugin = tmp_path / "theirs.py"
    imported = tmp_path / "imported"
    plugin.write_text(f"open({str(imported)!r}, 'w').close()\n" + PLUGIN.format(body="pass"))
    made = recorded(tmp_path / "runs", "mine", seeds=1, plugins=[plugin])
    imported.unlink()
    for stage in made.stages("cell"):
        made.change(made.file(stage, "config.json"), lambda file: file["execution"].update(plugins=[str(plugin)]))
    failed = made.runs.stage_dir(made.stages("cell")[-1])
    failed.result.unlink()
    failed.fail("mine", "ValueError: no", "")
    return made


def test_retry_runs_no_plugin_that_the_folder_names(foreign: RecordedRuns, tmp_path: Path) -> None:
    error = lgbench_here("retry", "--runs", str(foreign.folder), status=2).stderr
    assert error.count("\n") == 1
    assert (
        f"the runs folder names {tmp_path / 'theirs.py'}, whose code runs only if you give it (--plugin FILE)" in error
    )
    for verb in (["status"], ["report"], ["logs", "mine", "6"]):
        lgbench_here(*verb, "--runs", str(foreign.folder))
    assert not (tmp_path / "imported").exists()
    assert foreign.runs.stage_dir(foreign.stages("cell")[-1]).failed.exists()


@pytest.mark.parametrize(
    "option",
    [
        {"setup": ["touch /tmp/x"]},
        {"set": {"wrap": "touch"}},
        {"partition": "gpu\ntouch x"},
        {"account": "$(touch x)"},
        {"mem": "1G;x"},
    ],
)
def test_an_option_that_might_be_a_command_comes_from_the_user(option: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="might be run as a command: if you trust it"):
        make_executor("slurm", {}, option)
    assert make_executor("slurm", option, option).options == make_executor("slurm", option).options


def test_numbers_and_plain_words_are_taken_from_the_folder() -> None:
    recorded_options = {"partition": "gpu-a100", "time": "1-12:00:00", "mem": "64G", "gpus_per_node": 2, "wait": True}
    options = make_executor("slurm", {"mem": "32G"}, recorded_options).options.model_dump(exclude_defaults=True)
    assert options == {**recorded_options, "mem": "32G"}


@pytest.mark.parametrize("kind", ["/etc", "../../victim", "cell/.."])
def test_a_kind_or_an_address_is_no_path(foreign: RecordedRuns, tmp_path: Path, kind: str) -> None:
    plan = next((foreign.folder / "plans").iterdir())
    for change in (
        lambda content: content["stages"][-1].update(kind=kind),
        lambda content: content["stages"][-1].update(address=f"{kind}/{'0' * 64}"),
        lambda content: content["cells"][-1].update(address=kind),
    ):
        before = plan.read_bytes()
        edited(plan, change)
        for verb in ("retry", "status"):
            error = lgbench_here(verb, "--runs", str(foreign.folder), status=2).stderr
            assert error.count("\n") == 1
            assert str(plan) in error
        plan.write_bytes(before)


@pytest.mark.parametrize("job", ["../../../../etc/x", "--user=me", "12_3 4", "*", ""])
def test_the_id_of_a_job_is_a_number(tmp_path: Path, job: str) -> None:
    code = {"sha256": "0" * 64, "commit": None, "dirty": None}
    array = {"name": "cell", "minutes": None, "jobs": [job], "stages": [["0" * 64]]}
    path = tmp_path / "slurm" / "one" / "submission.json"
    path.parent.mkdir(parents=True)
    content = {"schema_version": 2, "command": [], "user": "ada", "code": code, "arrays": [array]}
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"arrays\.0\.jobs\.0"):
        submissions.read(tmp_path)


def test_a_path_that_a_scheduler_would_rewrite_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"a%b: SLURM replaces '%' in the paths of jobs"):
        submissions.new_folder(tmp_path / "a%b")


def test_a_pipe_in_place_of_a_file_is_not_waited_for(tmp_path: Path) -> None:
    """Reading a pipe that nobody writes to never ends."""
    made = recorded(tmp_path / "runs", "he", seeds=1)
    path = made.file(made.stages("cell")[0], "result.json")
    path.unlink()
    os.mkfifo(path)
    assert f"{path}: not a regular file" in lgbench_here("report", "--runs", str(made.folder), status=2).stderr


def test_links_lead_nowhere(foreign: RecordedRuns, tmp_path: Path) -> None:
    """No log is written or printed through a link, and nothing is deleted behind one."""
    from learngene_bench.execution.worker import output_to

    secret = tmp_path / "secret"
    secret.write_text("precious")
    failed = foreign.runs.stage_dir(foreign.stages("cell")[-1])
    failed.log.symlink_to(secret)
    error = lgbench_here("logs", "mine", "6", "--runs", str(foreign.folder), status=2)
    assert "precious" not in error.stdout
    assert f"{failed.log}: a symbolic link" in error.stderr
    with pytest.raises(UserError, match="cannot be written"), output_to(failed.log):
        pass
    failed.log.unlink()
    os.mkfifo(failed.log)
    with pytest.raises(UserError, match="cannot be written"), output_to(failed.log):
        pass
    failed.log.unlink()
    elsewhere = failed.path.rename(tmp_path / "elsewhere")
    failed.path.symlink_to(elsewhere)
    for act in (failed.clear_failure, failed.acquire):
        with pytest.raises(UserError, match="symbolic link, which is not followed"):
            act()
    assert (elsewhere / "failed.json").exists()
    assert secret.read_text() == "precious"
    assert Runs(foreign.folder).folder("cell", failed.address).state() == "failed"
