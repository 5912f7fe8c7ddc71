from __future__ import annotations

import pytest

from learngene_bench.errors import UserError
from learngene_bench.results import published


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
