"""Noise that tells repeated columns apart."""

from __future__ import annotations

import torch

from learngene_bench.expansion.widening import opposed_noise, repeated


def test_opposed_noise_cancels_over_pairs_of_copies(generator: torch.Generator) -> None:
    scalers = torch.randn(2, 3, 8, 4, generator=generator)[..., repeated(4, 12)]
    noise = opposed_noise(scalers, repeated(4, 12), 0.3, generator)
    first, second, third = noise.split(4, dim=-1)
    assert torch.equal(first, -second)
    assert not third.any()
    assert noise[..., :8].all()


def test_the_size_of_opposed_noise_is_relative_to_a_layers_scalers(generator: torch.Generator) -> None:
    scale = torch.tensor([0.1, 1.0, 10.0]).view(3, 1, 1, 1)
    scalers = scale * torch.randn(3, 64, 32, 16, generator=generator)
    noise = opposed_noise(scalers, repeated(8, 16), 0.2, generator)
    ratio = noise.square().mean((1, 2, 3)).sqrt() / scalers.square().mean((1, 2, 3)).sqrt()
    torch.testing.assert_close(ratio, torch.full((3,), 0.2), rtol=0.05, atol=0)
