"""The check `copies`: a wider target that is handed nothing but copies is found, and a method may declare it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from plugin_checks import checked_file, no_import_check, problems

from learngene_bench.conformance.fixtures import TinyTarget, shared_benchmark
from learngene_bench.conformance.runner import check
from learngene_bench.plugins.registry import Registry

METHOD = """
import torch
from learngene_bench.contracts.gene import Gene
from learngene_bench.contracts.initializer import GeneRequest, Initializer, Pretrained
from learngene_bench.models.weights import write_weights

class Mine(Initializer):
    name, title = "mine", "Mine"
    {declarations}

    def supports(self, target, base):
        same = target.head_dimension == base.head_dimension and target.mlp_ratio == base.mlp_ratio
        return None if target.width >= base.width and same else "it only grows a smaller model"

    def gene_request(self, target, base):
        return GeneRequest(base, {{"source": Pretrained(base)}})

    def prepare(self, request, context):
        return Gene(self.name, request.family, dict(context.ancestors["source"].named_parameters()))

    def initialize(self, model, target, gene, context):
        generator = context.generator("growth")
        narrow = gene.family.block_shapes()
        weights = {{}}
        for layer in range(target.depth):
            for name, shape in target.block_shapes().items():
                tensor = gene.tensors[f"blocks.{{layer % gene.family.depth}}.{{name}}"]
                if {left}:
                    continue
                parts = 3 if "qkv" in name else 1
                for axis, (new, old) in enumerate(zip(shape, narrow[name])):
                    threefold = parts if axis == 0 else 1
                    new, old = new // threefold, old // threefold
                    index = {map}
                    copies = torch.bincount(index, minlength=old)[index]
                    index = torch.cat([index + part * old for part in range(threefold)])
                    tensor = tensor.index_select(axis, index)
                    tensor = tensor / copies if axis == 1 and len(shape) == 2 else tensor
                if len(shape) == 2 and tensor.shape != narrow[name]:
                    tensor = {noise}
                weights[f"blocks.{{layer}}.{{name}}"] = tensor
        write_weights(model, weights)

def opposed(tensor, old, generator):
    pairs = tensor.shape[1] - old
    noise = 0.3 * tensor.std() * torch.randn(len(tensor), pairs, generator=generator)
    tensor = tensor.clone()
    tensor[:, :pairs] += noise
    tensor[:, old:] -= noise
    return tensor

def drawn_map(old, new, generator):
    # Whole heads of 8 channels, first as they are; all axes of one size have one map.
    if new == old:
        return torch.arange(old)
    drawn = torch.randint(old // 8, ((new - old) // 8,), generator=generator)
    heads = torch.cat([torch.arange(old // 8), drawn])
    return (8 * heads.unsqueeze(1) + torch.arange(8)).flatten()
"""

IN_TURN = "torch.arange(new) % old"
NEIGHBOURS = "torch.arange(new) * old // new"
AT_RANDOM = 'drawn_map(old, new, context.generator(f"{old}"))'
LITTLE = "tensor * (1 + 1e-6 * torch.randn(tensor.shape, generator=generator))"
CANCELS = "opposed(tensor, narrow[name][1], generator)"
NO_COPIES = "tensor + 0.3 * tensor.std() * torch.randn(tensor.shape, generator=generator)"
DECLARED = "def clones_when_widened(self): return True"


def method(map: str = IN_TURN, noise: str = "tensor", left: str = "False", declarations: str = "pass") -> str:
    return METHOD.format(map=map, noise=noise, left=left, declarations=declarations)


@pytest.fixture(autouse=True)
def _in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    no_import_check(monkeypatch)


def targets(*families: str) -> list[TinyTarget]:
    """An ordinary target of each family, and all that are wider than their bases."""
    members = [shared_benchmark(family).targets() for family in families]
    return [each for few in members for each in few if each == few[0] or each.spec.width > each.base.width]


CLONES = {
    "in turn": method(),
    "neighbours": method(NEIGHBOURS),
    "at random": method(AT_RANDOM),
    "with noise that does not grow": method(noise=LITTLE),
    "attention alone": method(left="'mlp' in name"),
    "hidden units alone": method(left="'attn' in name"),
}
NONE = {
    "noise that cancels": method(noise=CANCELS),
    "noise": method(noise=NO_COPIES),
    # Heads with the same queries, keys and values, but projections of their own.
    "queries, keys and values alone": method(left="'qkv' not in name"),
}


@pytest.mark.parametrize("case", CLONES)
def test_copies_are_found(tmp_path: Path, case: str) -> None:
    found = problems(checked_file(tmp_path, CLONES[case], targets("vit")))
    assert list(found) == ["copies"], found
    assert "the base of width 16" in found["copies"][0]
    assert "or let clones_when_widened() return True" in found["copies"][0]


@pytest.mark.parametrize("case", NONE)
def test_units_that_differ_are_no_copies(tmp_path: Path, case: str) -> None:
    report = checked_file(tmp_path, NONE[case], targets("vit"))
    assert report.passed, problems(report)


def test_a_declaration_is_verified(tmp_path: Path) -> None:
    report = checked_file(tmp_path, method(declarations=DECLARED), targets("vit"))
    assert report.passed, problems(report)
    found = problems(checked_file(tmp_path, method(noise=CANCELS, declarations=DECLARED), targets("vit")))
    assert list(found) == ["copies"], found
    assert "clones_when_widened() says that added units are copies, but none are" in found["copies"][0]


@pytest.mark.parametrize("options", [{"width_noise": 0.0}, {"width_noise": 0.0, "parts": ("attention",)}])
def test_wave_says_what_its_options_make(options: dict[str, Any]) -> None:
    report = check(Registry().get("wave"), options, targets("vit", "swin", "convnext"))
    assert report.passed, problems(report)
