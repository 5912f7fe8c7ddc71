"""Reads `--sweep`: which settings differ between trials, and the trials that follow.

    finetuning.learning_rate=2.5e-4,5e-4,1e-3       a list; several lists give every combination
    finetuning.learning_rate=loguniform(1e-4,1e-2)  a range, from which --trials N draws
    finetuning.epochs=uniform(3,9)                  whole ends give whole numbers

Draws depend on the seed, the setting and the number of the trial alone, so that every method has the same ones.
"""

from __future__ import annotations

import itertools
import math
import random
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from learngene_bench.config.loader import parse_override
from learngene_bench.util.errors import UserError

_RANGE = re.compile(r"(uniform|loguniform)\((.*)\)")
_DIGITS = 3
"""Digits to which draws are rounded, so that a setting can be typed again."""

TrialSettings = Mapping[str, str]
"""Values by key, as typed after `--set`."""


@dataclass(frozen=True)
class Swept:
    """A setting that differs between trials.

    Attributes:
        key: the setting as after `--set`.
        text: its values as typed.
        values: the values of a list, as typed; empty for a range.
        ends: the ends of a range.
        logarithmic: True if a range is drawn from evenly in the logarithm.
    """

    key: str
    text: str
    values: tuple[str, ...] = ()
    ends: tuple[float, float] = (0.0, 0.0)
    logarithmic: bool = False

    def draw(self, seed: int, number: int) -> str:
        """Returns the value of a trial, as typed after `--set`."""
        source = random.Random(f"{seed} {self.key} {number}")
        if self.values:
            return source.choice(self.values)
        low, high = self.ends
        if isinstance(low, int) and isinstance(high, int) and not self.logarithmic:
            return str(source.randint(low, high))
        low, high = (math.log(low), math.log(high)) if self.logarithmic else (low, high)
        value = low + source.random() * (high - low)
        return f"{math.exp(value) if self.logarithmic else value:.{_DIGITS}g}"


@dataclass(frozen=True)
class SweepSpace:
    """The trials of every method.

    Attributes:
        swept: the settings, each with its values.
        trials: number of trials to draw; None for every combination.
        seed: seed of the draws.
        methods: names of methods, by which a setting is known to be an option of one.
    """

    swept: tuple[Swept, ...]
    trials: int | None
    seed: int
    methods: Collection[str]

    @property
    def shared(self) -> tuple[Swept, ...]:
        """The settings that all methods have."""
        return tuple(swept for swept in self.swept if swept.key.partition(".")[0] not in self.methods)

    def settings_of(self, method: str) -> tuple[Swept, ...]:
        """Returns the settings that differ between the trials of a method: shared ones, then its own options."""
        own = tuple(swept for swept in self.swept if swept.key.partition(".")[0] == method)
        return (*self.shared, *own)

    def trials_of(self, method: str) -> list[TrialSettings]:
        """Returns the trials of a method.

        Raises:
            UserError: there are fewer than are to be drawn, or a range is given without their number.
        """
        swept = self.settings_of(method)
        keys = [each.key for each in swept]
        if any(not each.values for each in swept):
            if self.trials is None:
                raise UserError("--sweep names a range: --trials N says how many trials are drawn from it")
            draws = range(self.trials)
            found: list[TrialSettings] = [{each.key: each.draw(self.seed, n) for each in swept} for n in draws]
        else:
            found = [dict(zip(keys, values, strict=True)) for values in itertools.product(*(s.values for s in swept))]
            if self.trials is not None and self.trials < len(found):
                chosen = random.Random(f"{self.seed} {' '.join(keys)}").sample(range(len(found)), self.trials)
                found = [found[number] for number in sorted(chosen)]
        different = len({tuple(trial.items()) for trial in found})
        if self.trials is not None and different < self.trials:
            raise UserError(f"--trials {self.trials}: --sweep has {different} different trials of {method}")
        return found

    def all_trials(self, methods: Iterable[str]) -> dict[str, list[TrialSettings]]:
        """Returns the trials of each method, of every one equally many.

        Raises:
            UserError: they are not equally many, or a single one.
        """
        found = {method: self.trials_of(method) for method in dict.fromkeys(methods)}
        counts = {method: len(trials) for method, trials in found.items()}
        few, many = min(counts, key=counts.__getitem__), max(counts, key=counts.__getitem__)
        if counts[few] != counts[many]:
            cure = (
                f"--trials {counts[few]} draws as many for each" if counts[few] > 1 else "sweep what all of them have"
            )
            raise UserError(
                f"--sweep gives {many} {counts[many]} trials and {few} {counts[few]}, and all methods must have "
                f"equally many: {cure}, or choose fewer methods"
            )
        if counts[few] < 2:
            raise UserError("--sweep has a single trial, of which none can be selected: give several values")
        return found


def parse_sweep(
    texts: Sequence[str], trials: int | None, seed: int, methods: Collection[str], settings: Sequence[str] = ()
) -> SweepSpace:
    """Reads `--sweep`, KEY=VALUES each; in any order.

    Args:
        trials: number of trials to draw; None for every combination.
        seed: seed of the draws.
        methods: names of all methods.
        settings: as in `--set`, whose keys cannot be swept.

    Raises:
        UserError: a text is none, a setting or a value comes twice, a range is empty.
    """
    swept = tuple(sorted((_parse(text) for text in texts), key=lambda each: each.key))
    given = {parse_override(text)[0] for text in settings}
    for each in swept:
        if each.key in given:
            raise UserError(f"--sweep {each.key}: --set gives it a single value")
        if each.key == "evaluation_split":
            raise UserError("--sweep evaluation_split: trials are measured on validation images, always")
    for first, second in itertools.pairwise(swept):
        if first.key == second.key:
            raise UserError(f"--sweep {first.key}: it is given twice")
    return SweepSpace(swept, trials, seed, methods)


def _parse(text: str) -> Swept:
    key, equals, values = text.partition("=")
    key, values = key.strip(), values.strip()
    if not equals or not key or not values:
        raise UserError(
            f"--sweep {text!r}: expected KEY=VALUE,VALUE or KEY=loguniform(LOW,HIGH), as in "
            "--sweep finetuning.learning_rate=5e-4,1e-3,2e-3"
        )
    if found := _RANGE.fullmatch(values):
        return _range(key, values, found[1] == "loguniform", found[2])
    # Not at the commas of a list, as in wave.parts=["attention"],["attention","mlp"].
    parts = [part.strip() for part in re.split(r",(?![^\[]*\])", values)]
    if "" in parts:
        raise UserError(f"--sweep {key}: a value is missing in {values!r}")
    plain = tuple(_plain(parse_override(f"{key}={part}")[1], part) for part in parts)
    if len(set(plain)) < len(plain):
        twice = next(part for number, part in enumerate(plain) if part in plain[:number])
        raise UserError(f"--sweep {key}: {twice} comes twice")
    return Swept(key, ",".join(plain), plain)


def _plain(value: Any, text: str) -> str:
    """Returns a value in one way of writing it, so that 5e-4 and 0.0005 are the same trial."""
    if isinstance(value, float):
        short = f"{value:g}"
        return short if float(short) == value else repr(value)
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else text


def _range(key: str, text: str, logarithmic: bool, inside: str) -> Swept:
    ends = [parse_override(f"{key}={end}")[1] for end in inside.split(",")]
    if len(ends) != 2 or any(isinstance(end, bool) or not isinstance(end, int | float) for end in ends):
        raise UserError(f"--sweep {key}={text}: a range has two numbers, as in loguniform(1e-4,1e-2)")
    low, high = ends
    if not low < high or not math.isfinite(high - low) or (logarithmic and low <= 0):
        raise UserError(
            f"--sweep {key}={text}: the first number is the smaller one{', and above 0' if logarithmic else ''}"
        )
    return Swept(key, text.replace(" ", ""), (), (low, high), logarithmic)
