"""Statistics as sheets for every format: means and ranks, differences, performance profiles."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from learngene_bench.results.statistics.bootstrap import draws_of_runs, draws_of_seeds
from learngene_bench.results.statistics.paired import Interval
from learngene_bench.results.statistics.profiles import profile, profile_band
from learngene_bench.results.tables import inference_wording as wording
from learngene_bench.results.tables.inference import TESTS, Inference, Pair, Standing, inference
from learngene_bench.results.tables.samples import Sample, places, samples
from learngene_bench.results.tables.sheet import Heading, Line, Sheet
from learngene_bench.results.tables.table import Row, Table, slug
from learngene_bench.results.tables.wording import printed

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_MOST_THRESHOLDS = 9

_INTERVALS: dict[str, tuple[Heading, Callable[[Standing], Interval | None]]] = {
    "t": (Heading("95 %", "seeds, t"), lambda standing: standing.by_t),
    "seeds": (Heading("95 % bootstrap", "seeds"), lambda standing: standing.by_seeds),
    "runs": (Heading("95 % bootstrap", "runs"), lambda standing: standing.by_runs),
}
_TEST_LABELS = dict(zip(TESTS, ("t", "sign-flip", "Wilcoxon"), strict=True))


def statistics_sheets(tables: Sequence[Table]) -> list[Sheet]:
    """For every sample of every table its "means" and ranks, its "differences", its performance "profile".

    The lines of the differences are those to the best method; their data are all pairs.
    """
    return [sheet for table in tables for sample in samples(table) for sheet in _sheets(sample)]


def _sheets(sample: Sample) -> list[Sheet]:
    found = inference(sample)
    if found is None:
        return [_sheet(sample, "means", "statistics", findings=[wording.nothing(sample), *wording.left_out(sample)])]
    return [_means(found), _differences(found), _profile(found)]


def _sheet(
    sample: Sample,
    kind: str,
    what: str,
    headings: Sequence[Heading] = (),
    lines: Sequence[Line] = (),
    findings: Sequence[str] = (),
    notes: Sequence[str] = (),
    data: Sequence[dict[str, Any]] = (),
) -> Sheet:
    return Sheet(
        name=kind,
        slug=slug(kind, sample.table.slug, *sample.suffix),
        title=wording.title(sample, what),
        subtitle=sample.table.subtitle,
        corner=Heading("", ""),
        headings=tuple(headings),
        lines=tuple(lines),
        findings=tuple(findings),
        notes=tuple(notes),
        footnotes=(),
        data=tuple({key: _stable(value) for key, value in (_about(sample) | row).items()} for row in data),
    )


def _stable(value: Any) -> Any:
    """Nine digits of a number: behind them it may differ between machines."""
    return float(f"{value:.9g}") if isinstance(value, float) else value


def _line(row: Row, *cells: str) -> Line:
    return Line(row.group, row.label, cells)


def _means(found: Inference) -> Sheet:
    shown = [heading_of for heading_of in _INTERVALS.values() if heading_of[1](found.standings[0]) is not None]
    lines = [
        _line(
            standing.row,
            printed(standing.mean),
            f"{standing.rank:.2f}",
            *(wording.percents(interval(standing)) for _, interval in shown),
        )
        for standing in found.standings
    ]
    return _sheet(
        found.sample,
        "means",
        "means and ranks",
        headings=[Heading("Mean", "top-1"), Heading("Mean", "rank"), *(heading for heading, _ in shown)],
        lines=lines,
        findings=[*wording.ranking(found), *wording.dependence(found)],
        notes=wording.about_means(found),
        data=[_mean_facts(found, standing) for standing in found.standings],
    )


def _mean_facts(found: Inference, standing: Standing) -> dict[str, Any]:
    facts = {**_method(standing.row), "mean": standing.mean, "rank": standing.rank}
    for name, (_, interval) in _INTERVALS.items():
        facts |= _ends(f"mean_by_{name}", interval(standing))
    return {
        **facts,
        "seeds_together": standing.together,
        "friedman_chi_squared": found.friedman.statistic,
        "friedman_p": found.friedman.p,
        "nemenyi_critical_difference": found.critical_difference,
    }


def _differences(found: Inference) -> Sheet:
    pairs = {pair.second.label: pair for pair in found.pairs if pair.first == found.best}
    tests = wording.possible_tests(found)
    others = [pairs[row.label] for row in found.sample.rows if row.label in pairs]
    return _sheet(
        found.sample,
        "differences",
        f"{found.best.label} minus the others",
        headings=[
            Heading("Difference", "mean"),
            *([Heading("Difference", "95 %")] if others[0].interval else []),
            *(Heading("p", _TEST_LABELS[name]) for name in tests),
            Heading("P(better)", "estimate"),
            *([Heading("P(better)", "95 %")] if any(map(_improvement, others)) else []),
        ],
        lines=[_difference(pair, tests, any(map(_improvement, others))) for pair in others],
        findings=wording.told_apart(found),
        notes=wording.about_differences(found),
        data=[_pair_facts(pair) for pair in found.pairs],
    )


def _difference(pair: Pair, tests: Sequence[str], improvement: bool) -> Line:
    return _line(
        pair.second,
        printed(pair.difference),
        *([wording.percents(pair.interval)] if pair.interval else []),
        *(wording.probability(pair.tests[name].corrected) for name in tests),
        f"{pair.improvement:.2f}",
        *([wording.fractions(_improvement(pair))] if improvement else []),
    )


def _improvement(pair: Pair) -> Interval | None:
    """By whole seeds where these are enough."""
    return pair.improvement_by_seeds or pair.improvement_by_runs


def _pair_facts(pair: Pair) -> dict[str, Any]:
    facts: dict[str, Any] = {
        **{f"first_{key}": value for key, value in _method(pair.first).items()},
        **{f"second_{key}": value for key, value in _method(pair.second).items()},
        "difference": pair.difference,
        **_ends("difference_by_t", pair.interval),
    }
    for name in TESTS:
        value = pair.tests.get(name)
        facts |= {f"{name}_p": value and value.p, f"{name}_p_holm": value and value.corrected}
    return {
        **facts,
        "improvement": pair.improvement,
        **_ends("improvement_by_seeds", pair.improvement_by_seeds),
        **_ends("improvement_by_runs", pair.improvement_by_runs),
    }


def _profile(found: Inference) -> Sheet:
    sample = found.sample
    above = thresholds(sample)
    fractions = [profile(values, above).tolist() for values in sample.values]
    return _sheet(
        sample,
        "profile",
        "fraction of runs above an accuracy",
        headings=[Heading("Above", f"{threshold:g}") for threshold in above],
        lines=[
            _line(row, *(f"{fraction:.2f}" for fraction in of_row))
            for row, of_row in zip(sample.rows, fractions, strict=True)
        ],
        notes=wording.about_profile(sample),
        data=_profile_facts(sample, above),
    )


def _profile_facts(sample: Sample, above: Sequence[float]) -> list[dict[str, Any]]:
    """One for each method and threshold."""
    _, strata, seeds = sample.values.shape
    draws = {"seeds": draws_of_seeds(strata, seeds), "runs": draws_of_runs(strata, seeds)}
    facts = []
    for row, values in zip(sample.rows, sample.values, strict=True):
        fractions = profile(values, above).tolist()
        bands = {name: _band(values, above, drawn) for name, drawn in draws.items()}
        for place, threshold in enumerate(above):
            fact = {**_method(row), "above": threshold, "fraction": fractions[place]}
            for name, band in bands.items():
                fact |= _ends(f"fraction_by_{name}", band[place])
            facts.append(fact)
    return facts


def _band(
    values: NDArray[np.float64], above: Sequence[float], draws: NDArray[np.float64] | None
) -> list[Interval | None]:
    if draws is None:
        return [None] * len(above)
    return [Interval(*ends) for ends in profile_band(values, above, draws).T.tolist()]


def thresholds(sample: Sample) -> list[float]:
    """Round accuracies, in steps that leave only a few, from the least of all runs to the greatest."""
    least, greatest = float(sample.values.min()), float(sample.values.max())
    step = next(step for step in (1, 2, 5, 10, 20) if (greatest - least) / step <= _MOST_THRESHOLDS - 1 or step == 20)
    first, last = math.floor(least / step), math.floor(greatest / step)
    return [float(number * step) for number in range(first, last + 1)]


def _about(sample: Sample) -> dict[str, Any]:
    table = sample.table
    names = ("protocol", "setting", "setting_description", "preset", "grid", "axis", "metric")
    return {
        **{name: getattr(table, name) for name in names},
        "equal_budget_iterations": table.equal_budget and table.equal_budget.iterations,
        "columns": places(table, sample.columns),
        "seeds": " ".join(map(str, sample.seeds)),
        "methods": len(sample.rows),
    }


def _method(row: Row) -> dict[str, str]:
    return {"group": row.group, "method": row.method, "variant": row.variant, "title": row.label}


def _ends(name: str, interval: Interval | None) -> dict[str, float | None]:
    return {f"{name}_lower": interval and interval.lower, f"{name}_upper": interval and interval.upper}
