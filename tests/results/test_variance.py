"""The variance over crossed seeds: closed forms, simulation, and what the tables say of it."""

from __future__ import annotations

import csv
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from recorded_runs import RecordedRuns, record_plan
from scipy import stats

from learngene_bench.cli.main import run_command
from learngene_bench.planning.planner import make_plan
from learngene_bench.planning.request import build_request
from learngene_bench.plugins.registry import Registry
from learngene_bench.results.records.grouping import SeedPair
from learngene_bench.results.statistics.paired import t_interval, t_test_p
from learngene_bench.results.statistics.variance import (
    VarianceSplit,
    split_by_both,
    split_by_gene,
    split_by_target,
)
from learngene_bench.schema.seeds import parse_seeds
from learngene_bench.schema.subject import PlannedCell

PARTS = ("gene", "target", "residual")


def estimates(values: Any) -> list[float]:
    split = split_by_both(np.asarray(values).tolist())
    return [getattr(split, part).estimate for part in PARTS]


def test_two_genes_and_two_targets_by_hand() -> None:
    split = split_by_both([[1.0, 2.0], [3.0, 8.0]])
    # Means 1.5 and 5.5, 2 and 5, 3.5 in all; residuals are 1 each: MS 16, 9, 4.
    assert split.mean == 3.5
    assert estimates([[1.0, 2.0], [3.0, 8.0]]) == [(16 - 4) / 2, (9 - 4) / 2, 4]
    assert split.standard_error() == pytest.approx(np.sqrt((16 + 9 - 4) / 4))
    assert split.standard_error(4, 2) == pytest.approx(np.sqrt(6 / 4 + 2.5 / 2 + 4 / 8))
    assert split.degrees == pytest.approx((16 + 9 - 4) ** 2 / (16**2 + 9**2 + 4**2))


@pytest.mark.parametrize("shape", [(2, 3), (3, 4)])
def test_each_estimate_is_unbiased_for_its_own_component_alone(shape: tuple[int, int]) -> None:
    """An estimate is a quadratic form y'Ay, so its expectation under covariance S is trace(AS), exactly."""
    count = shape[0] * shape[1]
    basis = np.eye(count)
    single = [estimates(unit.reshape(shape)) for unit in basis]
    forms = np.zeros((3, count, count))
    for i, j in itertools.product(range(count), repeat=2):
        both = estimates((basis[i] + basis[j]).reshape(shape))
        forms[:, i, j] = (np.array(both) - single[i] - single[j]) / 2
    same = np.ones
    covariances = {
        "gene": np.kron(np.eye(shape[0]), same((shape[1], shape[1]))),
        "target": np.kron(same((shape[0], shape[0])), np.eye(shape[1])),
        "residual": np.eye(count),
    }
    found = [[np.trace(form @ covariances[part]) for part in PARTS] for form in forms]
    np.testing.assert_allclose(found, np.eye(3), atol=1e-9)


@pytest.mark.parametrize("split", [split_by_gene, split_by_target])
def test_one_seed_is_the_ordinary_variance(split: Callable[[list[float]], VarianceSplit]) -> None:
    values = [71.5, 73.0, 70.25, 74.0]
    found = split(values)
    (part,) = [part for part in (found.gene, found.target, found.residual) if part]
    assert part.estimate == pytest.approx(np.var(values, ddof=1))
    assert found.standard_error() == pytest.approx(stats.sem(values))
    assert found.interval == pytest.approx(stats.t.interval(0.95, 3, np.mean(values), stats.sem(values)))
    assert found.standard_error(16, 16) == pytest.approx(np.std(values, ddof=1) / 4)
    assert part.interval == pytest.approx([3 * part.estimate / stats.chi2.ppf(tail, 3) for tail in (0.975, 0.025)])


def test_without_an_effect_of_targets_it_is_the_paired_t_test_over_genes() -> None:
    split = split_by_both([[1.0, 3.0], [5.0, 3.5], [9.0, 8.0]])
    means = [2.0, 4.25, 8.5]
    assert split.target
    assert split.target.estimate < 0
    assert split.target.variance == split.target.interval.lower == 0
    assert split.interval == pytest.approx(t_interval(means))
    assert split.p == pytest.approx(t_test_p(means))


def test_intervals_cover_where_runs_of_one_gene_are_alike() -> None:
    """Components 1, 0.5 and 0.3 at 4 x 4 seeds; runs taken for independent would miss the mean in half of all cases."""
    random, covered, naive = np.random.default_rng(0), np.zeros(4), 0
    trials = 150
    for _ in range(trials):
        effects = random.normal(size=(4, 1)), np.sqrt(0.5) * random.normal(size=(1, 4))
        runs = effects[0] + effects[1] + np.sqrt(0.3) * random.normal(size=(4, 4))
        split = split_by_both(runs.tolist())
        assert split.interval
        parts = [getattr(split, part).interval for part in PARTS]
        inside = [
            low <= true <= high for (low, high), true in zip([*parts, split.interval], (1, 0.5, 0.3, 0), strict=True)
        ]
        covered += inside
        reach = stats.t.ppf(0.975, 15) * runs.std(ddof=1) / 4
        naive += abs(runs.mean()) <= reach
    assert (covered / trials > 0.9).all()
    assert naive / trials < 0.8


def test_nothing_is_said_of_a_seed_that_there_is_one_of() -> None:
    split = split_by_both([[70.0, 71.0, 72.0]])
    assert split.gene is split.residual is split.standard_error() is split.interval is split.p is None
    assert split.target
    assert split.target.estimate == 1


GENE, TARGET = (0, 30), (0, 12, 6)


def right(cell: PlannedCell) -> int:
    """Gene and target add up, so that there is no residual; He-Init has targets alone."""
    gene, target = cell.seeds
    if cell.method == "he":
        return 700 + TARGET[target]
    return (1300 if cell.method == "direct-pt" else 900 + TARGET[target]) + GENE[gene]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> RecordedRuns:
    plan = make_plan(
        build_request(
            "wave,he,direct-pt", "depth", "digits", parse_seeds("2x3"), ["grid.depths=[4]"], Registry(), False
        )
    )
    return record_plan(tmp_path_factory.mktemp("runs"), plan, right=right)


def report(folder: Path, *options: str) -> None:
    assert run_command(["report", "--runs", str(folder), *options]) == 0


def percent(images: float) -> float:
    return 100 * images / 1440


def test_the_table_has_the_components_and_what_more_seeds_would_buy(
    runs: RecordedRuns, capsys: pytest.CaptureFixture[str]
) -> None:
    report(runs.folder, "--table", "variance", "--format", "json")
    split, differences = (table["data"] for table in json.loads(capsys.readouterr().out)["tables"])
    rows = {row["method"]: row for row in split}
    wave, he, trained = rows["wave"], rows["he"], rows["direct-pt"]
    gene, target = np.var([percent(x) for x in GENE], ddof=1), np.var([percent(x) for x in TARGET], ddof=1)
    assert wave["gene_variance"] == pytest.approx(gene)
    assert wave["target_variance"] == pytest.approx(target)
    assert wave["residual_variance"] == pytest.approx(0, abs=1e-9)
    assert wave["se"] == pytest.approx(np.sqrt(gene / 2 + target / 3))
    assert wave["se_twice_genes"] == pytest.approx(np.sqrt(gene / 4 + target / 3))
    assert wave["se_twice_targets"] == pytest.approx(np.sqrt(gene / 2 + target / 6))
    assert (he["gene_variance"], he["residual_variance"], he["genes"], he["targets"]) == (None, None, None, 3)
    assert he["se_twice_genes"] == pytest.approx(np.sqrt(target / 3))
    assert (trained["target_variance"], trained["genes"], trained["targets"]) == (None, 2, None)
    found = {(row["method"], row["reference"]): row for row in differences}
    lead = found["wave", "he"]
    # He-Init has the same target effects: the difference has those of the genes alone.
    assert lead["difference"] == pytest.approx(percent(900 + 15 - 700))
    assert lead["se"] == pytest.approx(np.sqrt(gene / 2))
    assert found["wave", "direct-pt"]["se"] == pytest.approx(np.sqrt(target / 3))
    assert found["direct-pt", "he"]["se"] == pytest.approx(np.sqrt(gene / 2 + target / 3))


def test_dashes_are_no_zeros_and_say_why(runs: RecordedRuns, capsys: pytest.CaptureFixture[str]) -> None:
    report(runs.folder, "--table", "variance", "--format", "json")
    tables = {table["kind"]: table for table in json.loads(capsys.readouterr().out)["tables"]}
    text = json.dumps(tables["variance"], ensure_ascii=False)
    assert "no seed decides a gene of this method" in text
    assert "the gene is the finished model" in text
    assert "WAVE: of the variance of a run gene 93 %, target 7 %, residual 0 %" in text


def test_every_report_of_crossed_seeds_has_it_and_no_other(
    runs: RecordedRuns, capsys: pytest.CaptureFixture[str]
) -> None:
    report(runs.folder)
    text = capsys.readouterr().out
    assert "Variance over seeds of genes and targets" in text
    assert "the table variance has all runs" in " ".join(text.split())


def test_missing_runs_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = make_plan(
        build_request("wave", "depth", "digits", parse_seeds("2x3"), ["grid.depths=[4]"], Registry(), False)
    )
    made = record_plan(tmp_path, plan)
    made.file(next(stage for stage in made.stages("cell") if "gene 1 seed 0" in stage.label)).unlink()
    report(tmp_path, "--table", "variance", "--format", "csv")
    (row,) = csv.DictReader(capsys.readouterr().out.splitlines())
    assert (row["runs"], row["expected"], row["mean"], row["gene_variance"]) == ("5", "6", "", "")


def test_seeds_of_differences_are_those_that_decide_one_of_both() -> None:
    from learngene_bench.results.tables.variance import _differences

    crossed = {SeedPair(g, t): 10.0 * g + t for g in range(2) for t in range(3)}
    targets = {SeedPair(None, t): float(t) for t in range(4)}
    genes = {SeedPair(g, None): 10.0 * g for g in range(2)}
    assert _differences(crossed, targets, 1) == {SeedPair(g, t): 10.0 * g for g in range(2) for t in range(3)}
    assert _differences(genes, targets, -1) == {SeedPair(g, t): t - 10.0 * g for g in range(2) for t in range(4)}
    assert _differences(targets, targets, 1) == {SeedPair(None, t): 0.0 for t in range(4)}
