"""Test what one of several processes gets: its share of a batch, its random numbers and common batch norms."""

from __future__ import annotations

import pytest
import torch
from timm.layers import BatchNormAct2d, convert_sync_batchnorm
from torch import nn
from training_scenarios import CLASSES

from learngene_bench.distributed import Shard
from learngene_bench.training.ancestors import ConvNet
from learngene_bench.util.errors import UserError
from learngene_bench.util.rng import RngStreams


@pytest.mark.parametrize("size", [1, 2, 3, 5])
@pytest.mark.parametrize("images", [10, 11, 32, 33])
@pytest.mark.parametrize("multiple", [1, 2])
def test_shards_are_the_batch(images: int, size: int, multiple: int) -> None:
    shards = [Shard.of(images, rank, size, multiple) for rank in range(size)]
    assert [row for shard in shards for row in range(shard.first, shard.end)] == list(range(images))
    trained = [(shard.end - shard.first) // multiple * multiple for shard in shards]
    assert max(trained) - min(trained) <= multiple
    assert [shard.fraction for shard in shards] == pytest.approx([count / sum(trained) for count in trained])


@pytest.mark.parametrize(
    ("multiple", "error"),
    [(1, "a batch of 3 images cannot be shared out among 4 processes: at most 3"), (2, "shared out in pairs among 4")],
)
def test_too_many_processes_for_a_batch_are_refused(multiple: int, error: str) -> None:
    with pytest.raises(UserError, match=error):
        Shard.of(3, 0, 4, multiple)


def test_each_rank_has_streams_of_its_own_and_rank_0_those_of_a_process_alone() -> None:
    alone = RngStreams(3)
    assert alone.for_rank(0, start=5).seed_for("mixup") == alone.seed_for("mixup")
    seeds = {alone.for_rank(rank, start).seed_for("mixup") for rank in range(3) for start in (0, 5)}
    assert len(seeds) == 5


def test_batch_norm_that_is_made_common_keeps_its_tensors_and_works_alone() -> None:
    """`train` replaces batch norm on GPUs, also timm's; the network is saved and measured on a CPU as before."""
    network = nn.Sequential(nn.Conv2d(1, 4, 3), BatchNormAct2d(4), nn.Conv2d(4, 1, 3), ConvNet(1, CLASSES, 4)).eval()
    images = torch.rand(4, 1, 8, 8)
    names, expected = network.state_dict().keys(), network(images)
    assert convert_sync_batchnorm(network) is network
    assert any(isinstance(module, nn.SyncBatchNorm) for module in network.modules())
    assert not any(isinstance(module, nn.BatchNorm2d) for module in network.modules())
    assert network.state_dict().keys() == names
    assert torch.equal(network(images), expected)
