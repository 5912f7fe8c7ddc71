"""A method looks the same in every figure, and names are broken where a reader expects it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import pytest

from learngene_bench.plugins.registry import Registry
from learngene_bench.results.formats.layout import wrap_label
from learngene_bench.results.plots.style import looks


@dataclass(frozen=True)
class Row:
    method: str
    variant: str = ""
    group: str = "other"

    @property
    def label(self) -> str:
        return f"{self.method} {self.variant}".strip()


def test_the_methods_of_the_suite_differ_in_colour_or_marker() -> None:
    found = looks([Row(name) for name in Registry().names()])
    assert len({(look.color, look.marker) for look in found.values()}) == len(found)
    colors = [look.color for look in found.values()]
    assert max(map(colors.count, colors)) <= 5
    together = ["he", "mimetic", "weight-selection", "telg", "wave", "sws", "direct-pt"]
    assert len({found[name].color for name in together}) == len(together)


def test_a_look_depends_on_no_other_row() -> None:
    rows = [Row("wave", "noise=0.1"), *map(Row, Registry().names())]
    whole = looks(rows)
    for pair in combinations(rows, 2):
        assert looks(pair) == {row.label: whole[row.label] for row in pair}


def test_variants_have_the_colour_of_their_method_and_other_markers() -> None:
    rows = [Row("mine", f"gain={number}") for number in range(12)]
    found = looks([*rows, Row("mine")])
    assert found["mine"] == looks([Row("mine")])["mine"]
    assert len({look.color for look in found.values()}) == 1
    assert len({(look.marker, look.face) for look in found.values()}) == 13


@pytest.mark.parametrize(
    ("label", "lines"),
    [
        ("WAVE (condensation.epochs=12)", ["WAVE", "(condensation.", "epochs=12)"]),
        ("WAVE (downstream.recipe.learning_rate=0.001)", ["WAVE", "(downstream.", "recipe.learning_", "rate=0.001)"]),
        ("Wt Select", ["Wt Select"]),
        ("Donaudampfschifffahrtsgesellschaft", ["Donaudampfschifffahrtsgesellschaft"]),
    ],
)
def test_settings_are_broken_after_their_signs(label: str, lines: list[str]) -> None:
    assert wrap_label(label, 14) == lines
