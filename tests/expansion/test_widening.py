"""Noise that tells repeated columns apart."""

from __future__ import annotations

import torch

from learngene_bench.expansion.widening import opposed_noise, repeated


def test_opposed_noise_cancels_over_pairs_of_copies(generator: torch.Generator) -> None:
    scalers = torch.randn(2, 3, 8, 4, generator=generator)[..., repeated(4, 12)]
    noise = opposed_noise(scalers, 4, 10.0, generator)
    first, second, third = noise.split(4, dim=-1)
    assert torch.equal(first, -second)
    assert not third.any()
    assert noise[..., :8].all()


def test_the_power_of_opposed_noise_is_given_in_decibels(generator: torch.Generator) -> None:
    scale = torch.tensor([0.1, 1.0, 10.0]).view(3, 1, 1, 1)
    scalers = scale * torch.randn(3, 64, 32, 16, generator=generator)
    noise = opposed_noise(scalers, 8, 7.0, generator)
    ratio = scalers.square().mean((1, 2, 3)) / noise.square().mean((1, 2, 3))
    torch.testing.assert_close(10 * ratio.log10(), torch.full((3,), 7.0), rtol=0, atol=0.2)
