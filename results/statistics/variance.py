"""Splits the variance of runs with crossed seeds into gene, target and residual, by the analysis of variance.

Model: a run with gene seed g and target seed t is mean + gene(g) + target(t) + residual(g, t), with independent random
effects (two-way crossed, one run in each place). The residual is what only this gene and this target do together. Mean
squares are compared with their expectations: E MS(gene) = residual + T gene, E MS(target) = residual + G target, and
E MS(residual) = residual, for G genes and T targets (method of moments; Searle, Casella and McCulloch, Variance
Components, 1992, chapter 4). So estimates are unbiased, and those of gene and target may be negative.

Where only one seed decides a run there is one component, the ordinary variance.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from learngene_bench.results.statistics.paired import LEVEL, Interval, mean


@dataclass(frozen=True)
class MeanSquare:
    """A mean square: a sum of squares over its degrees of freedom."""

    value: float
    degrees: int


@dataclass(frozen=True)
class Component:
    """The variance of one random effect.

    Attributes:
        estimate: unbiased, and so perhaps below zero.
        interval: 95 % interval of the variance, with ends below zero at zero.
    """

    estimate: float
    interval: Interval

    @property
    def variance(self) -> float:
        """The estimate, at least zero."""
        return max(0.0, self.estimate)

    @property
    def standard_deviation(self) -> float:
        return math.sqrt(self.variance)


@dataclass(frozen=True)
class VarianceSplit:
    """The variance of runs, split by what decides them.

    Attributes:
        genes: number of gene seeds; None where the gene's seed decides nothing.
        targets: number of target seeds; None where the target's seed decides nothing.
        gene: None where it decides nothing, or there is one gene seed.
        target: likewise; with a single gene seed the residual is in it, and the other way round.
        residual: None unless there are two or more seeds of both.
        error: squared standard error of the mean, over the number of runs; as sum of signed mean squares.
    """

    mean: float
    genes: int | None
    targets: int | None
    gene: Component | None
    target: Component | None
    residual: Component | None
    error: tuple[tuple[int, MeanSquare], ...]

    @property
    def is_complete(self) -> bool:
        """True if every seed that decides something has two or more values, so that errors can be told."""
        return bool(self.error)

    @property
    def run_variance(self) -> float:
        """Variance of a single run with new seeds."""
        return sum(part.variance for part in (self.gene, self.target, self.residual) if part)

    def standard_error(self, genes: int | None = None, targets: int | None = None) -> float | None:
        """Returns the standard error of the mean with so many seeds, by default as many as there are.

        None where the variance of one of the seeds is unknown.
        """
        if not self.is_complete:
            return None
        counts = {"gene": genes or self.genes or 1, "target": targets or self.targets or 1}
        counts["residual"] = counts["gene"] * counts["target"]
        parts = {"gene": self.gene, "target": self.target, "residual": self.residual}
        return math.sqrt(sum(part.variance / counts[name] for name, part in parts.items() if part))

    @property
    def degrees(self) -> float | None:
        """Degrees of freedom of the standard error, by Satterthwaite's formula; None where it is unknown or zero."""
        squares = [(sign * square.value, square.degrees) for sign, square in self.error]
        spread = math.fsum(value**2 / degrees for value, degrees in squares)
        return math.fsum(value for value, _ in squares) ** 2 / spread if spread else None

    @property
    def interval(self) -> Interval | None:
        """The 95 % interval of the mean over all seeds there could be, by Student's t."""
        error, degrees = self.standard_error(), self.degrees
        if error is None:
            return None
        if degrees is None:
            return Interval(self.mean, self.mean)
        from scipy import stats

        reach = float(stats.t.ppf(1 - LEVEL / 2, degrees)) * error
        return Interval(self.mean - reach, self.mean + reach)

    @property
    def p(self) -> float | None:
        """The two-sided probability of such a mean if the true one were zero; None where its error is unknown."""
        error, degrees = self.standard_error(), self.degrees
        if error is None:
            return None
        if degrees is None:
            return 0.0 if self.mean else 1.0
        from scipy import stats

        return float(2 * stats.t.sf(abs(self.mean) / error, degrees))


def split_by_both(values: Sequence[Sequence[float]]) -> VarianceSplit:
    """Splits the variance of runs that both seeds decide.

    Args:
        values: a row for each gene seed, in it a value for each target seed.
    """
    genes, targets = len(values), len(values[0])
    by_gene, by_target = [mean(row) for row in values], [mean(column) for column in zip(*values, strict=True)]
    overall = mean(by_gene)
    if genes == 1 or targets == 1:
        spread = _spread(by_target if genes == 1 else by_gene)
        gene, target = (None, spread) if genes == 1 else (spread, None)
        return VarianceSplit(overall, genes, targets, gene, target, None, ())
    of_gene = MeanSquare(targets * _mean_square(by_gene), genes - 1)
    of_target = MeanSquare(genes * _mean_square(by_target), targets - 1)
    rest = math.fsum(
        (value - by_gene[g] - by_target[t] + overall) ** 2
        for g, row in enumerate(values)
        for t, value in enumerate(row)
    )
    residual = MeanSquare(rest / ((genes - 1) * (targets - 1)), (genes - 1) * (targets - 1))
    gene, target = _component(of_gene, residual, targets), _component(of_target, residual, genes)
    return VarianceSplit(
        mean=overall,
        genes=genes,
        targets=targets,
        gene=gene,
        target=target,
        residual=Component(residual.value, _chi_square_interval(residual)),
        error=_error(of_gene, of_target, residual),
    )


def split_by_gene(values: Sequence[float]) -> VarianceSplit:
    """Splits the variance of runs that the gene's seed alone decides: all of it is of the gene."""
    return VarianceSplit(mean(values), len(values), None, _spread(values), None, None, _one_error(values))


def split_by_target(values: Sequence[float]) -> VarianceSplit:
    """Splits the variance of runs that the target's seed alone decides: all of it is of the target."""
    return VarianceSplit(mean(values), None, len(values), None, _spread(values), None, _one_error(values))


def _mean_square(values: Sequence[float]) -> float:
    center = mean(values)
    return math.fsum((value - center) ** 2 for value in values) / (len(values) - 1)


def _spread(values: Sequence[float]) -> Component | None:
    """Returns the variance of independent values; None for a single one."""
    if len(values) < 2:
        return None
    square = MeanSquare(_mean_square(values), len(values) - 1)
    return Component(square.value, _chi_square_interval(square))


def _one_error(values: Sequence[float]) -> tuple[tuple[int, MeanSquare], ...]:
    return ((1, MeanSquare(_mean_square(values), len(values) - 1)),) if len(values) > 1 else ()


def _error(of_gene: MeanSquare, of_target: MeanSquare, residual: MeanSquare) -> tuple[tuple[int, MeanSquare], ...]:
    """Returns the mean squares that make the error of the mean, MS(gene) + MS(target) - MS(residual).

    A component that is estimated below zero counts as zero. If that is the target's, what remains is MS(gene), the
    paired t-test over genes of means over targets; likewise for the gene's.
    """
    has_gene, has_target = of_gene.value > residual.value, of_target.value > residual.value
    if has_gene and has_target:
        return (1, of_gene), (1, of_target), (-1, residual)
    if has_gene or has_target:
        return ((1, of_gene if has_gene else of_target),)
    return ((1, residual),)


def _chi_square_interval(square: MeanSquare) -> Interval:
    """Returns the interval of a variance that a mean square estimates directly."""
    from scipy import stats

    low, high = stats.chi2.ppf([LEVEL / 2, 1 - LEVEL / 2], square.degrees).tolist()
    total = square.degrees * square.value
    return Interval(total / high, total / low)


def _component(effect: MeanSquare, residual: MeanSquare, runs: int) -> Component:
    """Returns the component behind a mean square that has the residual in it.

    The interval is that of Williams (A confidence interval for variance components, Biometrika 49, 1962), approximate.

    Args:
        runs: number of runs in each mean.
    """
    from scipy import stats

    ends = []
    for tail in (1 - LEVEL / 2, LEVEL / 2):
        noise = float(stats.f.ppf(tail, effect.degrees, residual.degrees)) * residual.value
        scale = float(stats.chi2.ppf(tail, effect.degrees))
        ends.append(max(0.0, effect.degrees * (effect.value - noise) / (runs * scale)))
    return Component((effect.value - residual.value) / runs, Interval(*ends))
