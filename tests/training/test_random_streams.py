"""The table of docs/reproducibility.md, a test for each row: what the same seed makes the same, and what not."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from whole_runs import lgbench_here

from learngene_bench.config.loader import load_preset
from learngene_bench.config.preset import BaseInitialization, Compute
from learngene_bench.config.recipe import Recipe
from learngene_bench.contracts.dataset import DatasetFacts
from learngene_bench.data.sampler import AugmentationRng, BatchSchedule
from learngene_bench.execution.stages import initial_model
from learngene_bench.models.vit import ViTSpec
from learngene_bench.plugins.registry import Registry
from learngene_bench.results.records.loading import load
from learngene_bench.runs.store import Runs
from learngene_bench.training.ancestors import build_teacher
from learngene_bench.training.context import MeteredContext
from learngene_bench.training.inputs import new_model
from learngene_bench.util.rng import RngStreams, Role

BASE = BaseInitialization(weight_init="xavier", position_std=0.5)
MATRIX = "blocks.0.attn.qkv.weight"


def context(spec: ViTSpec, role: Role = "target", seed: int = 0) -> MeteredContext:
    return MeteredContext(seed, torch.device("cpu"), Compute(), BASE, spec, role)


def correlation(one: Tensor, other: Tensor) -> float:
    return float(torch.corrcoef(torch.stack([one.flatten().double(), other.flatten().double()]))[0, 1])


def independent(one: Tensor, other: Tensor) -> bool:
    """True if the correlation is one that independent draws have: at most six standard errors."""
    return abs(correlation(one, other)) < 6 / one.numel() ** 0.5


def draws(streams: RngStreams, *names: str) -> list[float]:
    return torch.rand(4, generator=streams.generator(*names)).tolist()


def weights(spec: ViTSpec, role: Role = "target", seed: int = 0) -> dict[str, Tensor]:
    return {name: parameter.detach() for name, parameter in new_model(spec, BASE, seed, role=role).named_parameters()}


def test_a_targets_base_initialization(tiny: ViTSpec) -> None:
    spec = replace(tiny, width=32, heads=2)
    first = weights(spec)
    assert all(torch.equal(first[name], tensor) for name, tensor in weights(spec).items())
    assert all(torch.equal(first[name], tensor) for name, tensor in context(spec).base_weights(spec).items())
    others = [weights(spec, "ancestor"), weights(spec, "auxiliary"), weights(spec, seed=1)]
    others += [weights(replace(spec, depth=4)), weights(replace(spec, classes=7))]
    assert all(independent(first[MATRIX], other[MATRIX]) for other in others)
    # No layer of another role is one of the target's in another place.
    stacked = torch.stack([others[0][f"blocks.{layer}.attn.proj.weight"] for layer in range(spec.depth)])
    assert all(independent(first["blocks.0.attn.proj.weight"], layer) for layer in stacked)


def test_what_a_method_draws(tiny: ViTSpec) -> None:
    def drawn(spec: ViTSpec, role: Role, purpose: str) -> list[float]:
        return torch.rand(4, generator=context(spec, role).generator(purpose)).tolist()

    deeper = replace(tiny, depth=4)
    different = [(tiny, "target", "a"), (tiny, "target", "b"), (tiny, "auxiliary", "a"), (deeper, "target", "a")]
    assert len({tuple(drawn(*each)) for each in different}) == 4  # type: ignore[arg-type]
    assert drawn(tiny, "target", "a") == drawn(replace(tiny), "target", "a")


def test_what_a_task_kind_adds(tiny: ViTSpec) -> None:
    of_target, of_ancestor = (RngStreams(0).drawn_for(role, tiny.identity()) for role in ("target", "ancestor"))
    assert draws(of_target, "adapt") == draws(of_target, "adapt") != draws(of_ancestor, "adapt")


def test_the_teacher_has_a_seed_of_its_own() -> None:
    teacher = load_preset("digits").teacher
    facts = DatasetFacts(10, 1, 12, 0, 0, 0)
    first, again, other = (
        next(build_teacher(teacher.model_copy(update={"seed": seed}), facts).parameters()) for seed in (0, 0, 1)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize(("one", "other"), [("finetuning", "finetuning"), ("finetuning", "condensation")])
def test_a_training_draws_by_its_name(one: str, other: str) -> None:
    """Order, augmentation, noise and the numbers of single images: the same under the same name, and only there."""
    recipe = Recipe(epochs=2, batch_size=4, learning_rate=1.0)
    orders = [BatchSchedule(64, recipe, RngStreams(0), name).batch(17).index.tolist() for name in (one, other)]
    numbers = [AugmentationRng.of(RngStreams(0), name, "cpu") for name in (one, other)]
    shifts = [torch.rand(4, generator=each.cpu_generator).tolist() for each in numbers]
    noises = [torch.rand(4, generator=each.noise).tolist() for each in numbers]
    images = [[each.image_seed(0, place) for place in range(3)] for each in numbers]
    same = one == other
    assert all((pair[0] == pair[1]) is same for pair in (orders, shifts, noises, images))


def test_each_process_draws_its_own(tiny: ViTSpec) -> None:
    alone = RngStreams(0).drawn_for("target", tiny.identity())
    assert draws(alone.for_rank(0, 5), "x") == draws(alone, "x")
    others = [tuple(draws(alone.for_rank(rank, start), "x")) for rank in (0, 1, 2) for start in (0, 5)]
    assert len(set(others)) == 5  # the first process is the same from wherever it begins


def test_the_table_names_every_stream() -> None:
    """A stream that the code names is in the table of the docs; purposes of a method's own draws are one row."""
    root = Path(__file__).parents[2]
    table = (root / "docs/reproducibility.md").read_text()
    named = set()
    for path in (root / "learngene_bench").rglob("*.py"):
        for call in re.findall(r"(?<!context)\.(?:generator|seed_for|drawn_for)\(([^()]*)", path.read_text()):
            named |= set(re.findall(r'"([a-z ]+)"', call))
    assert {"weights", "adapt", "method", "order", "drop path", "teacher"} <= named
    named -= {"global"}  # torch's own generator, for a method that draws from it all the same
    assert {name for name in named if f"`{name}`" not in table} == set()


@pytest.mark.slow
def test_free_layers_are_no_ancestors_start(tmp_path: Path) -> None:
    """Free layers are as independent of every ancestor and every gene as two draws are.

    Four iterations leave an ancestor nearly at its start, so that shared starting numbers would show.
    """
    runs = tmp_path / "runs"
    methods = "heru-lg,auto-lg,ligo,telg,wave,he"
    arguments = ["--method", methods, "--grid", "depth", "--set", "grid.depths=[6]", "--quick"]
    lgbench_here("run", *arguments, "--executor", "inline", "--runs", str(runs))
    trained = [load_file(path) for kind in ("ancestor", "gene") for path in runs.glob(f"{kind}/*/tensors.safetensors")]
    compared = 0
    for method, model, free in _initialized(runs):
        for name in free:
            for tensors in trained:
                for other in _of_shape(tensors, model[name].shape):
                    assert independent(model[name], other), (method, name)
                    compared += 1
    assert compared > 300


def _initialized(runs: Path) -> Iterator[tuple[str, dict[str, Tensor], list[str]]]:
    """Every cell's method, weights as initialized, and the names of the matrices that the method left free."""
    for record in load([runs]).records.values():
        result = record.result
        model: nn.Module = initial_model(Runs(runs), result.address, Registry())
        found = {name: parameter.detach() for name, parameter in model.named_parameters()}
        left = json.loads(record.path.read_text())["base_tensors"]
        yield record.cell.method, found, [name for name in left if found[name].dim() > 1 and found[name].std() > 0]


def _of_shape(tensors: dict[str, Tensor], shape: torch.Size) -> Iterator[Tensor]:
    """Tensors of this shape, and layers of stacks of them, that are not constant."""
    for tensor in tensors.values():
        candidates = [tensor] if tensor.shape == shape else tensor.unbind(0) if tensor.shape[1:] == shape else []
        yield from (candidate for candidate in candidates if candidate.std() > 0)
