"""`lgbench check`: the suite's own learngene methods pass."""

from __future__ import annotations

import pytest
from own_methods import LEARNGENES, assert_passes


@pytest.mark.parametrize("name", LEARNGENES)
def test_a_learngene_method_of_the_suite_passes(name: str) -> None:
    assert_passes(name)
