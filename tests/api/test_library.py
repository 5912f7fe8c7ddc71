"""`learngene_bench.initialize` on timm models of a user's own: what is written, and what is said when it cannot be."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from own_timm_models import deit, images, short_preset, small, wave_gene, weights
from torch import nn

import learngene_bench
from learngene_bench.contracts.gene import Gene
from learngene_bench.contracts.initializer import Initializer
from learngene_bench.models.vit import ViTSpec
from learngene_bench.models.weights import spec_of
from learngene_bench.util.errors import UserError


def test_importing_the_package_stays_light() -> None:
    code = "import sys, learngene_bench; print('torch' in sys.modules, hasattr(learngene_bench, 'no_such_name'))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_mimetic_on_a_deit() -> None:
    model = deit()
    before, parameters = weights(model), list(model.parameters())
    report = learngene_bench.initialize(model, "mimetic")
    assert set(report.written) == {
        f"blocks.{layer}.attn.{name}.{part}"
        for layer in range(12)
        for name in ("qkv", "proj")
        for part in ("weight", "bias")
    }
    assert set(report.written) | set(report.unchanged) == before.keys()
    after = weights(model)
    assert all(torch.equal(before[name], after[name]) for name in report.unchanged)
    assert not any(torch.equal(before[name], after[name]) for name in report.written if name.endswith("weight"))
    assert all(one is other for one, other in zip(parameters, model.parameters(), strict=True))
    assert report.initialize.iterations == report.prepare.iterations == 0
    assert str(report).startswith("mimetic, seed 0: wrote 48 of 152 tensors, left cls_token, pos_embed")
    again = deit()
    learngene_bench.initialize(again, "mimetic")
    assert all(torch.equal(value, after[name]) for name, value in weights(again).items())
    learngene_bench.initialize(again, "mimetic", seed=1)
    assert not torch.equal(again.get_parameter(report.written[0]), after[report.written[0]])
    assert model.eval()(torch.zeros(1, 3, 224, 224)).isfinite().all()


def test_what_was_written_before_is_written_again() -> None:
    model, teacher = small(), small(width=32)
    first = learngene_bench.initialize(model, "weight-selection", teacher=teacher)
    again = learngene_bench.initialize(model, "weight-selection", teacher=teacher)
    assert again.written == first.written
    assert "blocks.0.norm1.weight" in first.written  # 1 in both models
    assert set(first.unchanged) == {"head.weight", "head.bias"}
    assert str(again).endswith("wrote 42 of 44 tensors, left head.weight, head.bias as they were")


@pytest.mark.parametrize(("depth", "width"), [(3, 24), (3, 40), (12, 32), (24, 64)])
def test_teachers_of_any_width_and_depth(depth: int, width: int) -> None:
    """Depth and width are read from the teacher itself."""
    report = learngene_bench.initialize(small(), "weight-selection", teacher=small(depth, width))
    assert len(report.written) == 42


def test_blocks_that_add_up_attention_and_mlp() -> None:
    from timm.models.vision_transformer import ParallelScalingBlock

    model = small(width=16, block_fn=ParallelScalingBlock)
    assert "blocks.0.in_proj.weight" in learngene_bench.initialize(model, "he").written
    with pytest.raises(UserError, match="contains no plain Vision Transformer"):
        learngene_bench.initialize(model, "heru-lg", ancestor=small(width=16), blocks=1)


def test_wave_on_a_deit(gene: Path) -> None:
    model = deit()
    report = learngene_bench.initialize(model, "wave", gene=gene, learn_scalers=False, noise=0.0)
    assert report.unchanged == ()
    templates = Gene.load(gene).tensors["templates/attn.proj.weight"]
    torch.testing.assert_close(model.get_parameter("blocks.11.attn.proj.weight"), templates.sum(0))
    with torch.no_grad():
        assert model.eval()(torch.zeros(1, 3, 224, 224)).isfinite().all()


def test_wave_on_a_shallow_and_wide_model_of_another_task(gene: Path) -> None:
    """DeiT-S sizes from a DeiT-Ti gene, other image size and classes: the head is the user's own."""
    model = deit(depth=2, embed_dim=384, num_heads=6, num_classes=7, img_size=32)
    head = weights(model)["head.weight"]
    report = learngene_bench.initialize(model, "wave", gene=str(gene), learn_scalers=False)
    assert set(report.unchanged) == {"head.weight", "head.bias"}
    assert torch.equal(model.get_parameter("head.weight"), head)
    assert model.eval()(torch.zeros(1, 3, 32, 32)).isfinite().all()


def test_weight_selection_from_a_teacher() -> None:
    teacher, model = small(12, 32, num_classes=5), small(3, 16)
    kept = weights(teacher)
    report = learngene_bench.initialize(model, "weight-selection", teacher=teacher)
    selected = teacher.get_parameter("blocks.1.attn.qkv.weight")[::2, ::2]
    assert torch.equal(model.get_parameter("blocks.1.attn.qkv.weight"), selected)
    assert {"head.weight", "head.bias"} <= set(report.unchanged)
    assert not any(
        name.startswith("blocks") and name.endswith("weight") for name in report.unchanged if "norm" not in name
    )
    assert all(torch.equal(value, kept[name]) for name, value in weights(teacher).items())
    assert report.gene is not None
    assert report.gene.family == spec_of(teacher)
    from_gene = small(3, 16)
    learngene_bench.initialize(from_gene, "weight-selection", gene=report.gene)
    assert all(torch.equal(value, model.get_parameter(name)) for name, value in weights(from_gene).items())
    with pytest.raises(UserError, match="width 48, 6 heads, MLP ratio 4: not narrower than its teacher of width 32"):
        learngene_bench.initialize(small(3, 48), "weight-selection", teacher=teacher)
    with pytest.raises(UserError, match=r"asks for teacher of depth 12, width 96, .*, not for .* width 32"):
        learngene_bench.initialize(small(3, 48), "weight-selection", teacher=teacher, teacher_width=96)
    learngene_bench.initialize(small(3, 24), "weight-selection", teacher=teacher)
    learngene_bench.initialize(small(3, 8), "weight-selection", teacher=teacher)  # a quarter of the width
    shallow = small(4, 32)
    from_shallow = learngene_bench.initialize(small(3, 16), "weight-selection", teacher=shallow)
    learngene_bench.initialize(small(2, 16), "weight-selection", gene=from_shallow.gene)
    with pytest.raises(UserError, match="deeper than its teacher of 4 layers"):
        learngene_bench.initialize(small(5, 16), "weight-selection", teacher=shallow)


@pytest.mark.parametrize(
    ("method", "role", "depth", "options"),
    [
        ("heru-lg", "ancestor", 12, {}),
        ("auto-lg", "ancestor", 12, {}),
        ("ligo", "source", 4, {"learn_operators": False}),
        ("direct-pt", "itself", 5, {}),
    ],
)
def test_methods_that_inherit_from_a_model(method: str, role: str, depth: int, options: dict[str, Any]) -> None:
    """An ancestor on another task: the head is the user's own, the embeddings are the ancestor's."""
    ancestor, model = small(depth, num_classes=7), small(5)
    ancestor.get_parameter("pos_embed").data.add_(1)
    head = weights(model)["head.weight"]
    report = learngene_bench.initialize(model, method, **{role: ancestor}, **options)
    assert torch.equal(model.get_parameter("pos_embed"), ancestor.get_parameter("pos_embed"))
    assert torch.equal(model.get_parameter("head.weight"), head)
    assert report.prepare.iterations == report.initialize.iterations == 0


def test_wave_makes_its_gene_and_learns_scalers_on_arrays(tmp_path: Path) -> None:
    teacher, preset = small(2, 8), short_preset(tmp_path)
    model = small(4, 16)
    report = learngene_bench.initialize(model, "wave", teacher=teacher, data=images(), preset=preset, device="cpu")
    assert (report.prepare.iterations, report.initialize.iterations) == (2, 3)
    assert "prepare 2 iterations" in str(report)
    assert report.gene is not None
    path = tmp_path / "gene.safetensors"
    report.gene.save(path)
    again = small(4, 16)
    learngene_bench.initialize(again, "wave", gene=path, data=images(), preset=preset, device="cpu")
    assert all(torch.equal(value, model.get_parameter(name)) for name, value in weights(again).items())


def test_data_sets_by_name(tmp_path: Path) -> None:
    family = replace(spec_of(small(12, 16)), depth=12)
    data = {"name": "digits", "canvas": 12}
    model = small(2, 16)
    preset = short_preset(tmp_path)
    report = learngene_bench.initialize(model, "wave", gene=wave_gene(family), data=data, preset=preset)
    assert report.initialize.iterations == 3


def test_half_precision_models() -> None:
    model = small().to(torch.bfloat16)
    learngene_bench.initialize(model, "he")
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}


class Looking(Initializer):
    name, title = "looking", "Looking"

    def initialize(self, model: nn.Module, target: ViTSpec, gene: Gene | None, context: Any) -> None:
        nn.init.constant_(model.get_parameter("head.bias"), float(context.source_images(2).abs().mean()))


def test_a_class_of_ones_own() -> None:
    model = small()
    assert learngene_bench.initialize(model, Looking, data=images()).written == ("head.bias",)
    with pytest.raises(UserError, match="this method looks at training images: give data="):
        learngene_bench.initialize(model, Looking)


class Forgetful(Initializer):
    """Draws from torch's global generator, as `nn.init` does where nobody gives it another."""

    name, title = "forgetful", "Forgetful"

    def initialize(self, model: nn.Module, target: ViTSpec, gene: Gene | None, context: Any) -> None:
        nn.init.normal_(model.get_parameter("head.weight"))


def test_a_seed_decides_what_is_drawn_from_the_global_generator_and_leaves_that_as_it_was() -> None:
    drawn = []
    for seed, state in ((0, 5), (0, 6), (1, 5)):
        model = small()
        torch.manual_seed(state)
        learngene_bench.initialize(model, Forgetful, seed=seed)
        assert torch.initial_seed() == state
        assert torch.equal(torch.rand(3), torch.rand(3, generator=torch.Generator().manual_seed(state)))
        drawn.append(weights(model)["head.weight"])
    assert torch.equal(drawn[0], drawn[1])
    assert (
        abs(torch.corrcoef(torch.stack([drawn[0].flatten(), drawn[2].flatten()]))[0, 1]) < 6 / drawn[0].numel() ** 0.5
    )


def test_no_generator_of_a_gpu_is_seeded_for_work_on_the_cpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seeded: list[int] = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeded.append)  # `torch.manual_seed` calls it on any machine
    teacher, model = small(2, 8), small(4, 16)
    del seeded[:]
    options = {"preset": short_preset(tmp_path), "device": "cpu"}
    learngene_bench.initialize(model, "wave", teacher=teacher, data=images(), **options)
    learngene_bench.initialize(timm.create_model("mixer_s32_224", img_size=64, num_classes=10), "timm")
    assert seeded == []
    torch.manual_seed(0)
    assert seeded == [0]
