"""Arrays of jobs, their dependencies and limits, without a cluster."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from fake_stages import FakeStage
from rich.console import Console
from submitit.slurm.slurm import _make_sbatch_string

from learngene_bench.execution.estimate import Rate
from learngene_bench.execution.executors import make_executor
from learngene_bench.execution.slurm import scheduler
from learngene_bench.execution.slurm.layout import SAFETY, START, Array, first_jobs, make_arrays
from learngene_bench.execution.slurm.options import SlurmOptions, minutes_of
from learngene_bench.execution.slurm.prepare import PreparedSubmission
from learngene_bench.execution.slurm.scheduler import Limits
from learngene_bench.execution.slurm.submit import parameters
from learngene_bench.execution.slurm.summary import print_summary
from learngene_bench.util.errors import UserError

RATE = Rate(1e9, measured=True)
SITE = Limits(1001, None)


def test_a_scancel_that_hangs_or_is_not_there_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="scancel does not answer"):
        scheduler.cancel(["12_3"])
    program = tmp_path / "scancel"
    program.write_text("#!/bin/sh\nexec /bin/sleep 60\n")
    program.chmod(0o755)
    monkeypatch.setattr(scheduler, "TIMEOUT", 0.2)
    with pytest.raises(UserError, match="scancel does not answer"):
        scheduler.cancel(["12_3"])


def stage(kind: Any, method: str, number: int, *inputs: FakeStage, seconds: float = 60) -> FakeStage:
    needs = {str(i): needed.address for i, needed in enumerate(inputs)}
    return FakeStage(kind, f"{kind} {method} {number}", needs, 1e9 * seconds, (kind, method, "width48"))


def plan(seeds: int = 2) -> dict[str, FakeStage]:
    """A teacher, a gene of two methods for each seed, three cells from each gene and of a method without one."""
    teacher = stage("ancestor", "", 0)
    stages = [teacher]
    for seed in range(seeds):
        for method in ("wave", "telg"):
            gene = stage("gene", method, seed, teacher)
            stages += [gene, *(stage("cell", method, 10 * seed + depth, gene) for depth in range(3))]
        stages += [stage("cell", "he", 10 * seed + depth) for depth in range(3)]
    return {one.address: one for one in stages}


def lay_out(
    stages: dict[str, FakeStage],
    *,
    done: set[str] = frozenset(),  # type: ignore[assignment]
    live: dict[str, str] | None = None,
    concurrent_stages: int = 1,
    limits: Limits = SITE,
    **options: Any,
) -> list[Array]:
    live = live or {}
    return make_arrays(
        stages, stages.keys() - done - live.keys(), live, RATE, SlurmOptions(**options), limits, concurrent_stages
    )


def check(arrays: list[Array], stages: dict[str, FakeStage], live: dict[str, str]) -> None:
    """Every stage once, and whatever a stage needs has ended before its array starts, or is done."""
    placed = {a: (n, t) for n, array in enumerate(arrays) for t, job in enumerate(array.jobs) for a in job.stages}
    assert sum(len(job.stages) for array in arrays for job in array.jobs) == len(placed)
    for address, (number, _) in placed.items():
        ended: set[tuple[int, int | None]] = set()
        waiting = [number]
        while waiting:
            after = arrays[waiting.pop()].after
            ended |= set(after)
            waiting += [earlier for earlier, _ in after]
        for needed in stages[address].inputs.values():
            if needed in placed:
                assert placed[needed] in ended or (placed[needed][0], None) in ended
            elif needed in live:
                assert live[needed] in arrays[number].after_jobs


def test_one_array_for_each_kind_and_method_each_after_what_it_needs() -> None:
    stages = plan()
    arrays = lay_out(stages)
    check(arrays, stages, {})
    assert {array.name: len(array.jobs) for array in arrays} == {
        "ancestor-width48": 1,
        "gene-wave-width48": 2,
        "gene-telg-width48": 2,
        "cell-wave-width48": 6,
        "cell-telg-width48": 6,
        "cell-he-width48": 6,
    }
    after = {array.name: [arrays[number].name for number, _ in array.after] for array in arrays}
    assert after["cell-wave-width48"] == ["gene-wave-width48"]
    assert after["cell-he-width48"] == []


def test_what_is_done_or_in_earlier_jobs_is_left_out() -> None:
    stages = plan()
    teacher, gene, *_ = stages
    arrays = lay_out(stages, done={teacher}, live={gene: "17_3"})
    check(arrays, stages, {gene: "17_3"})
    cells = next(array for array in arrays if array.name == "cell-wave-width48")
    assert cells.after_jobs == ("17_3",)


@pytest.mark.parametrize("size", [4, 7, 1001])
@pytest.mark.parametrize("cap", [None, 3])
def test_arrays_keep_to_the_site_and_the_cap(size: int, cap: int | None) -> None:
    stages = plan(seeds=9)
    arrays = lay_out(stages, limits=Limits(size, None), max_parallel=cap, cells_per_job=2)
    check(arrays, stages, {})
    assert max(len(array.jobs) for array in arrays) <= size
    assert all(array.parallel == cap for array in arrays)
    if cap:  # only one array at a time, so that the cap of each is the cap of all
        assert [array.after for array in arrays] == [(), *(((number, None),) for number in range(len(arrays) - 1))]


def test_ten_thousand_cells_in_few_calls() -> None:
    """Calls are at most kinds x methods x widths, and one more for each full array."""
    stages = plan(seeds=1111)
    arrays = lay_out(stages)
    check(arrays, stages, {})
    assert sum(len(array.jobs) for array in arrays) == 1 + 1111 * (2 + 9)
    assert len(arrays) <= 1 + 2 * 2 + 3 * 4


@pytest.mark.parametrize("room", [-3, 0, 1, 4, 7, 22, 23, 1000])
def test_of_a_full_queue_the_first_jobs_are_kept_with_what_they_wait_for(room: int) -> None:
    stages = plan()
    arrays = lay_out(stages)
    kept = first_jobs(arrays, room)
    placed = {address for array in kept for job in array.jobs for address in job.stages}
    assert len(placed) == min(max(room, 0), len(stages)) == sum(len(array.jobs) for array in kept)
    assert all(placed.issuperset(stages[address].inputs.values()) for address in placed)
    assert [array.after for array in kept] == [array.after for array in arrays[: len(kept)]]


def test_time_limits_come_from_the_work() -> None:
    stages = {one.address: one for one in (stage("cell", "he", 1, seconds=3600), stage("cell", "he", 2, seconds=1800))}
    (one_each,) = lay_out(stages)
    assert one_each.minutes == SAFETY * 60 + START
    (together,) = lay_out(stages, cells_per_job=2)
    assert together.minutes == SAFETY * 90 + START
    (concurrent,) = lay_out(stages, concurrent_stages=2)
    assert (len(concurrent.jobs), concurrent.minutes) == (1, SAFETY * 60 + START)
    assert lay_out(stages, time="1:00:00")[0].minutes == 60
    assert lay_out(stages, limits=Limits(1001, 30), time="1:00:00")[0].minutes == 30
    unknown = stage("ancestor", "", 0, seconds=0)
    assert lay_out({unknown.address: unknown}, time="2-00")[0].minutes == 2880
    assert lay_out({unknown.address: unknown})[0].minutes is None


@pytest.mark.parametrize(
    ("text", "minutes"),
    [("90", 90), ("90:30", 91), ("1:30:00", 90), ("1-12", 2160), ("1-12:30", 2190), ("1-12:30:01", 2191)],
)
def test_times_as_slurm_writes_them(text: str, minutes: int) -> None:
    assert minutes_of(text) == minutes


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    path = tmp_path / "lgbench" / "site.toml"
    path.parent.mkdir()
    return path


def test_the_command_line_over_the_site_file(site: Path) -> None:
    site.write_text('[slurm]\npartition = "gpu"\ngpus_per_node = 4\n[slurm.set]\nconstraint = "a100"\nqos = "long"\n')
    given = {"partition": "debug", "set": {"qos": "short", "exclusive": True}}
    found = make_executor("slurm", given).options
    assert isinstance(found, SlurmOptions)
    assert (found.partition, found.gpus_per_node) == ("debug", 4)
    assert found.set == {"constraint": "a100", "qos": "short", "exclusive": True}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[slurm]\npartitoin = 'gpu'", r"site.toml \[slurm\]: unknown key 'partitoin': did you mean 'partition'"),
        ("[slurm]\ntime = 'tomorrow'", r"site.toml \[slurm\]: time: a time is written like 24:00:00 or 1-12:00"),
        ("[slrum]\n", r"site.toml: unknown executor 'slrum': did you mean 'slurm'"),
        ("[slurm", "site.toml: not valid TOML"),
    ],
)
def test_a_wrong_site_file_is_named(site: Path, text: str, message: str) -> None:
    site.write_text(text)
    with pytest.raises(UserError, match=message):
        make_executor("slurm", {})


def test_no_accounting_key_is_given_that_nobody_asked_for(tmp_path: Path) -> None:
    (array, *_) = lay_out(plan())
    for asked in ({}, {"set": {"wckey": "mine"}}):
        given = parameters(array, [], SlurmOptions(**asked), None)
        text = _make_sbatch_string("true", tmp_path, **given)
        assert [line for line in text.splitlines() if "wckey" in line] == ["#SBATCH --wckey=mine"] * bool(asked)


@pytest.mark.parametrize("width", [60, 80])
def test_names_of_arrays_are_whole_in_a_narrow_terminal(width: int) -> None:
    genes = [stage("gene", "weight-selection-of-a-long-name", seed) for seed in range(2)]
    stages = [
        *genes,
        *(stage("cell", "weight-selection-of-a-long-name", seed, gene) for seed, gene in enumerate(genes)),
    ]
    arrays = lay_out({one.address: one for one in stages})
    console = Console(width=width, file=io.StringIO())
    print_summary(PreparedSubmission(arrays, 0, {}, set(), {}, set(), 1), "to submit", console)
    printed = console.file.getvalue()  # type: ignore[attr-defined]
    assert "…" not in printed
    assert "to submit: 4 stages in" in printed
