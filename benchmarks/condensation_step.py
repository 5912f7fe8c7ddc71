"""One condensation step of WAVE against the same distillation step of the same auxiliary model with free weights.

    python benchmarks/condensation_step.py [--width 48] [--batch 64] [--rounds 40] [--device cpu]

Same batch, same teacher, same loss and optimizer; the steps of the three ways alternate, so that a noisy machine is
noisy for all of them, and medians are compared. The third way materialises every layer's weights by a loop over
`torch.kron`, as the equation is written.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable, Iterator, Sequence

import torch
import torch.nn.functional as F
from timing import Ratio, alternate, ratio
from timm.optim import create_optimizer_v2
from torch import Tensor, nn

from learngene_bench.config.preset import BaseInitialization, Compute, Precision
from learngene_bench.contracts.task import task_kind
from learngene_bench.expansion.algebra import Expansion
from learngene_bench.expansion.materialised import ExpandedModel
from learngene_bench.methods.wave.layout import Layout
from learngene_bench.models.vit import ViTSpec
from learngene_bench.models.weights import base_weights, build_model, write_weights
from learngene_bench.training.ancestors import ConvNet
from learngene_bench.training.evaluation import autocast
from learngene_bench.util.rng import RngStreams

WAYS = ("free weights", "WAVE", "torch.kron loop")


class KronLoop(Expansion):
    """The same expansion, one `torch.kron` for every layer, component and template."""

    def materialise(self) -> dict[str, Tensor]:
        weights = {}
        for name, templates in self.templates.items():
            for layer, scalers in enumerate(self.scalers[name]):
                total = sum(torch.kron(scaler, template) for scaler, template in zip(scalers, templates, strict=True))
                weights[f"blocks.{layer}.{name}"] = total.view(self.spec.block_shapes()[name])
        return weights


class NaiveModel(ExpandedModel):
    def expansion(self) -> Expansion:
        return KronLoop(self.spec, self.scalers.as_dict(), self.templates.as_dict())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=48)
    parser.add_argument("--head-dimension", type=int, default=16)
    parser.add_argument("--patch", type=int, default=4)
    parser.add_argument("--image", type=int, default=12)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    heads = arguments.width // arguments.head_dimension
    spec = ViTSpec(
        depth=12,
        width=arguments.width,
        heads=heads,
        patch_size=arguments.patch,
        image_size=arguments.image,
        channels=1,
        classes=10,
    )
    steps = build_steps(spec, arguments.batch, arguments.device)
    times = alternate(steps, rounds=arguments.rounds, device=arguments.device, warmup=5)
    medians = {name: statistics.median(values) for name, values in times.items()}
    print(
        f"torch {torch.__version__}, {arguments.device}, {arguments.threads} threads, {spec}, batch {arguments.batch}"
    )
    for name, seconds in medians.items():
        print(f"{name:14} {1e3 * seconds:8.2f} ms   {seconds / medians['free weights']:.3f} x free weights")


def ratios(seconds: float) -> Iterator[Ratio]:
    """Measures the sizes of the digits, one thread."""
    torch.set_num_threads(1)
    spec = ViTSpec(depth=12, width=48, heads=3, patch_size=4, image_size=12, channels=1, classes=10)
    taken = alternate(build_steps(spec, 64, "cpu"), seconds=seconds, warmup=5)
    yield ratio(taken, "WAVE", "free weights", "a condensation step, width 48, depth 12, batch 64")
    yield ratio(taken, "WAVE", "torch.kron loop", "the same step; the peer materialises as the equation is written")


def build_steps(
    spec: ViTSpec, batch: int, device: str, ways: Sequence[str] = WAYS, precision: Precision = "float32"
) -> dict[str, Callable[[], None]]:
    """Makes a training step for each way; all ways start from the same function."""
    weights = base_weights(
        spec, BaseInitialization(weight_init="xavier", position_std=0.5), RngStreams(0).generator("x")
    )
    layout = Layout(spec, spec.width, per_position=2)
    generator = torch.Generator().manual_seed(0)
    names = list(spec.block_shapes())
    expansion = Expansion(
        spec,
        {name: layout.padding(name, spec.depth) for name in names},
        {name: layout.initial_templates(name, weights, generator) for name in names},
    )
    stem = {name: weight for name, weight in weights.items() if not name.startswith("blocks.")}
    wave, naive, free = ExpandedModel(expansion, stem), NaiveModel(expansion, stem), build_model(spec)
    write_weights(free, wave.weights())
    images = torch.randn(batch, spec.channels, spec.image_size, spec.image_size, generator=generator).to(device)
    labels = torch.randint(spec.classes, (batch,), generator=generator).to(device)
    teacher = ConvNet(spec.channels, spec.classes).eval().to(device)
    networks: dict[str, nn.Module] = {"free weights": free, "WAVE": wave, "torch.kron loop": naive}
    compute = Compute(precision=precision)
    return {name: _step(networks[name].to(device), teacher, images, labels, compute) for name in ways}


def _step(
    network: nn.Module, teacher: nn.Module, images: Tensor, labels: Tensor, compute: Compute
) -> Callable[[], None]:
    optimizer = create_optimizer_v2(network, opt="adamw", lr=1e-4, weight_decay=0.05, fused=True)
    trainable = list(network.parameters())

    def step() -> None:
        with autocast(compute, images.device):
            logits = network(images)
            with torch.no_grad():
                wanted = teacher(images)
            loss = F.cross_entropy(logits, labels) + task_kind().distillation_loss(logits, wanted)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(trainable, 1.0)
        optimizer.step()

    return step


if __name__ == "__main__":
    main()
