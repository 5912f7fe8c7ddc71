from __future__ import annotations

import pytest

from learngene_bench.results.tables import published
from learngene_bench.util.errors import UserError


def test_every_table_is_there_with_the_papers_numbers() -> None:
    rows = {name: published.table(name) for name in published.TABLES}
    wave = {"method": "wave", "prepare_epochs": 150.0, "depth": 6.0, "params_m": 5.4, "width": 1536.0, "top1": 78.3}
    assert wave in rows["width"]
    dashes = [row for row in rows["depth"] if row["top1"] is None]
    assert {(row["method"], row["depth"]) for row in dashes} == {("ligo", 4.0)}
    numbers = [row["top1"] for name in ("depth", "width", "transfer") for row in rows[name] if row["top1"] is not None]
    assert all(isinstance(number, float) and 0 < number < 100 for number in numbers)


def test_an_unknown_table_names_the_valid_ones() -> None:
    with pytest.raises(UserError, match="did you mean 'depth'"):
        published.table("dept")


def test_ablations_stand_beside_the_variants_that_they_are_of() -> None:
    """Tables 4 and 5, DeiT-S, six layers."""
    series = published.series("depth", "s")
    printed = {variant: series.of("wave", variant) for _, variant in series.ablations}
    assert printed == {
        "parts=attention+projection+mlp": {6: 72.6},
        "per_position=1": {6: 68.4},
        "template_divisor=2": {6: 71.6},
        "per_position=3": {6: 72.6},
    }
    assert series.of("wave", "") == series.values["wave"]
    assert series.of("wave", "learn_scalers=false") is None
    assert published.series("width", "s").of("wave", "per_position=1") is None


def test_the_papers_ghn3_is_the_one_with_the_authors_weights() -> None:
    series = published.series("depth", "ti")
    assert series.of("ghn3", "") is None
    assert series.of("ghn3", "hidden=128") is None
    assert series.of("ghn3", "weights=0123abcd") == series.values["ghn3"]
