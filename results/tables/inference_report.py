"""Prints statistics: means and ranks, differences, performance profiles."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import count
from typing import TYPE_CHECKING, Any

from learngene_bench.results.statistics.bootstrap import draws_of_runs, draws_of_seeds
from learngene_bench.results.statistics.paired import Interval
from learngene_bench.results.statistics.profiles import profile, profile_band
from learngene_bench.results.tables import inference_notes
from learngene_bench.results.tables.inference import TESTS, Inference, MethodStatistics, PairStatistics, inference
from learngene_bench.results.tables.metric_table import MetricTable
from learngene_bench.results.tables.numbers import interval, probability
from learngene_bench.results.tables.report_table import ReportCell, ReportColumn, ReportRow, ReportTable, number, slug
from learngene_bench.results.tables.samples import Sample, places, samples

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_MOST_THRESHOLDS = 9

_INTERVALS: dict[str, tuple[ReportColumn, Callable[[MethodStatistics], Interval | None]]] = {
    "t": (ReportColumn("seeds, t", "95 %"), lambda method: method.by_t),
    "seeds": (ReportColumn("seeds", "95 % bootstrap"), lambda method: method.by_seeds),
    "runs": (ReportColumn("runs", "95 % bootstrap"), lambda method: method.by_runs),
}
_TEST_LABELS = dict(zip(TESTS, ("t", "sign-flip", "Wilcoxon"), strict=True))


def statistics_reports(tables: Sequence[MetricTable]) -> list[ReportTable]:
    """Returns for every sample of every table its "means" and ranks, its "differences", its performance "profile".

    The rows of the differences are those to the best method; their data are all pairs.
    """
    return [report for table in tables for sample in samples(table) for report in _reports(sample)]


def _reports(sample: Sample) -> list[ReportTable]:
    found = inference(sample)
    if found is None:
        sentences = [inference_notes.nothing(sample), *inference_notes.excluded(sample)]
        return [_report(sample, "means", "statistics", (), (), conclusions=tuple(sentences))]
    return [_means(found), _differences(found), _profile(found)]


def _report(
    sample: Sample,
    kind: str,
    title: str,
    columns: Sequence[ReportColumn],
    rows: Sequence[ReportRow],
    data: Sequence[dict[str, Any]] = (),
    **more: Any,
) -> ReportTable:
    table = sample.table
    facts = {
        "columns": places(table, sample.columns),
        "seeds": " ".join(map(str, sample.seeds)),
        "methods": len(sample.rows),
    }
    return ReportTable(
        kind=kind,
        name=slug(kind, table.slug, *sample.suffix),
        title=inference_notes.title(sample, title),
        subtitle=table.subtitle,
        identity={**table.identity, **facts},
        columns=tuple(columns),
        rows=tuple(rows),
        data=tuple({key: _stable(value) for key, value in row.items()} for row in data),
        **more,
    )


def _stable(value: Any) -> Any:
    """Keeps nine digits of a number: behind them it may differ between machines."""
    return float(f"{value:.9g}") if isinstance(value, float) else value


def _means(found: Inference) -> ReportTable:
    measure = found.sample.table.measure
    printed = [part for part in _INTERVALS.values() if part[1](found.methods[0]) is not None]
    rows = [
        method.row.report_row(
            [
                number(method.mean, measure.text),
                number(method.rank, "{:.2f}".format),
                *(ReportCell(interval(ends(method), measure.spec.decimals)) for _, ends in printed),
            ]
        )
        for method in found.methods
    ]
    return _report(
        found.sample,
        "means",
        "means and ranks",
        [
            ReportColumn(measure.spec.title, "Mean", higher_is_better=measure.spec.higher_is_better),
            ReportColumn("rank", "Mean", higher_is_better=False),
            *(column for column, _ in printed),
        ],
        rows,
        conclusions=(*inference_notes.ranking(found), *inference_notes.dependence(found)),
        notes=tuple(inference_notes.about_means(found)),
        data=[_mean_data(found, method) for method in found.methods],
    )


def _mean_data(found: Inference, method: MethodStatistics) -> dict[str, Any]:
    data = {**method.row.facts, "mean": method.mean, "rank": method.rank}
    for name, (_, ends) in _INTERVALS.items():
        data |= _ends(f"mean_by_{name}", ends(method))
    return {
        **data,
        "design_effect": method.design_effect,
        "friedman_chi_squared": found.friedman.statistic,
        "friedman_p": found.friedman.p,
        "nemenyi_critical_difference": found.critical_difference,
    }


def _differences(found: Inference) -> ReportTable:
    pairs = {pair.second.label: pair for pair in found.pairs if pair.first == found.best}
    others = [pairs[row.label] for row in found.sample.rows if row.label in pairs]
    tests = inference_notes.possible_tests(found)
    improvement = any(map(_improvement, others))
    return _report(
        found.sample,
        "differences",
        f"{found.best.label} minus the others",
        [
            ReportColumn("mean", "Difference"),
            *([ReportColumn("95 %", "Difference")] if others[0].interval else []),
            *(ReportColumn(_TEST_LABELS[name], "p") for name in tests),
            ReportColumn("estimate", "P(better)"),
            *([ReportColumn("95 %", "P(better)")] if improvement else []),
        ],
        [_difference(found, pair, tests, improvement) for pair in others],
        conclusions=tuple(inference_notes.significant_pairs(found)),
        notes=tuple(inference_notes.about_differences(found)),
        data=[_pair_data(pair) for pair in found.pairs],
    )


def _difference(found: Inference, pair: PairStatistics, tests: Sequence[str], improvement: bool) -> ReportRow:
    measure = found.sample.table.measure
    cells = [
        number(pair.difference, measure.text),
        *([ReportCell(interval(pair.interval, measure.spec.decimals))] if pair.interval else []),
        *(number(pair.tests[name].corrected, probability) for name in tests),
        number(pair.improvement, "{:.2f}".format),
        *([ReportCell(interval(_improvement(pair), 2))] if improvement else []),
    ]
    return pair.second.report_row(cells)


def _improvement(pair: PairStatistics) -> Interval | None:
    """Chooses the interval by whole seeds if there are enough seeds."""
    return pair.improvement_by_seeds or pair.improvement_by_runs


def _pair_data(pair: PairStatistics) -> dict[str, Any]:
    data: dict[str, Any] = {
        **{f"first_{key}": value for key, value in pair.first.facts.items()},
        **{f"second_{key}": value for key, value in pair.second.facts.items()},
        "difference": pair.difference,
        **_ends("difference_by_t", pair.interval),
    }
    for name in TESTS:
        value = pair.tests.get(name)
        data |= {f"{name}_p": value and value.p, f"{name}_p_holm": value and value.corrected}
    return {
        **data,
        "improvement": pair.improvement,
        **_ends("improvement_by_seeds", pair.improvement_by_seeds),
        **_ends("improvement_by_runs", pair.improvement_by_runs),
    }


def _profile(found: Inference) -> ReportTable:
    sample = found.sample
    side = sample.table.measure.side
    limits = thresholds(sample)
    merits = [sample.table.measure.sign * limit for limit in limits]
    fractions = [profile(values, merits).tolist() for values in sample.merits]
    return _report(
        sample,
        "profile",
        f"fraction of runs {side} a threshold",
        [ReportColumn(f"{limit:g}", side.capitalize(), higher_is_better=True) for limit in limits],
        [
            row.report_row(number(fraction, "{:.2f}".format) for fraction in of_row)
            for row, of_row in zip(sample.rows, fractions, strict=True)
        ],
        notes=tuple(inference_notes.about_profile(sample)),
        data=_profile_data(sample, limits, merits),
    )


def _profile_data(sample: Sample, limits: Sequence[float], merits: Sequence[float]) -> list[dict[str, Any]]:
    """One row for each method and threshold."""
    _, strata, seeds = sample.values.shape
    draws = {"seeds": draws_of_seeds(strata, seeds), "runs": draws_of_runs(strata, seeds)}
    rows = []
    for row, values in zip(sample.rows, sample.merits, strict=True):
        fractions = profile(values, merits).tolist()
        bands = {name: _band(values, merits, drawn) for name, drawn in draws.items()}
        for place, limit in enumerate(limits):
            data = {**row.facts, "threshold": limit, "fraction": fractions[place]}
            for name, band in bands.items():
                data |= _ends(f"fraction_by_{name}", band[place])
            rows.append(data)
    return rows


def _band(
    values: NDArray[np.float64], above: Sequence[float], draws: NDArray[np.float64] | None
) -> list[Interval | None]:
    if draws is None:
        return [None] * len(above)
    return [Interval(*ends) for ends in profile_band(values, above, draws).T.tolist()]


def thresholds(sample: Sample) -> list[float]:
    """Returns round values of the metric, a few of them, from the least of all runs to the greatest."""
    least, greatest = float(sample.values.min()), float(sample.values.max())
    decimals = sample.table.measure.spec.decimals
    steps = (factor * 10.0 ** (power + 1 - decimals) for power in count() for factor in (1, 2, 5))
    step = next(step for step in steps if (greatest - least) / step <= _MOST_THRESHOLDS - 1)
    first, last = math.floor(least / step), math.floor(greatest / step)
    return [round(place * step, decimals + 1) for place in range(first, last + 1)]


def _ends(name: str, ends: Interval | None) -> dict[str, float | None]:
    return {f"{name}_lower": ends and ends.lower, f"{name}_upper": ends and ends.upper}
