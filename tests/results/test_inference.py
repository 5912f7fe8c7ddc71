"""Comparisons of methods, the statistics of a sample, and the notes where there are too few seeds or columns."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from scipy import stats

from learngene_bench.cli.main import run_command
from learngene_bench.results import load, make_tables, markdown, statistics_reports
from learngene_bench.results.statistics.testing import holm
from learngene_bench.results.tables.inference import Inference, inference
from learngene_bench.results.tables.inference_report import thresholds
from learngene_bench.results.tables.metric_table import MetricTable
from learngene_bench.results.tables.samples import samples

MEANS = {"he": 70.0, "mimetic": 72.0, "sws": 85.0, "wave": 86.0}


def table(runs: Any, seeds: int, depths: Sequence[int] = (2, 4, 6, 8), ligo: bool = False) -> MetricTable:
    """Made up: a method's mean, growing with the depth, off by something for each seed and a little for each run."""
    generator = random.Random(0)
    cells = []
    for method, mean in {**MEANS, **({"ligo": 85.5} if ligo else {})}.items():
        off = [generator.gauss(0, 1) for _ in range(seeds)]
        for depth in depths:
            for seed in range(seeds):
                accuracy = mean + depth / 2 + off[seed] + generator.gauss(0, 0.3)
                if (method, depth) != ("ligo", 2):
                    cells.append(runs.done(runs.cell(method, depth, seed), round(accuracy, 2)))
    runs.plan(cells, [runs.dash("ligo", 2, "its source has this depth")] if ligo else [])
    (made,) = make_tables(load([runs.folder]))
    return made


def of(table: MetricTable) -> Inference:
    (sample,) = samples(table)
    found = inference(sample)
    assert found is not None
    return found


def test_rows_with_anything_missing_are_excluded_by_name(example: Any) -> None:
    (made,) = make_tables(load([example.folder]))
    everywhere, common = samples(made)
    assert [row.label for row in everywhere.rows] == ["He-Init"]
    assert dict(everywhere.excluded) == {
        "Mimetic": "not run: micro depth 6",
        "LiGO": "not supported: micro depth 2; mini depth 2",
        "WAVE": "incomplete: micro depth 6",
        "WAVE (inheritance=interpolate)": "incomplete: micro depth 2; not planned: micro depth 4, 6; mini depth 2, 4",
        "Direct PT": "a reference",
    }
    assert [row.label for row in common.rows] == ["He-Init", "LiGO"]
    assert [made.columns[index].label for index in common.columns] == ["4", "6", "4"]


def test_a_row_with_fewer_seeds_is_excluded_and_one_with_more_gives_its_own_up(runs: Any) -> None:
    cells = [
        runs.done(runs.cell(method, depth, seed), 80.0 + seed)
        for method, seeds in {"he": 3, "mimetic": 3, "sws": 6, "wave": 1}.items()
        for depth in (2, 4)
        for seed in range(seeds)
    ]
    runs.plan(cells)
    (sample,) = samples(*make_tables(load([runs.folder])))
    assert sample.seeds == (0, 1, 2)
    assert [row.label for row in sample.rows] == ["He-Init", "Mimetic", "SWS"]
    assert sample.excluded == {"WAVE": "only seed 0"}


def test_equal_budget_siblings_are_apart(budgets: Any) -> None:
    both = make_tables(load([budgets.folder]))
    ordinary, equal = (next(sample for sample in samples(made) if not sample.partial) for made in both)
    gains = (equal.values - ordinary.values).mean(axis=(1, 2))
    # What the fixture adds where a method has more training at equal budget; WAVE has as many in both.
    assert dict(zip((row.label for row in ordinary.rows), gains, strict=True)) == pytest.approx(
        {row.label: 0.0 if row.method == "wave" else 3.0 for row in equal.rows}
    )


def test_pairs_are_those_of_scipy_on_the_seeds_means(runs: Any) -> None:
    found = of(table(runs, seeds=5))
    labels = [row.label for row in found.sample.rows]
    by_seed = dict(zip(labels, found.sample.values.mean(axis=1), strict=True))
    by_column = dict(zip(labels, found.sample.values.mean(axis=2), strict=True))
    references = []
    for pair in found.pairs:
        reference = stats.ttest_rel(by_seed[pair.first.label], by_seed[pair.second.label])
        references.append(reference.pvalue)
        assert pair.difference > 0
        assert pair.tests["t"].p == pytest.approx(reference.pvalue)
        assert pair.interval == pytest.approx(reference.confidence_interval(0.95))
        flips = stats.permutation_test(
            (by_seed[pair.first.label], by_seed[pair.second.label]),
            lambda x, y, axis: (x - y).mean(axis=axis),
            permutation_type="samples",
            vectorized=True,
        )
        assert pair.tests["sign_flip"].p == pytest.approx(flips.pvalue)
        ranks = stats.wilcoxon(by_column[pair.first.label], by_column[pair.second.label], method="exact")
        assert pair.tests["wilcoxon"].p == pytest.approx(ranks.pvalue)
    assert [pair.tests["t"].corrected for pair in found.pairs] == pytest.approx(holm(references))
    assert len(found.pairs) == 6


def test_statistics_of_methods_are_those_of_scipy(runs: Any) -> None:
    found = of(table(runs, seeds=5))
    values = found.sample.values
    ranks = stats.rankdata(-values.mean(axis=2), axis=0).mean(axis=1)
    for place, method in enumerate(found.methods):
        by_seed = values[place].mean(axis=0)
        assert method.mean == pytest.approx(values[place].mean())
        assert method.rank == pytest.approx(ranks[place])
        reference = stats.t.interval(0.95, 4, loc=by_seed.mean(), scale=stats.sem(by_seed))
        assert method.by_t == pytest.approx(reference)
    assert found.friedman.statistic == pytest.approx(stats.friedmanchisquare(*values.mean(axis=2)).statistic)


@pytest.mark.parametrize(("seeds", "significant"), [(7, False), (8, True)])
def test_an_exact_test_is_corrected_only_where_it_could_be_significant(
    runs: Any, seeds: int, significant: bool
) -> None:
    """Four methods are six pairs: 6 x 2 / 2^7 = 0.09, 6 x 2 / 2^8 = 0.047."""
    found = of(table(runs, seeds))
    corrected = {pair.tests["sign_flip"].corrected for pair in found.pairs}
    assert (None in corrected) is not significant
    text = markdown(statistics_reports([found.sample.table]))
    said = "Too few for the sign-flip test: 7 seeds; it takes 8 for the clearest of 6 pairs to be significant"
    assert (said in text) is not significant
    assert ("p sign-flip" in text) is significant


def test_one_seed_one_target_and_one_method_say_that_they_say_nothing(runs: Any) -> None:
    made = table(runs, seeds=1, depths=(4,))
    found = of(made)
    assert {interval for row in found.methods for interval in (row.by_t, row.by_runs, row.by_seeds)} == {None}
    text = markdown(statistics_reports([made]))
    assert "One seed: nothing can be said of what other seeds would give" in text
    assert "Too few for Friedman's test: 4 methods on 1 target" in text
    assert "Too few for the Wilcoxon test: 1 target" in text
    assert " to " not in "".join(line for line in text.splitlines() if line.startswith("|"))


def test_a_single_method_is_compared_with_nothing(runs: Any) -> None:
    runs.plan([runs.done(runs.cell("wave", depth), 80.0) for depth in (4, 6)])
    (table,) = statistics_reports(make_tables(load([runs.folder])))
    assert "Nothing to compare: fewer than two methods have all results of micro depth 4, 6." in table.conclusions
    assert table.data == ()


def test_equal_methods_have_no_ranks_and_no_differences(runs: Any) -> None:
    cells = [runs.done(runs.cell(method, 4, seed), 80.0 + seed) for method in ("he", "wave") for seed in range(3)]
    runs.plan(cells)
    (made,) = make_tables(load([runs.folder]))
    (pair,) = of(made).pairs
    assert (pair.difference, pair.tests["t"].p, pair.tests["sign_flip"].p, pair.improvement) == (0.0, 1.0, 1.0, 0.5)
    assert "there are no ranks" in markdown(statistics_reports([made]))


def test_tables_of_a_kind_have_the_same_keys(budgets: Any) -> None:
    tables = statistics_reports(make_tables(load([budgets.folder])))
    keys: dict[str, set[tuple[str, ...]]] = {}
    for found in tables:
        keys.setdefault(found.kind, set()).update(tuple(row) for row in found.data)
    assert {kind: len(found) for kind, found in keys.items()} == {"means": 1, "differences": 1, "profile": 1}
    assert len({found.name for found in tables}) == len(tables)


def test_thresholds_are_round_and_around_all_runs(runs: Any) -> None:
    (sample,) = samples(table(runs, seeds=2))
    above = thresholds(sample)
    assert above == [65.0, 70.0, 75.0, 80.0, 85.0, 90.0]
    assert above[0] <= sample.values.min()
    assert above[-1] + 5 > sample.values.max()


def test_the_same_results_give_the_same_numbers(budgets: Any) -> None:
    first, second = (markdown(statistics_reports(make_tables(load([budgets.folder])))) for _ in range(2))
    assert first == second


def test_a_sample_holds_every_run_in_its_place(runs: Any) -> None:
    made = table(runs, seeds=3)
    (sample,) = samples(made)
    assert sample.values.shape == (4, 4, 3)
    for row, of_row in zip(sample.rows, sample.values, strict=True):
        np.testing.assert_allclose(of_row, [[entry.values[seed] for seed in (0, 1, 2)] for entry in row.entries])


def test_the_command_adds_them_to_the_tables(budgets: Any, capsys: pytest.CaptureFixture[str]) -> None:
    def report(*arguments: str) -> tuple[int, str, str]:
        status = run_command(["report", "--runs", str(budgets.folder), *arguments])
        return status, *capsys.readouterr()

    expected = markdown(statistics_reports(make_tables(load([budgets.folder]))))
    _, plain, _ = report("--format", "markdown")
    assert report("--format", "markdown", "--statistics") == (0, f"{plain}\n{expected}", "")
    status, _, error = report("--statistics", "--metric", "top1_initial")
    assert (status, len(error.splitlines())) == (2, 1)
    assert report("--statistics", "--table", "cost")[0] == 2
