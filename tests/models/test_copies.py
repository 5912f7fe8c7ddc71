"""Distances of rows, and how many of them are no copies."""

from __future__ import annotations

import pytest
import torch

from learngene_bench.models.copies import distances, distinct, nearest


def test_distances_are_relative_to_the_norm_of_a_row(generator: torch.Generator) -> None:
    rows = torch.randn(6, 40, generator=generator)
    norm = rows.norm(dim=1).square().mean().sqrt()
    for scale in (1e-6, 1.0, 1e6):
        found = distances(scale * rows)
        assert float(found[1, 4]) == pytest.approx(float((rows[1] - rows[4]).norm() / norm), rel=1e-5)
    assert not distances(torch.zeros(3, 4)).any()


def test_copies_are_counted_once(generator: torch.Generator) -> None:
    rows = torch.randn(4, 500, generator=generator)
    repeated = torch.cat([rows, rows[:3] + 1e-6, rows[:1]])
    assert distinct(distances(repeated) < 1e-4) == 4
    assert (nearest(repeated) < 1e-4).tolist() == [True, True, True, False, True, True, True, True]
    assert float(nearest(rows).min()) > 1
