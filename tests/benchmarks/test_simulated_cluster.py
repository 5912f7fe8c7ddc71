"""The simulated cluster: everything finishes, nothing is computed twice, and every hour is accounted for."""

from __future__ import annotations

import subprocess
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from cluster_parts.cluster import Cluster
from cluster_parts.commands import Commands, Site
from cluster_parts.jobs import Rates
from simulated_cluster import Asked, Report, in_this_process, simulate

Found = tuple[Report, Cluster]
ROUGH = Rates(gpus=40, failures=2e-3, preemptions=0.1, hard=0.3, stage_failures=0.02)
CALM = Rates(gpus=40, failures=0.0, preemptions=0.0, stage_failures=0.0)


def found(folder: Path, rates: Rates, seeds: int = 2, site: Site | None = None, max_submitted: int = 0) -> Found:
    asked = Asked("depth", "imagenet", seeds, "he,wave", max_submitted=max_submitted)
    return simulate(folder, asked, rates, site, seed=1, look_hours=72, lgbench=in_this_process)


@pytest.fixture(scope="module")
def rough(tmp_path_factory: pytest.TempPathFactory) -> Found:
    return found(tmp_path_factory.mktemp("rough"), ROUGH, seeds=7)


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Found:
    return found(tmp_path_factory.mktemp("calm"), CALM)


def numbers(report: Report) -> dict[str, Any]:
    """All that is no measurement of this machine."""
    return {name: value for name, value in asdict(report).items() if name not in ("measured", "megabytes")}


def test_all_cells_finish_whatever_goes_wrong(rough: Found) -> None:
    report, cluster = rough
    assert report.cells_done == report.cells == 210
    assert report.stages_done == report.stages == len(cluster.done)
    for event in ("node failures", "preemptions", "stages whose process died", "stages with an error", "time limits"):
        assert report.counts[event], event
    assert report.typed["retry"]


@pytest.mark.parametrize("which", ["rough", "calm"])
def test_every_hour_that_a_job_held_a_gpu_is_accounted_for(which: str, request: pytest.FixtureRequest) -> None:
    report, cluster = request.getfixturevalue(which)
    parts = report.useful + sum(report.lost.values()) + report.starting + report.waiting + report.saving
    assert report.occupied == pytest.approx(parts)
    assert report.useful == pytest.approx(sum(cluster.done.values()) / 3600)


def test_no_stage_is_computed_twice_unless_its_work_was_lost(rough: Found) -> None:
    report, cluster = rough
    assert "stages done twice" not in report.counts
    for address, seconds in cluster.done.items():
        assert cluster.computed[address] == pytest.approx(seconds + cluster.lost[address])
    assert sum(cluster.lost.values()) > 0


def test_without_failures_nothing_is_lost_and_nothing_is_typed_again(calm: Found) -> None:
    report, _ = calm
    assert report.cells_done == report.cells == 60
    assert not report.lost
    assert report.waiting == report.down == 0
    assert report.typed == {"run": 1}


@pytest.mark.slow
def test_the_same_seed_gives_the_same_numbers(tmp_path: Path) -> None:
    first, second = (found(tmp_path / name, ROUGH)[0] for name in ("first", "second"))
    assert first.lost
    assert numbers(first) == numbers(second)


@pytest.mark.slow
@pytest.mark.parametrize(("array_size", "max_submitted"), [(10, 0), (1001, 30)])
def test_limits_of_the_site_are_respected(array_size: int, max_submitted: int, tmp_path: Path) -> None:
    """SLURM refuses an array that does not fit; told of the limit, lgbench submits as many jobs as fit."""
    site = Site(array_size=array_size, most_submitted=30)
    report, _ = found(tmp_path, ROUGH, site=site, max_submitted=max_submitted)
    assert report.cells_done == report.cells == 60
    assert report.most_queued <= 30
    assert report.most_running <= 40
    assert bool(report.refused) == (not max_submitted)
    jobs = tmp_path / "runs" / "slurm"
    assert all(path.stem.endswith("_submitted") for path in jobs.glob("*/jobs/*.pkl"))
    assert report.typed["run"] > 1


def test_sbatch_refuses_what_slurm_refuses(tmp_path: Path) -> None:
    commands = Commands(tmp_path / "slurm", Site(array_size=5, most_submitted=7))
    script = tmp_path / "script.sh"

    def submit(jobs: int, after: str = "1") -> subprocess.CompletedProcess[str]:
        lines = [f"#SBATCH --array=0-{jobs - 1}%{jobs}", f"#SBATCH --dependency=afterany:{after}", "#SBATCH --time=9"]
        script.write_text("\n".join(lines))
        program = str(commands.folder / "bin" / "sbatch")
        return subprocess.run([program, str(script)], capture_output=True, text=True)

    assert "Invalid job array specification" in submit(6).stderr
    assert submit(5).stdout == "Submitted batch job 1\n"
    assert "job submit limit" in submit(3).stderr
    assert submit(2, "1:1_2").returncode == 0
    first, second = commands.submitted()
    assert (first.names()[-1], first.minutes, second.after) == ("1_4", 9, ("1", "1_2"))
    assert commands.calls() == {"sbatch": 4}
