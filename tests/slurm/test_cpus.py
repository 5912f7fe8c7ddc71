"""Cores that a job asks for reach its steps, also where SLURM does not hand it down."""

from __future__ import annotations

import pytest
from cluster import Cluster
from submitit.slurm.slurm import _make_sbatch_string

from learngene_bench.execution.slurm.layout import Array, JobPlan
from learngene_bench.execution.slurm.options import SlurmOptions
from learngene_bench.execution.slurm.submit import parameters


@pytest.mark.slow
def test_a_step_has_all_cores_of_its_job_where_tasks_are_bound_to_cores(
    cluster: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("bound")
    with Cluster(folder / "cluster", TaskPlugin="task/affinity", TaskPluginParam="Threads") as bound:
        file = folder / "job.sh"
        asked = parameters(Array("he", (JobPlan(("a",), 1.0),), minutes=1), [], SlurmOptions(cpus_per_task=2), None)
        file.write_text(_make_sbatch_string("env -u OMP_NUM_THREADS nproc", folder, **asked))
        job = bound.run("sbatch", "--parsable", "--wait", str(file)).strip()
        assert (folder / f"{job}_0_log.out").read_text().split()[-1] == "2"
