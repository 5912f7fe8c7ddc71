"""Starts from a user's checkpoint: the layouts that MAE, DINO and MoCo v3 publish, made from a real timm model."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from baseline_models import SMALL, context, initialized
from safetensors.torch import save_file
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from learngene_bench.baselines.direct_pt import DirectPretraining, DirectPretrainingOptions
from learngene_bench.contracts.gene import Gene
from learngene_bench.models.vit import ViTSpec
from learngene_bench.planning.plan import Plan
from learngene_bench.planning.planner import make_plan
from learngene_bench.planning.request import build_request
from learngene_bench.plugins.registry import Registry
from learngene_bench.schema.stage import CellConfig
from learngene_bench.util.errors import UserError

State = dict[str, Tensor]
TARGET = replace(SMALL, depth=2, class_token=True)


def trained(seed: int = 0, **changes: Any) -> VisionTransformer:
    """A model of timm with a class token and no head, as their authors' code builds it."""
    sizes = {
        "img_size": 6,
        "patch_size": 2,
        "in_chans": 1,
        "embed_dim": 8,
        "depth": 2,
        "num_heads": 2,
        "num_classes": 0,
    }
    torch.manual_seed(seed)
    model = timm.create_model("vit_tiny_patch16_224", **{**sizes, **changes})
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model.eval()


def mae(state: State) -> Any:
    """mae_pretrain_vit_base.pth, and the decoder that mae_visualize_vit_base.pth has beside it."""
    decoder = {"decoder_embed.weight": torch.ones(4, 8), "decoder_blocks.0.norm1.weight": torch.ones(4)}
    return {"model": {"mask_token": torch.ones(1, 1, 4), **state, **decoder}}


def dino_whole(state: State) -> Any:
    """dino_deitsmall16_pretrain_full_checkpoint.pth, without its arguments: student and teacher, each with a head."""
    head = {"head.mlp.0.weight": torch.ones(3, 8), "head.last_layer.weight_g": torch.ones(3, 1)}
    student = {f"module.backbone.{name}": tensor + 1 for name, tensor in state.items()}
    student |= {f"module.{name}": tensor for name, tensor in head.items()}
    return {"student": student, "teacher": {**{f"backbone.{n}": t for n, t in state.items()}, **head}, "epoch": 100}


def dino_flat(state: State) -> Any:
    return {
        "state_dict": {f"teacher.backbone.{n}": t for n, t in state.items()}
        | {f"student.backbone.{n}": t + 1 for n, t in state.items()}
    }


def moco(state: State) -> Any:
    """vit-s-300ep.pth.tar: a module of DistributedDataParallel with its momentum encoder."""
    both = {f"module.base_encoder.{n}": t + 1 for n, t in state.items()}
    return {"state_dict": both | {f"module.momentum_encoder.{n}": t for n, t in state.items()}, "arch": "vit_small"}


LAYOUTS: dict[str, tuple[Callable[[State], Any], str]] = {
    "DINO's backbone": (lambda state: state, ""),
    "MAE": (
        mae,
        "the entry 'model', left out mask_token, decoder_embed.weight, decoder_blocks.0.norm1.weight (3 tensors)",
    ),
    "DINO": (dino_whole, "the entry 'teacher' (not of student), names that begin with 'backbone.', without it"),
    "DINO, flat": (dino_flat, "names that begin with 'teacher.backbone.', without it"),
    "MoCo v3": (moco, "names without 'module.', names that begin with 'momentum_encoder.', without it"),
}


def gene_of(path: Path, target: ViTSpec = TARGET, **options: Any) -> tuple[DirectPretraining, Gene]:
    method = DirectPretraining(DirectPretrainingOptions(checkpoint=path, checkpoint_depth=target.depth, **options))
    assert method.supports(target, SMALL) is None
    return method, method.prepare(method.gene_request(target, SMALL), context(target))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_published_layouts_give_the_function_of_the_trained_model(
    layout: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrap, said = LAYOUTS[layout]
    model = trained()
    torch.save(wrap(model.state_dict()), tmp_path / "weights.pth")
    method, gene = gene_of(tmp_path / "weights.pth")
    assert said in capsys.readouterr().out
    start = initialized(method, TARGET, gene)
    images = torch.randn(3, 1, 6, 6)
    torch.testing.assert_close(start.forward_features(images), model.forward_features(images))
    drawn = context(TARGET).base_weights(TARGET)
    assert torch.equal(start.head.weight, drawn["head.weight"])  # type: ignore[arg-type]
    # The paper's models have no class token, and another image size has other positions.
    other = replace(TARGET, class_token=False, image_size=8)
    positions = initialized(method, other, gene).pos_embed
    assert positions is not None
    assert positions.shape == (1, 16, 8)


def test_a_head_in_the_file_is_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_file(trained(num_classes=5).state_dict(), tmp_path / "labels.safetensors")
    method, gene = gene_of(tmp_path / "labels.safetensors")
    assert (
        "left out head.bias, head.weight (2 tensors); the head keeps its base initialization" in capsys.readouterr().out
    )
    drawn = context(TARGET).base_weights(TARGET)
    assert torch.equal(initialized(method, TARGET, gene).head.weight, drawn["head.weight"])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"embed_dim": 16}, r"cls_token has shape \(1, 1, 16\), needed is \(1, 1, 8\)"),
        ({"depth": 3}, r"has blocks.2.norm1.weight, which would have to be left out"),
        ({"init_values": 0.1}, r"has blocks.0.ls1.gamma, which would have to be left out"),
        ({"patch_size": 3}, r"patch_embed.proj.weight has shape \(8, 1, 3, 3\), needed is \(8, 1, 2, 2\)"),
        ({"global_pool": "avg"}, r"no Vision Transformer of depth 2, .*: norm.weight is missing"),
    ],
)
def test_another_model_is_one_line(changes: dict[str, Any], problem: str, tmp_path: Path) -> None:
    torch.save(trained(**changes).state_dict(), tmp_path / "other.pth")
    with pytest.raises(UserError, match=problem):
        gene_of(tmp_path / "other.pth")


def plan_from(path: Path) -> Plan:
    """A plan of two depths, of which the file has one."""
    method = f"direct-pt:checkpoint={path}"
    return make_plan(build_request(method, "depth", "digits", 1, ["grid.depths=[4,12]"], Registry(), quick=True))


def test_a_plan_fine_tunes_and_knows_the_file_by_its_content(tmp_path: Path) -> None:
    first, copy, other = tmp_path / "mae.pth", tmp_path / "copied" / "mae.pth", tmp_path / "other.pth"
    copy.parent.mkdir()
    torch.save({"a": torch.ones(1)}, first)
    shutil.copy(first, copy)
    torch.save({"a": torch.zeros(1)}, other)
    plan = plan_from(first)
    (cell,) = plan.cells  # the others are of another depth
    config = plan.stages[cell.address].config
    assert isinstance(config, CellConfig)
    assert config.finetuning is not None
    assert cell.title == "Start from mae"
    assert cell.prepare_epochs is None
    assert {row.reason for row in plan.unsupported} == {"the model in its checkpoint has 12 layers"}
    assert plan_from(copy).cells[0].address == cell.address
    assert plan_from(other).cells[0].address != cell.address
