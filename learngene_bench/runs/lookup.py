"""Look-up of stages by what a person types; every verb of `lgbench` uses it.

    method=wave depth=6 seed=0     fields; `task`, `size`, `width` and `kind` likewise, and options of a variant
    wave depth 6 seed 0            the same without `=`; words are values of any field, or words of the label
    wave depth 6 horizon 3         one that is fine-tuned three times as long; `share 10` on a tenth of the images
    wave depth 6 gene 1 seed 0     one whose gene has another seed than the target (`--seeds 3x4`)
    3f9a                           the beginning of an address, 4 digits or more

The label of a stage names it exactly. Where stages that fit differ in nothing but options, the one without options that
were not asked for wins: `wave depth 6 seed 0` is WAVE itself, not its variant with `noise=0.1`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from learngene_bench.util.errors import UserError, nearest, unknown

FIELDS = ("kind", "method", "size", "width", "depth", "task", "seed")
"""Fields that tell stages apart, beside the options of variants; in the order that stages are sorted by."""

WORD_OPTIONS = ("share", "horizon", "gene")
"""Options that are written like fields, `horizon 3`: fine-tuning on other images or for longer than usual, a gene of
another seed than the target's."""

MOST_LISTED = 6
"""Stages that an error lists."""


@dataclass(frozen=True)
class NamedStage:
    """A stage with everything that it can be found by.

    Attributes:
        fields: values by the names in `FIELDS`; a gene has no depth and no task.
        options: options of a variant, by name.
        usual: values of options that it has like most stages: they may be asked for, and need not be.
    """

    address: str
    label: str
    fields: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, str] = field(default_factory=dict)
    usual: Mapping[str, str] = field(default_factory=dict)

    @property
    def order(self) -> tuple[tuple[int, float, str], ...]:
        """Sorts stages by their fields, numbers by their size."""
        return tuple(_order(self.fields.get(name, "")) for name in FIELDS)


def find(stages: Sequence[NamedStage], query: str, noun: str = "stage") -> list[NamedStage]:
    """Finds all stages that a query fits, sorted by their fields.

    Args:
        query: see the module; an empty one fits all.
        noun: the word for a stage in errors: "stage", or "cell" where all are.

    Raises:
        UserError: none fits; one line names the values that would.
    """
    if re.fullmatch("[0-9a-f]{4,64}", query.strip()) and (
        by_address := [stage for stage in stages if stage.address.startswith(query.strip())]
    ):
        return sorted(by_address, key=lambda stage: stage.order)
    if by_label := [stage for stage in stages if _words(stage.label) == _words(query)]:
        return sorted(by_label, key=lambda stage: stage.order)
    terms = list(_terms(query))
    found = [stage for stage in stages if all(term.fits(stage) for term in terms)]
    if not found:
        raise UserError(_nothing(stages, query, terms, noun))
    if len({frozenset(stage.fields.items()) for stage in found}) == 1:
        exact = [stage for stage in found if all(any(t.names(o) for t in terms) for o in stage.options)]
        found = exact or found
    return sorted(found, key=lambda stage: stage.order)


def find_one(stages: Sequence[NamedStage], query: str, noun: str = "stage") -> NamedStage:
    """Finds the only stage that a query fits.

    Raises:
        UserError: none fits, or several; one line says what they differ in.
    """
    found = find(stages, query, noun)
    if len(found) > 1:
        raise UserError(_ambiguous(found, query, noun))
    return found[0]


@dataclass(frozen=True)
class _Term:
    """One condition of a query.

    Attributes:
        name: field or option; None for a word that may be any value.
    """

    name: str | None
    value: str

    def fits(self, stage: NamedStage) -> bool:
        if self.name is None:
            values = {*stage.fields.values(), *_words(stage.label)}
            return any(_equal(value, self.value) for value in values)
        values = {stage.fields[self.name]} if self.name in stage.fields else set()
        values |= {value for option, value in (*stage.options.items(), *stage.usual.items()) if self.names(option)}
        return any(_equal(value, self.value) for value in values)

    def names(self, option: str) -> bool:
        """Returns True if this term is about an option; `wave.noise` may also be called `noise`."""
        return self.name is not None and (option == self.name or option.endswith(f".{self.name}"))

    def __str__(self) -> str:
        return self.value if self.name is None else f"{self.name}={self.value}"


def _terms(query: str) -> Iterator[_Term]:
    """Reads a query. `gene` is an option before a number, else a kind: the label of a gene begins with `gene of`."""
    words = _words(query)
    while words:
        word = words.pop(0)
        name, equals, value = word.partition("=")
        if equals:
            yield _Term(name, value)
        elif word == "gene" and not (words and _number(words[0]) is not None):
            yield _Term("kind", word)
        elif word in (*FIELDS, *WORD_OPTIONS):
            if not words:
                raise UserError(f"{query!r}: {word} has no value (as in {word}=...)")
            yield _Term(word, words.pop(0))
        else:
            yield _Term(None, word)


def _words(text: str) -> list[str]:
    """Splits a query or label, without the punctuation of labels: `wave (noise=0.1) micro depth 4 seed 0`."""
    return [word for word in (part.strip("(),") for part in text.lower().split()) if word and word != "on"]


def _equal(first: str, second: str) -> bool:
    return first.lower() == second or (_number(first) is not None and _number(first) == _number(second))


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _order(value: str) -> tuple[int, float, str]:
    number = _number(value)
    return (1, 0.0, value) if number is None else (0, number, "")


def _nothing(stages: Sequence[NamedStage], query: str, terms: Sequence[_Term], noun: str) -> str:
    """Says which part of a query fits nothing, and the values that would fit."""
    text = f"no {noun} fits {query!r}"
    for term in terms:
        if any(term.fits(stage) for stage in stages):
            continue
        if term.name is None:
            return f"{text}: {unknown('word', term.value, _bare_words(stages))}"
        values = {stage.fields[term.name] for stage in stages if term.name in stage.fields}
        options = [option for stage in stages for option in (*stage.options.items(), *stage.usual.items())]
        values |= {value for option, value in options if term.names(option)}
        if values:
            return f"{text}: {unknown(term.name, term.value, values)}"
        names = {name for stage in stages for name in (*stage.fields, *stage.options)}
        return f"{text}: {unknown('field', term.name, names)}"
    near = nearest(query, {stage.label for stage in stages})
    hint = f"did you mean {' or '.join(repr(label) for label in near)}? " if near else ""
    return f"{text}, though each part of it fits some: {hint}(there are: {_listing(stages)})"


def _bare_words(stages: Sequence[NamedStage]) -> set[str]:
    """Collects the words that can stand alone: all values that are no numbers."""
    values = {value for stage in stages for value in stage.fields.values()}
    return {value for value in values if _number(value) is None}


def _ambiguous(found: Sequence[NamedStage], query: str, noun: str) -> str:
    differ = {}
    for name in FIELDS:
        values = {stage.fields[name]: None for stage in found if name in stage.fields}
        if len(values) > 1:
            differ[name] = " or ".join([", ".join(list(values)[:-1]), list(values)[-1]])
    hint = " and ".join(f"{name} ({values})" for name, values in differ.items())
    add = f"which differ in {hint}" if hint else "which differ in their settings: give the beginning of an address"
    return f"{query!r} fits {len(found)} {noun}s, {add}: {_listing(found)}"


def _listing(stages: Sequence[NamedStage]) -> str:
    listed = "; ".join(f"{stage.address[:8]} {stage.label}" for stage in list(stages)[:MOST_LISTED])
    return listed + (", ..." if len(stages) > MOST_LISTED else "")
