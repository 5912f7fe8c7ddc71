"""One training step of GHN-3 on a meta-batch, its networks predicted together, against each predicted by itself.

    python benchmarks/ghn3_step.py [--width 48] [--networks 8] [--batch 64] [--rounds 10] [--device cpu]

The same networks, images, loss and optimizer; the steps of both ways alternate, so that a noisy machine is noisy for
both, and medians are compared. With --predict: the time in which a 12-layer DeiT-S is predicted by the smallest
published network.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable, Iterator, Sequence

import torch
from timing import Ratio, alternate, ratio, seconds_of
from timm.optim import create_optimizer_v2
from torch import Tensor, nn

from learngene_bench.baselines.ghn3.graph import graph_of
from learngene_bench.baselines.ghn3.layout import PUBLISHED, Layout
from learngene_bench.baselines.ghn3.meta_batch import Family, MetaBatch
from learngene_bench.baselines.ghn3.network import Hypernetwork
from learngene_bench.baselines.ghn3.prediction import predict
from learngene_bench.models.vit import ViTSpec


class OneByOne(MetaBatch):
    """The same training with one pass of the hypernetwork for each network."""

    def logits(self, specs: Sequence[ViTSpec], images: Tensor) -> tuple[list[Tensor], Tensor]:
        alone = [super(OneByOne, self).logits([spec], images) for spec in specs]
        return [logits for (logits,), _ in alone], torch.stack([norm for _, norm in alone]).sum()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=48)
    parser.add_argument("--head-dimension", type=int, default=16)
    parser.add_argument("--patch", type=int, default=4)
    parser.add_argument("--image", type=int, default=12)
    parser.add_argument("--networks", type=int, default=8)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--predict", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(f"torch {torch.__version__}, {arguments.device}, {arguments.threads} threads")
    if arguments.predict:
        print_prediction(arguments.rounds, arguments.device)
        return
    heads = arguments.width // arguments.head_dimension
    base = ViTSpec(
        depth=12,
        width=arguments.width,
        heads=heads,
        patch_size=arguments.patch,
        image_size=arguments.image,
        channels=1,
        classes=10,
    )
    steps = build_steps(base, arguments.networks, arguments.batch, arguments.device)
    times = alternate(steps, rounds=arguments.rounds, device=arguments.device)
    medians = {name: statistics.median(values) for name, values in times.items()}
    print(f"{arguments.networks} networks around {base}, batch {arguments.batch}")
    for name, seconds in medians.items():
        print(f"{name:12} {1e3 * seconds:8.1f} ms   {seconds / medians['one by one']:.3f} x one by one")


def ratios(seconds: float) -> Iterator[Ratio]:
    """Measures four networks around the model of the digits, one thread."""
    torch.set_num_threads(1)
    base = ViTSpec(depth=12, width=48, heads=3, patch_size=4, image_size=12, channels=1, classes=10)
    taken = alternate(build_steps(base, 4, 64, "cpu"), seconds=seconds, warmup=1)
    yield ratio(taken, "together", "one by one", "a step of GHN-3 through 4 networks, batch 64")


def build_steps(base: ViTSpec, networks: int, batch: int, device: str) -> dict[str, Callable[[], None]]:
    """Makes a training step for each way, from the same hypernetwork and through the same networks."""
    layout = Layout(64, 3, 8, base.classes, channels=64)
    steps = {}
    for name, kind in {"one by one": OneByOne, "together": MetaBatch}.items():
        torch.manual_seed(0)
        network = kind(Hypernetwork(layout), Family(base), networks).to(device)
        images = torch.randn(batch, base.channels, base.image_size, base.image_size, device=device)
        steps[name] = _step(network, images, torch.randint(base.classes, (batch,), device=device))
    return steps


def _step(network: MetaBatch, images: Tensor, labels: Tensor) -> Callable[[], None]:
    optimizer = create_optimizer_v2(network, opt="adamw", lr=1e-5, weight_decay=1e-2, fused=True)
    draws = torch.Generator().manual_seed(0)

    def step() -> None:
        network.sample_step(draws)
        loss = network(images, labels, 0.1)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimizer.step()

    return step


def print_prediction(rounds: int, device: str) -> None:
    torch.manual_seed(0)
    hypernetwork = Hypernetwork(PUBLISHED["T"]).to(device)
    target = ViTSpec(depth=12, width=384, heads=6, patch_size=16, image_size=224)

    @torch.no_grad()
    def work() -> None:
        predict(hypernetwork, [graph_of(target)])

    work()
    seconds = [seconds_of(work, device) for _ in range(rounds)]
    print(f"DeiT-S, 12 layers, by GHN-3-T: median {statistics.median(seconds):.3f} s, longest {max(seconds):.3f} s")


if __name__ == "__main__":
    main()
