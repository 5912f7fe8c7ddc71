"""Statistics of initial weights, which are kept as JSON: every finite weight has finite ones."""

from __future__ import annotations

import math

import pytest
import torch

from learngene_bench.runs.tensors import describe
from learngene_bench.util.files import json_text


@pytest.mark.parametrize("largest", [1.0, 1e18, 3e38])
def test_statistics_are_those_of_double_precision_and_finite(largest: float) -> None:
    weights = largest * torch.tensor([[1.0, -1.0, 1.0], [1.0, 1.0, 1.0]])
    described = describe({"head.weight": weights})
    json_text(described)  # refuses what is not finite
    found = described["tensors"]["head.weight"]
    assert found["mean"] == pytest.approx(largest * 4 / 6, rel=1e-6)
    assert found["std"] == pytest.approx(largest * math.sqrt(1 - (4 / 6) ** 2), rel=1e-6)
    assert found["norm"] == pytest.approx(largest * math.sqrt(6), rel=1e-6)
