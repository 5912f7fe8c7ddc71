"""What is submitted to a cluster: arrays, dependencies, limits; without one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from learngene_bench.execution.estimate import Rate
from learngene_bench.execution.slurm.layout import SAFETY, START, Array, arrange
from learngene_bench.execution.slurm.scheduler import Limits
from learngene_bench.execution.slurm.settings import SlurmSettings, minutes_of, slurm_settings
from learngene_bench.planning.plan import Stage
from learngene_bench.util.errors import UserError

RATE = Rate(1e9, measured=True)
SITE = Limits(1001, None)


def stage(kind: Any, method: str, number: int, *inputs: Stage, width: int = 48, seconds: float = 60) -> Stage:
    shape = {"ancestor": "spec", "gene": "family", "cell": "target"}[kind]
    config = {shape: {"width": width}, "number": number} | ({"method": {"name": method}} if method else {})
    needs = {str(i): needed.address for i, needed in enumerate(inputs)}
    return Stage(kind, f"{kind} {method} {number}", config, needs, flops=1e9 * seconds)


def plan(seeds: int = 2) -> dict[str, Stage]:
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
    stages: dict[str, Stage],
    *,
    done: set[str] = frozenset(),  # type: ignore[assignment]
    live: dict[str, str] | None = None,
    side_by_side: int = 1,
    limits: Limits = SITE,
    **settings: Any,
) -> list[Array]:
    live = live or {}
    return arrange(
        stages, stages.keys() - done - live.keys(), live, RATE, SlurmSettings(**settings), limits, side_by_side
    )


def check(arrays: list[Array], stages: dict[str, Stage], live: dict[str, str]) -> None:
    """Every stage once, and whatever a stage needs has ended before its array starts, or is done."""
    placed = {a: (n, t) for n, array in enumerate(arrays) for t, task in enumerate(array.tasks) for a in task.stages}
    assert sum(len(task.stages) for array in arrays for task in array.tasks) == len(placed)
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
    assert {array.name: len(array.tasks) for array in arrays} == {
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
    assert max(len(array.tasks) for array in arrays) <= size
    assert all(array.parallel == cap for array in arrays)
    if cap:  # only one array at a time, so that the cap of each is the cap of all
        assert [array.after for array in arrays] == [(), *(((number, None),) for number in range(len(arrays) - 1))]


def test_ten_thousand_cells_in_few_calls() -> None:
    """At most kinds x methods x widths, and one more for each full array."""
    stages = plan(seeds=1111)
    arrays = lay_out(stages)
    check(arrays, stages, {})
    assert sum(len(array.tasks) for array in arrays) == 1 + 1111 * (2 + 9)
    assert len(arrays) <= 1 + 2 * 2 + 3 * 4


def test_time_limits_come_from_the_work() -> None:
    stages = {one.address: one for one in (stage("cell", "he", 1, seconds=3600), stage("cell", "he", 2, seconds=1800))}
    (one_each,) = lay_out(stages)
    assert one_each.minutes == SAFETY * 60 + START
    (together,) = lay_out(stages, cells_per_job=2)
    assert together.minutes == SAFETY * 90 + START
    (side_by_side,) = lay_out(stages, side_by_side=2)
    assert (len(side_by_side.tasks), side_by_side.minutes) == (1, SAFETY * 60 + START)
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
    found = slurm_settings({"partition": "debug", "gpus_per_node": None}, ["qos=short", "exclusive=true"])
    assert (found.partition, found.gpus_per_node) == ("debug", 4)
    assert found.set == {"constraint": "a100", "qos": "short", "exclusive": True}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[slurm]\npartitoin = 'gpu'", r"site.toml \[slurm\]: unknown key 'partitoin': did you mean 'partition'"),
        ("[slurm]\ntime = 'tomorrow'", r"site.toml \[slurm\]: time: a time is written like 24:00:00 or 1-12:00"),
        ("[slrum]\n", r"site.toml: unknown key 'slrum': did you mean 'slurm'"),
        ("[slurm", "site.toml: not valid TOML"),
    ],
)
def test_a_wrong_site_file_is_named(site: Path, text: str, message: str) -> None:
    site.write_text(text)
    with pytest.raises(UserError, match=message):
        slurm_settings({}, [])
