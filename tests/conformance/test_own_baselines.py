"""`lgbench check`: the suite's own baselines pass."""

from __future__ import annotations

import pytest
from own_methods import BASELINES, assert_passes


@pytest.mark.parametrize("name", BASELINES)
def test_a_baseline_of_the_suite_passes(name: str) -> None:
    assert_passes(name)
