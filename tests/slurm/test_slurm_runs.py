"""Runs on a real cluster end with the numbers of a run on one machine, whatever happens to their jobs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from cluster import Cluster
from tensorboard_files import tensorboard_curves
from whole_runs import PLUGIN, alive, command, lgbench, numbers, run, short_preset

pytestmark = pytest.mark.slow

SLURM = ("--executor", "slurm", "--partition", "main", "--mem", "1G")
CHAIN = ("-m", "direct-pt", "--set", "grid.depths=[4]", "--set", "pretraining.epochs=30")
"""Three stages: a pre-training of some seconds, which is interrupted, then a gene and a cell that need it."""
ALONE = ("-m", "he", "--set", "grid.depths=[4]", "--set", "finetuning.epochs=20")
"""One stage of some seconds."""


@pytest.fixture(scope="module")
def preset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return short_preset(tmp_path_factory.mktemp("preset"))


@pytest.fixture(scope="module")
def reference(preset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = tmp_path_factory.mktemp("reference") / "runs"
    run(preset, runs, "-m", "wave,he")
    return runs


@pytest.fixture(scope="module")
def chain_reference(preset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = tmp_path_factory.mktemp("reference") / "runs"
    run(preset, runs, *CHAIN)
    return runs


@pytest.fixture(scope="module")
def alone_reference(preset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = tmp_path_factory.mktemp("reference") / "runs"
    run(preset, runs, *ALONE)
    return runs


def states(runs: Path) -> dict[str, str]:
    """Returns the state of each stage by its label."""
    stages = json.loads(lgbench("status", "--runs", str(runs), "--format", "json").stdout)["stages"]
    return {stage["label"]: stage["state"] for stage in stages}


def wait_for_end(cluster: Cluster, seconds: float = 300) -> None:
    cluster.wait(lambda: not cluster.squeue(), "the end of all jobs", seconds)


def submitted(runs: Path) -> list[dict[str, Any]]:
    files = sorted(runs.glob("slurm/*/submission.json"))
    return [array for file in files for array in json.loads(file.read_text())["arrays"]]


def begin(cluster: Cluster, preset: Path, runs: Path, stages: Sequence[str]) -> str:
    """Submits stages, and waits until the first job is in the middle of its training. Returns the job's id."""
    run(preset, runs, *stages, *SLURM)
    cluster.wait(lambda: any(runs.glob("*/*/checkpoints/*.pt")), "a checkpoint", 90)
    return str(submitted(runs)[0]["jobs"][0])


def begin_waiting_run(cluster: Cluster, preset: Path, folder: Path, first: str = "pass") -> tuple[str, Path]:
    """Submits a cell of a method that does something first, then waits for a file.

    Returns:
        The job's id and the file, when the method waits.
    """
    plugin, go = folder / "mine.py", folder / "go"
    lines = ["import os, time", first, f"open({str(folder / 'waits')!r}, 'w')"]
    lines += [f"while not os.path.exists({str(go)!r}): time.sleep(0.1)"]
    plugin.write_text(PLUGIN.format(body="\n            ".join(lines)))
    run(preset, folder / "runs", "-m", "mine", "--set", "grid.depths=[6]", "--plugin", str(plugin), *SLURM)
    cluster.wait((folder / "waits").exists, "the method", 90)
    return str(submitted(folder / "runs")[0]["jobs"][0]), go


def output(runs: Path, job: str) -> str:
    return "".join(path.read_text() for path in sorted(runs.glob(f"slurm/*/jobs/{job}_*log.out")))


def test_the_same_table_as_on_one_machine_and_nothing_twice(
    cluster: Cluster, preset: Path, reference: Path, tmp_path: Path
) -> None:
    """Two submit the same at the same moment, a third while all is queued; a dry run says what will be."""
    runs = tmp_path / "runs"
    plan = json.loads(run(preset, runs, "-m", "wave,he", *SLURM, "--dry-run", "--format", "json").stdout)
    assert not runs.exists()
    both = [subprocess.Popen(command(preset, runs, "-m", "wave,he", *SLURM), stderr=subprocess.PIPE) for _ in range(2)]
    ends = [(process.communicate(timeout=60)[1].decode(), process.returncode) for process in both]
    assert {status for _, status in ends} <= {0, 2}
    assert all(not error or "another lgbench run is submitting" in error for error, _ in ends)
    again = run(preset, runs, "-m", "wave,he", *SLURM)
    assert "submitted: 0 stages in 0 jobs" in again.stdout
    assert [len(array["jobs"]) for array in submitted(runs)] == [len(array["jobs"]) for array in plan["arrays"]]
    assert {"queued"} <= set(states(runs).values()) <= {"queued", "running", "done"}
    done = run(preset, runs, "-m", "wave,he", *SLURM, "--wait")
    assert "WAVE" in done.stdout
    assert numbers(runs) == numbers(reference)
    assert set(states(runs).values()) == {"done"}
    assert not [path for path in runs.rglob("*") if path.suffix in (".tmp", ".pt") or path.name == "progress.json"]


def test_told_to_end_it_saves_and_is_requeued(
    cluster: Cluster, preset: Path, alone_reference: Path, tmp_path: Path
) -> None:
    """And the curve in a tracker goes on: it has every step of the record once."""
    pytest.importorskip("tensorboard")
    runs = tmp_path / "runs"
    job = begin(cluster, preset, runs, (*ALONE, "--track", "tensorboard"))
    cluster.run("scancel", "--signal=USR2", job)
    cluster.wait(lambda: "Requeued job" in output(runs, job), "the job to be requeued")
    assert set(states(runs).values()) == {"queued"}
    wait_for_end(cluster)
    assert "died" not in output(runs, job)
    assert numbers(runs) == numbers(alone_reference)
    (curves,) = tensorboard_curves(runs / "tracking").values()
    curve = json.loads(next(runs.glob("cell/*/result.json")).read_text())["curve"]
    found = [(step, pytest.approx(value)) for step, value in curves["finetuning/top1"]]
    assert found == [(point["iterations"], point["metrics"]["top1"]) for point in curve]


def test_a_time_limit_is_a_pause(cluster: Cluster, preset: Path, tmp_path: Path) -> None:
    """SLURM itself announces the end of the job, while a method does what cannot be interrupted."""
    runs = tmp_path / "runs"
    job, go = begin_waiting_run(cluster, preset, tmp_path)
    cluster.run("scontrol", "update", f"job={job}", "TimeLimit=1")  # less than the notice that jobs ask for
    cluster.wait(lambda: "Requeued job" in output(runs, job), "the job to be requeued", 300)
    cluster.run("scontrol", "update", f"job={job}", "TimeLimit=10")
    go.touch()
    wait_for_end(cluster)
    assert set(states(runs).values()) == {"done"}


def test_requeued_from_outside(cluster: Cluster, preset: Path, alone_reference: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    job = begin(cluster, preset, runs, ALONE)
    cluster.run("scontrol", "requeue", job)
    wait_for_end(cluster)
    assert output(runs, job).count("Loading pickle") == 2
    assert numbers(runs) == numbers(alone_reference)


def test_cancelled_and_taken_up_again(cluster: Cluster, preset: Path, chain_reference: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    begin(cluster, preset, runs, CHAIN)
    assert "cancelled 3 jobs" in lgbench("cancel", "--runs", str(runs)).stdout
    wait_for_end(cluster)
    cluster.wait(lambda: set(states(runs).values()) == {"cancelled"}, "the accounting")
    error = lgbench("cancel", "--runs", str(runs), status=2).stderr
    assert "no job of this folder waits or runs" in error
    lgbench("retry", "--runs", str(runs))
    wait_for_end(cluster)
    assert numbers(runs) == numbers(chain_reference)


def test_a_lost_node_never_has_a_stage_computed_twice_at_once(cluster: Cluster, preset: Path, tmp_path: Path) -> None:
    """SLURM gives the node up while the processes of the job live on, and starts the job a second time."""
    runs, log = tmp_path / "runs", tmp_path / "log"
    job, go = begin_waiting_run(cluster, preset, tmp_path, f"open({str(log)!r}, 'a').write(str(os.getpid()) + chr(10))")
    (first,) = map(int, log.read_text().split())
    cluster.kill_slurmd()
    cluster.wait(lambda: cluster.squeue().get(job) == "PENDING", "the controller to give the node up", 90)
    assert alive(first)
    assert states(runs)["mine micro depth 6 seed 0"] == "running"
    # The node kills what is left of the job when it comes back. A second start within that second, which has the same
    # job id, would be killed with it, and not be started again.
    cluster.run("scontrol", "hold", job)
    cluster.start_slurmd()
    cluster.wait(lambda: not alive(first), "the node to end what was left of the job", 90)
    cluster.run("scontrol", "release", job)
    cluster.wait(lambda: len(log.read_text().split()) == 2, "the second start of the method", 300)
    go.touch()
    wait_for_end(cluster)
    assert len(log.read_text().split()) == 2
    again = tmp_path / "again"
    plugin = ["--plugin", str(tmp_path / "mine.py")]
    run(preset, again, "-m", "mine", "--set", "grid.depths=[6]", *plugin)
    assert numbers(runs) == numbers(again)


def test_a_job_that_dies_is_lost_and_retried(
    cluster: Cluster, preset: Path, chain_reference: Path, tmp_path: Path
) -> None:
    runs = tmp_path / "runs"
    job = begin(cluster, preset, runs, CHAIN)
    owner = json.loads(next(runs.glob("ancestor/*/owner-*.json")).read_text())
    assert owner["job"] == job
    os.kill(int(Path(f"/proc/{owner['pid']}/stat").read_text().rsplit(")", 1)[1].split()[1]), signal.SIGKILL)
    wait_for_end(cluster)  # what depended on it computes what it needs itself
    assert numbers(runs) == numbers(chain_reference)
    for path in runs.glob("*/*/result.json"):
        path.unlink()
    assert set(states(runs).values()) == {"lost"}
    said = lgbench("logs", "pretrained depth 4", "--runs", str(runs)).stdout
    assert f"job {job} is gone: FAILED" in said
    assert "submitit" in said
    lgbench("retry", "--runs", str(runs))
    wait_for_end(cluster)
    assert numbers(runs) == numbers(chain_reference)


def test_failures_stay_with_their_cells(cluster: Cluster, preset: Path, reference: Path, tmp_path: Path) -> None:
    """A method whose process dies in one cell, in the same job as good ones; all of it from a frozen copy."""
    runs, plugin = tmp_path / "runs", tmp_path / "mine.py"
    plugin.write_text(PLUGIN.format(body="import os; os._exit(7)"))
    arguments = ["-m", "mine,he", "--plugin", str(plugin), "--cells-per-job", "2", *SLURM]
    run(preset, runs, *arguments, "--snapshot")
    done = run(preset, runs, *arguments, "--wait", status=1)
    assert "mine micro depth 6 seed 0: its worker ended with exit status 7" in done.stdout
    found = states(runs)
    assert sorted(found.values()) == ["done", "done", "done", "failed"]
    assert found["mine micro depth 6 seed 0"] == "failed"
    (submission,) = runs.glob("slurm/*/submission.json")
    assert submission.with_name("code").joinpath("learngene_bench/methods/sws.py").is_file()
    he = {name: value for name, value in numbers(reference).items() if value.get("cell", {}).get("method") == "he"}
    assert he.items() <= numbers(runs).items()
    assert "he micro depth 6" in lgbench("logs", "he depth 6", "--runs", str(runs)).stdout


def test_two_tasks_train_one_model(cluster: Cluster, preset: Path, reference: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    run(preset, runs, "-m", "wave", "--set", "grid.depths=[4]", *SLURM, "--processes-per-model", "2")
    wait_for_end(cluster, 180)
    (record,) = (json.loads(path.read_text()) for path in runs.glob("cell/*/result.json"))
    recorded = [json.loads(path.read_text()) for path in reference.glob("cell/*/result.json")]
    (alone,) = (other for other in recorded if other["cell"] == record["cell"])
    assert alone["address"] != record["address"]  # other random numbers
    assert record["initial_weights"].keys() == alone["initial_weights"].keys()
    assert record["metrics"]["top1"] == pytest.approx(alone["metrics"]["top1"], abs=10)
    assert record["cost"]["finetune"]["images"] == alone["cost"]["finetune"]["images"]
    assert record["provenance"]["hardware"]["processes"] == 2


def test_arrays_are_split_and_capped(cluster: Cluster, preset: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    arguments = ["-m", "he", *SLURM, "--quick"]
    run(preset, runs, *arguments, "--seeds", "3")
    assert [len(array["jobs"]) for array in submitted(runs)] == [5, 1]
    wait_for_end(cluster)
    assert len(list(runs.glob("cell/*/result.json"))) == 6
    capped = tmp_path / "capped"
    run(preset, capped, *arguments, "--seeds", "2", "--max-parallel", "1")
    highest = 0

    def all_done() -> bool:
        nonlocal highest
        queue = list(cluster.squeue().values())
        highest = max(highest, queue.count("RUNNING"))
        return not queue

    cluster.wait(all_done, "the end of all jobs", 300)
    assert highest == 1
    assert len(list(capped.glob("cell/*/result.json"))) == 4


def test_what_the_scheduler_refuses_is_one_line(cluster: Cluster, preset: Path, tmp_path: Path) -> None:
    def refused(*arguments: str) -> str:
        done = subprocess.run(
            [*command(preset, tmp_path / "runs", "-m", "he", *SLURM), *arguments], capture_output=True, text=True
        )
        assert done.returncode == 2, done.stderr
        (line,) = done.stderr.splitlines()
        return line

    assert "there is none (valid: main)" in refused("--partition", "gpu")
    assert "the scheduler refuses cell-he-width48" in refused("--set-slurm", "constraint=a100")
    assert "--executor slurm: set: time has an option of its own" in refused("--set-slurm", "time=5")
