"""Statistics in words: over what they are, what they say, and what so few seeds or targets cannot say."""

from __future__ import annotations

from learngene_bench.results.statistics.bootstrap import DRAWS
from learngene_bench.results.statistics.paired import LEVEL, Interval
from learngene_bench.results.statistics.ranking import alike, smallest_friedman_p
from learngene_bench.results.statistics.testing import differences_needed
from learngene_bench.results.tables.inference import TESTS, Inference, PValue
from learngene_bench.results.tables.samples import Sample, places
from learngene_bench.results.tables.wording import NOTHING, printed

TEST_NAMES = dict(zip(TESTS, ("t-test", "sign-flip test", "Wilcoxon test"), strict=True))
GIVEN_SEEDS = (
    "Friedman, Nemenyi and Wilcoxon count targets and tasks: would others give the same order, with these very seeds "
    "and genes? Whether other seeds would is for what counts seeds to say: the t-test and the sign-flip test."
)
_ONE_SEED = "One seed: nothing can be said of what other seeds would give."


def title(sample: Sample, what: str) -> str:
    """Of a sheet; a sample without some of the table's columns says so."""
    return f"{sample.table.title}: {what}" + (
        f", {places(sample.table, sample.columns)} only" if sample.partial else ""
    )


def over(sample: Sample) -> str:
    """Over what everything is."""
    seeds = f"seed{'s' if len(sample.seeds) > 1 else ''} {', '.join(map(str, sample.seeds))}"
    return f"{len(sample.rows)} methods, over {columns(sample)} ({places(sample.table, sample.columns)}) and {seeds}."


def left_out(sample: Sample) -> list[str]:
    """Who is not compared, and why; no sentence if nobody."""
    names = [f"{label} ({reason})" for label, reason in sample.left_out.items()]
    return [f"Left out, since nothing is averaged over the rest: {', '.join(names)}."] if names else []


def nothing(sample: Sample) -> str:
    """What stands in place of statistics where there are fewer than two methods."""
    return f"Nothing to compare: fewer than two methods have all results of {places(sample.table, sample.columns)}."


def columns(sample: Sample) -> str:
    """How many targets or tasks there are: "5 targets"."""
    found = [sample.table.columns[index] for index in sample.columns]
    word = "target"
    if len({column.task for column in found}) > 1:
        word = "task" if len({column.size for column in found}) == 1 else "target and task"
    return f"1 {word}" if len(found) == 1 else f"{len(found)} {word.replace(' and ', 's and ')}s"


def probability(p: float | None) -> str:
    """A p-value to two digits; a dash if there is none."""
    if p is None:
        return NOTHING
    return "<0.001" if p < 0.001 else f"{p:.2g}"


def percents(interval: Interval | None) -> str:
    if interval is None:
        return NOTHING
    # Zero has no sign.
    return " to ".join(printed(round(end, 1) or 0.0) for end in interval)


def fractions(interval: Interval | None) -> str:
    return NOTHING if interval is None else f"{interval.lower:.2f} to {interval.upper:.2f}"


def ranking(inference: Inference) -> list[str]:
    """What Friedman's test and Nemenyi's distance say."""
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
    ranks = [standing.rank for standing in inference.standings]
    labels = [standing.row.label for standing in inference.standings]
    first = ranks.index(min(ranks))
    near = next((group for group in alike(ranks, distance) if first in group), (first,))
    tied = [labels[index] for index in near if index != first]
    return f"{rule}: {labels[first]}, ranked first, from all" + (f" but {', '.join(tied)}." if tied else ".")


def dependence(inference: Inference) -> list[str]:
    """Whether the runs of one seed are independent, which the bootstrap of runs takes for granted."""
    if inference.together is None:
        return []
    return [
        f"The variance of the seeds' means is {inference.together:.1f} times what it would be if the runs of one seed "
        f"were independent ({len(inference.sample.columns)} times if they were all off by the same): the further above "
        "1, the more are intervals over runs too narrow."
    ]


def told_apart(inference: Inference) -> list[str]:
    """Which methods the t-test tells from the best, and how many pairs each test tells apart."""
    found = []
    against = [pair for pair in inference.pairs if pair.first == inference.best]
    if "t" in against[0].tests:
        worse = [pair.second.label for pair in against if significant(pair.tests["t"])]
        tied = [pair.second.label for pair in against if pair.second.label not in worse]
        better = f"By the t-test {inference.best.label} is better than {', '.join(worse) or 'none'}"
        found.append(better + (f"; not told from {', '.join(tied)}." if tied else "."))
    if tests := possible_tests(inference):
        counts = {name: sum(significant(pair.tests[name]) for pair in inference.pairs) for name in tests}
        told = ", ".join(f"{count} by the {TEST_NAMES[name]}" for name, count in counts.items())
        found.append(f"Pairs of methods that differ, of {len(inference.pairs)}: {told} (5 %, Holm's correction).")
    return found


def possible_tests(inference: Inference) -> list[str]:
    """Those that could make at least one pair significant."""
    return [name for name, value in inference.pairs[0].tests.items() if value.corrected is not None]


def significant(value: PValue) -> bool:
    return value.corrected is not None and value.corrected <= LEVEL


def too_few(inference: Inference) -> list[str]:
    """Which tests so few seeds and columns rule out, and what it would take."""
    sample, pairs = inference.sample, len(inference.pairs)
    counts = {
        "sign_flip": (len(sample.seeds), f"{len(sample.seeds)} seed{'s' if len(sample.seeds) > 1 else ''}"),
        "wilcoxon": (len(sample.columns), columns(sample)),
    }
    needed = differences_needed(pairs)
    clearest = "a difference" if pairs == 1 else f"the clearest of {pairs} pairs"
    found = [
        f"Too few for the {TEST_NAMES[name]}: {what}; it takes {needed} for {clearest} to be significant."
        for name, (count, what) in counts.items()
        if count < needed
    ]
    return [_ONE_SEED, *found] if len(sample.seeds) == 1 else found


def about_means(inference: Inference) -> list[str]:
    """What the numbers of a method are."""
    sample, first = inference.sample, inference.standings[0]
    notes = [
        over(sample),
        *left_out(sample),
        f"Rank: among these methods, 1 for the best, mean over {columns(sample)}.",
        GIVEN_SEEDS,
    ]
    if len(sample.seeds) == 1:
        return [*notes, _ONE_SEED]
    notes.append("95 % seeds, t: Student's t over the seeds' means, taken to be normal.")
    if first.by_seeds:
        notes.append(f"Bootstrap, seeds: whole seeds are drawn, {DRAWS:,} times.")
    else:
        notes.append(
            f"{len(sample.seeds)} seeds are too few to draw whole ones: a 95 % interval needs {differences_needed()}."
        )
    if first.by_runs:
        notes.append(
            f"Bootstrap, runs: single runs are drawn within each target and task, {DRAWS:,} times (stratified, as in "
            "arXiv 2108.13264), as if all were independent."
        )
    return notes


def about_differences(inference: Inference) -> list[str]:
    """What the numbers of a pair are."""
    sample, best = inference.sample, inference.best.label
    notes = [over(sample), *left_out(sample), *too_few(inference), GIVEN_SEEDS]
    if len(sample.seeds) > 1:
        notes.append(
            "Difference: paired by seed; 95 % by Student's t over the seeds' differences, taken to be normal, for this "
            f"pair alone. p: corrected for all {len(inference.pairs)} pairs (Holm)."
        )
    notes.append(
        f"P(better): the probability that a run of {best} is better than one of the other on the same target and task "
        "(arXiv 2108.13264)."
    )
    if inference.standings[0].by_seeds:
        notes.append("P(better), 95 %: by bootstrap of whole seeds; a dash if it is the same in every draw.")
    elif inference.standings[0].by_runs:
        notes.append(
            "P(better), 95 %: by bootstrap of single runs, as if all were independent; a dash if it is the same in "
            "every draw."
        )
    return [*notes, "All pairs are in the JSON and the CSV."]


def about_profile(sample: Sample) -> list[str]:
    return [over(sample), *left_out(sample), "Above: the fraction of a method's runs with a higher accuracy (%)."]
