"""Writes the statistics in sentences: what they are over, what they show, and what so few seeds cannot show."""

from __future__ import annotations

from learngene_bench.results.statistics.bootstrap import DRAWS
from learngene_bench.results.statistics.paired import LEVEL
from learngene_bench.results.statistics.ranking import cliques, smallest_friedman_p
from learngene_bench.results.statistics.testing import minimum_n
from learngene_bench.results.tables.inference import TESTS, Inference, PValue
from learngene_bench.results.tables.numbers import plural, probability
from learngene_bench.results.tables.samples import Sample, places

TEST_NAMES = dict(zip(TESTS, ("t-test", "sign-flip test", "Wilcoxon test"), strict=True))
GIVEN_SEEDS = (
    "Friedman, Nemenyi and Wilcoxon count targets and tasks: would others give the same order, with these very seeds "
    "and genes? Whether other seeds would is for what counts seeds to say: the t-test and the sign-flip test."
)
_ONE_SEED = "One seed: nothing can be said of what other seeds would give."


def title(sample: Sample, what: str) -> str:
    """Returns the title of a table; a sample without some of the table's columns names its own."""
    return f"{sample.table.title}: {what}" + (
        f", {places(sample.table, sample.columns)} only" if sample.partial else ""
    )


def over(sample: Sample) -> str:
    """Says what all numbers are over."""
    seeds = f"seed{'s' if len(sample.seeds) > 1 else ''} {', '.join(map(str, sample.seeds))}"
    return f"{len(sample.rows)} methods, over {columns(sample)} ({places(sample.table, sample.columns)}) and {seeds}."


def excluded(sample: Sample) -> list[str]:
    """Names the methods that are not compared, and why; returns no sentence if there are none."""
    names = [f"{label} ({reason})" for label, reason in sample.excluded.items()]
    return [f"Left out, since nothing is averaged over the rest: {', '.join(names)}."] if names else []


def nothing(sample: Sample) -> str:
    """Says why there are no statistics, with fewer than two methods."""
    return f"Nothing to compare: fewer than two methods have all results of {places(sample.table, sample.columns)}."


def columns(sample: Sample) -> str:
    """Counts the targets or tasks: "5 targets"."""
    found = [sample.table.columns[index] for index in sample.columns]
    if len({column.task for column in found}) == 1:
        return plural(len(found), "target")
    return plural(len(found), "task" if len({column.size for column in found}) == 1 else "targets and task")


def ranking(inference: Inference) -> list[str]:
    """Says what Friedman's test and Nemenyi's critical difference show."""
    friedman, blocks = inference.friedman, columns(inference.sample)
    if friedman.statistic is None:
        return [f"All methods are equal on all of {blocks}: there are no ranks."]
    if friedman.p is None:
        least = smallest_friedman_p(friedman.methods, friedman.blocks)
        return [
            f"Too few for Friedman's test: {friedman.methods} methods on {blocks}; one and the same order everywhere "
            f"would have p = {least:.2g}. The mean ranks are no evidence."
        ]
    p = f"p {'' if friedman.p < 0.001 else '= '}{probability(friedman.p)}"
    test = f"Friedman's chi-squared {friedman.statistic:.1f}, {p} by permutation"
    if inference.critical_difference is None:
        return [f"The methods' ranks do not differ significantly over {blocks} ({test})."]
    return [f"The methods' ranks differ over {blocks} ({test}).", _distance(inference, inference.critical_difference)]


def _distance(inference: Inference, distance: float) -> str:
    rule = f"Two mean ranks differ if they are more than {distance:.2f} apart (Nemenyi)"
    if distance >= inference.friedman.methods - 1:
        return f"{rule}, which no two of {inference.friedman.methods} methods can be."
    ranks = [method.rank for method in inference.methods]
    labels = [method.row.label for method in inference.methods]
    first = ranks.index(min(ranks))
    near = next((clique for clique in cliques(ranks, distance) if first in clique), (first,))
    tied = [labels[index] for index in near if index != first]
    return f"{rule}: {labels[first]}, ranked first, from all" + (f" but {', '.join(tied)}." if tied else ".")


def dependence(inference: Inference) -> list[str]:
    """Says whether the runs of one seed are independent, which the bootstrap of runs assumes."""
    if inference.design_effect is None:
        return []
    return [
        f"Design effect: the variance of the seeds' means is {inference.design_effect:.1f} times what it would be if "
        f"the runs of one seed were independent ({len(inference.sample.columns)} times if all had the same error). The "
        "further it is above 1, the more are intervals over runs too narrow."
    ]


def corrected_for(inference: Inference) -> str:
    """Says for how many comparisons p-values are corrected."""
    pairs = len(inference.pairs)
    return f"corrected for all {pairs} pairs (Holm)" if pairs > 1 else "one pair, so nothing is corrected"


def significant_pairs(inference: Inference) -> list[str]:
    """Names the methods that are significantly worse than the best, and counts the pairs that differ, by test."""
    found = []
    against = [pair for pair in inference.pairs if pair.first == inference.best]
    if "t" in against[0].tests:
        worse = [pair.second.label for pair in against if significant(pair.tests["t"])]
        tied = [pair.second.label for pair in against if pair.second.label not in worse]
        better = f"By the t-test {inference.best.label} is better than {', '.join(worse) or 'none'}"
        found.append(better + (f"; no significant difference from {', '.join(tied)}." if tied else "."))
    if tests := possible_tests(inference):
        counts = {name: sum(significant(pair.tests[name]) for pair in inference.pairs) for name in tests}
        told = ", ".join(f"{count} by the {TEST_NAMES[name]}" for name, count in counts.items())
        found.append(f"Pairs of methods that differ, of {len(inference.pairs)}: {told} (5 %, Holm's correction).")
    return found


def possible_tests(inference: Inference) -> list[str]:
    """Returns the tests that could make at least one pair significant."""
    return [name for name, value in inference.pairs[0].tests.items() if value.corrected is not None]


def significant(value: PValue) -> bool:
    """Returns whether a p-value is significant after correction."""
    return value.corrected is not None and value.corrected <= LEVEL


def too_few(inference: Inference) -> list[str]:
    """Names the tests that so few seeds and columns rule out, and how many it takes."""
    sample, pairs = inference.sample, len(inference.pairs)
    counts = {
        "sign_flip": (len(sample.seeds), plural(len(sample.seeds), "seed")),
        "wilcoxon": (len(sample.columns), columns(sample)),
    }
    needed = minimum_n(pairs)
    clearest = "a difference" if pairs == 1 else f"the clearest of {pairs} pairs"
    found = [
        f"Too few for the {TEST_NAMES[name]}: {what}; it takes {needed} for {clearest} to be significant."
        for name, (count, what) in counts.items()
        if count < needed
    ]
    return [_ONE_SEED, *found] if len(sample.seeds) == 1 else found


def about_means(inference: Inference) -> list[str]:
    """Explains the numbers of a method."""
    sample, first = inference.sample, inference.methods[0]
    notes = [
        over(sample),
        *excluded(sample),
        f"Rank: among these methods, 1 for the best, mean over {columns(sample)}.",
        GIVEN_SEEDS,
    ]
    if len(sample.seeds) == 1:
        return [*notes, _ONE_SEED]
    notes.append("95 % seeds, t: Student's t over the seeds' means, assumed to be normal.")
    if first.by_seeds:
        notes.append(f"Bootstrap, seeds: whole seeds are drawn, {DRAWS:,} times.")
    else:
        notes.append(f"{len(sample.seeds)} seeds are too few to draw whole ones: a 95 % interval needs {minimum_n()}.")
    if first.by_runs:
        notes.append(
            f"Bootstrap, runs: single runs are drawn within each target and task, {DRAWS:,} times (stratified, as in "
            "arXiv 2108.13264), as if all were independent."
        )
    return notes


def about_differences(inference: Inference) -> list[str]:
    """Explains the numbers of a pair."""
    sample, best = inference.sample, inference.best.label
    notes = [over(sample), *excluded(sample), *too_few(inference), GIVEN_SEEDS]
    if len(sample.seeds) > 1:
        notes.append(
            "Difference: paired by seed; 95 % by Student's t over the seeds' differences, assumed to be normal, for "
            f"this pair alone. p: {corrected_for(inference)}."
        )
    notes.append(
        f"P(better): the probability that a run of {best} is better than one of the other on the same target and task "
        "(arXiv 2108.13264)."
    )
    if inference.methods[0].by_seeds:
        notes.append("P(better), 95 %: by bootstrap of whole seeds; a dash if it is the same in every draw.")
    elif inference.methods[0].by_runs:
        notes.append(
            "P(better), 95 %: by bootstrap of single runs, as if all were independent; a dash if it is the same in "
            "every draw."
        )
    return [*notes, "All pairs are in the JSON and the CSV."]


def about_profile(sample: Sample) -> list[str]:
    """Explains the numbers of a performance profile."""
    measure = sample.table.measure
    better = "higher" if measure.spec.higher_is_better else "lower"
    about = f"{measure.side.capitalize()}: the fraction of a method's runs with a {better} {measure.spec.title}."
    return [over(sample), *excluded(sample), about]
