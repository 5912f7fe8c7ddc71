"""A cluster for the other tests: it runs submitit's jobs, breaks as it should, and leaves nothing behind."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import guard
import pytest
import submitit
from cluster import Cluster

from learngene_bench.cli import doctor_machine

pytestmark = pytest.mark.slow


@pytest.fixture
def executor(tmp_path: Path) -> submitit.SlurmExecutor:
    executor = submitit.SlurmExecutor(folder=tmp_path / "jobs")
    executor.update_parameters(time=10, stderr_to_stdout=True)
    return executor


def result(cluster: Cluster, job: submitit.Job[object]) -> object:
    cluster.wait(lambda: job.done(force_check=True), f"job {job.job_id}")
    return job.result()


def test_a_job_runs_on_the_node_and_sees_its_gpus(cluster: Cluster, executor: submitit.SlurmExecutor) -> None:
    def place() -> list[str]:
        return [os.environ[name] for name in ("SLURM_JOB_PARTITION", "SLURM_JOB_NODELIST", "CUDA_VISIBLE_DEVICES")]

    executor.update_parameters(gres="gpu:2", mem="1G")
    job = executor.submit(place)
    assert result(cluster, job) == ["main", "localhost", "0,1"]
    cluster.wait(lambda: cluster.sacct(job.job_id) == {job.job_id: "COMPLETED"}, "the accounting")


def test_doctor_names_its_partitions() -> None:
    (found,) = doctor_machine.slurm()
    assert found.verdict == "ok"
    assert "main" in found.values["partitions"]


def test_what_depends_on_an_array_runs_after_all_of_it(
    cluster: Cluster, executor: submitit.SlurmExecutor, tmp_path: Path
) -> None:
    def write(name: int) -> None:
        (tmp_path / f"{name}.done").touch()

    def found() -> list[str]:
        return sorted(file.name for file in tmp_path.glob("*.done"))

    array = executor.map_array(write, range(5))
    executor.update_parameters(dependency=f"afterok:{array[0].job_id.split('_')[0]}")
    after = executor.submit(found)
    assert result(cluster, after) == ["0.done", "1.done", "2.done", "3.done", "4.done"]
    states = {job.job_id: "COMPLETED" for job in array}
    cluster.wait(lambda: cluster.sacct(*states) == states, "the accounting")


def test_a_job_that_dies_without_a_word_is_reported_failed(cluster: Cluster, executor: submitit.SlurmExecutor) -> None:
    def die() -> None:
        os._exit(7)

    job = executor.submit(die)
    cluster.wait(lambda: cluster.sacct(job.job_id) == {job.job_id: "FAILED"}, "the accounting")


def test_a_requeued_job_starts_again(cluster: Cluster, executor: submitit.SlurmExecutor, tmp_path: Path) -> None:
    def restarts() -> str:
        count = os.environ.get("SLURM_RESTART_COUNT", "0")
        (tmp_path / count).touch()
        if count == "0":
            time.sleep(600)
        return count

    job = executor.submit(restarts)
    cluster.wait((tmp_path / "0").exists, "the first start")
    cluster.run("scontrol", "requeue", job.job_id)
    assert result(cluster, job) == "1"


def test_a_job_survives_a_short_absence_of_its_node(
    cluster: Cluster, executor: submitit.SlurmExecutor, tmp_path: Path
) -> None:
    def restarts() -> str:
        (tmp_path / "started").touch()
        while not (tmp_path / "go").exists():
            time.sleep(0.1)
        return os.environ.get("SLURM_RESTART_COUNT", "0")

    job = executor.submit(restarts)
    cluster.wait((tmp_path / "started").exists, "its start")
    cluster.kill_slurmd()
    cluster.start_slurmd()
    (tmp_path / "go").touch()
    assert result(cluster, job) == "0"


def test_a_drained_node_is_taken_back(cluster: Cluster) -> None:
    cluster.run("scontrol", "update", "nodename=localhost", "state=drain", "reason=test")
    cluster.cancel_all()
    job = cluster.run("sbatch", "--parsable", "--output=/dev/null", "--wrap=true").strip()
    cluster.wait(lambda: cluster.sacct(job) == {job: "COMPLETED"}, "a job on it")


def test_arrays_are_limited(cluster: Cluster) -> None:
    def submit(indices: str) -> None:
        cluster.run("sbatch", f"--array={indices}", "--hold", "--wrap=true")

    submit("0-4")
    with pytest.raises(RuntimeError, match="Invalid job array specification"):
        submit("0-5")


OWNER = """
import sys, time
from pathlib import Path
from cluster import Cluster

folder, running = Path(sys.argv[1]), Path(sys.argv[2])
with Cluster(folder) as second:
    second.run("sbatch", "--output=/dev/null", f"--wrap=srun sh -c 'touch {running}; sleep 600'")
    time.sleep(600)
"""


def test_a_second_cluster_stands_beside_the_first_and_nothing_of_it_outlives_its_killed_owner(
    cluster: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("two") / "c"  # short, for sockets are in it
    running = folder.with_name("running")
    owner = subprocess.Popen([sys.executable, "-c", OWNER, folder, running], cwd=Path(__file__).parent)
    try:
        cluster.wait(running.exists, "a job of the second cluster")
        commands = {Path(f"/proc/{process}/comm").read_text().strip() for process in guard.processes(folder)}
        assert commands >= {"munged", "mariadbd", "slurmdbd", "slurmctld", "slurmd", "slurmstepd", "srun", "sleep"}
    finally:
        owner.kill()
        owner.wait()
    cluster.wait(lambda: os.listdir(folder) == ["log"], "the guard")
    assert guard.processes(folder) == []
    assert cluster.squeue() == {}
