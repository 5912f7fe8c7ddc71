"""Writes docs/timm-models.md: which method initializes which of timm's models, found out by trying.

    python tools/timm_page.py

Every model is tiny and has random weights; nothing is downloaded. tests/api/test_timm_models.py checks each cell.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import timm
import torch
from architecture import ROOT
from torch import Tensor, nn

import learngene_bench
from learngene_bench.api.report import InitializationReport
from learngene_bench.models.weights import spec_of

PAGE = ROOT / "docs" / "timm-models.md"
CLASSES, WIDTH, HEADS = 5, 32, 2
SIZES: dict[str, Any] = {"depth": 3, "embed_dim": WIDTH, "num_heads": HEADS, "img_size": 32, "patch_size": 16}
COLUMNS = ("he", "mimetic", "weight-selection", "heru-lg", "heru-lg of a plain ViT")


@dataclass(frozen=True)
class Case:
    """A model that is tried.

    Attributes:
        name: timm's.
        arguments: of `timm.create_model`.
        larger: arguments of a teacher that are other ones; its `name` may be another architecture.
        said: arguments that the page says, as they change what the model is.
    """

    name: str
    arguments: Mapping[str, Any]
    larger: Mapping[str, Any]
    said: str = ""

    @property
    def label(self) -> str:
        """The model as the page calls it."""
        return f"`{self.name}`{f' with {self.said}' if self.said else ''}"

    def create(self, seed: int = 0, **changes: Any) -> nn.Module:
        """Creates the model, whose every parameter is random, so that none is like another."""
        arguments = {"num_classes": CLASSES, **self.arguments, **changes}
        name = arguments.pop("name", self.name)
        with torch.random.fork_rng([]):
            torch.manual_seed(seed)
            model = timm.create_model(name, **arguments)
            for parameter in model.parameters():
                nn.init.normal_(parameter, std=0.5)
        return model.eval()


def _vit(name: str, said: str = "", **changes: Any) -> Case:
    return Case(name, {**SIZES, **changes}, {"depth": 4, "embed_dim": 2 * WIDTH, "num_heads": 2 * HEADS}, said)


def _unsized(name: str, **changes: Any) -> Case:
    """A model that takes neither image nor patch size."""
    sizes = {key: value for key, value in SIZES.items() if key not in ("img_size", "patch_size")}
    return Case(name, {**sizes, **changes}, {"depth": 4, "embed_dim": 2 * WIDTH, "num_heads": 2 * HEADS})


def _other(name: str, larger: Mapping[str, Any], **arguments: Any) -> Case:
    return Case(name, arguments, larger)


TWO_STAGES: dict[str, Any] = {
    "img_size": 32, "window_size": 4, "embed_dim": 16, "depths": (1, 2), "num_heads": (1, 2)
}  # fmt: skip
FOUR_STAGES: dict[str, Any] = {"depths": (1, 1, 2, 1), "dims": (8, 8, 16, 16)}
CASES = (
    *map(
        _vit,
        (
            "vit_tiny_patch16_224",
            "deit_tiny_patch16_224",
            "deit_tiny_distilled_patch16_224",
            "deit3_small_patch16_224",
            "vit_small_patch14_dinov2",
            "vit_small_patch14_reg4_dinov2",
            "vit_small_patch16_dinov3",
            "vit_small_patch16_dinov3_qkvb",
            "vit_small_plus_patch16_dinov3",
            "eva_giant_patch14_224",
            "eva02_tiny_patch14_224",
            "eva02_base_patch16_clip_224",
            "vit_base_patch16_siglip_224",
            "vit_base_patch16_siglip_gap_224",
            "vit_base_patch16_clip_224",
            "vit_pe_core_base_patch16_224",
            "vit_medium_patch16_gap_240",
            "vit_medium_patch16_reg4_gap_256",
            "vit_so150m_patch16_reg4_gap_256",
            "vit_base_patch16_rope_224",
            "vit_base_patch16_rope_mixed_224",
            "vit_base_patch16_rope_reg1_gap_256",
            "vit_relpos_small_patch16_224",
            "vit_relpos_base_patch32_plus_rpn_256",
            "vit_relpos_medium_patch16_cls_224",
            "vit_srelpos_small_patch16_224",
            "beit_base_patch16_224",
            "beitv2_base_patch16_224",
            "beit3_base_patch16_224",
            "flexivit_small",
            "vit_intern300m_patch14_448",
            "aimv2_large_patch14_224",
            "vit_small_patch16_18x2_224",
            "vit_pwee_patch16_reg1_gap_256",
            "samvit_base_patch16_224",
            "cait_xxs24_224",
            "xcit_nano_12_p16_224",
        ),
    ),
    Case("vit_giant_patch14_dinov2", SIZES, {"depth": 4, "embed_dim": 128, "num_heads": 8}),
    _vit("vit_tiny_patch16_224", "`qk_norm=True`", qk_norm=True),
    _vit("vit_tiny_patch16_224", "`qkv_bias=False`", qkv_bias=False),
    _vit("vit_tiny_patch16_224", "`dynamic_img_size=True`", dynamic_img_size=True),
    _vit("deit3_small_patch16_224", "`img_size=(32, 48)`", img_size=(32, 48)),
    _unsized("vit_tiny_r_s16_p8_224", img_size=64),
    _unsized("naflexvit_base_patch16_gap"),
    _unsized("naflexvit_base_patch16_siglip"),
    Case(
        "convit_tiny",
        {**SIZES, "embed_dim": WIDTH // HEADS, "local_up_to_layer": 2},
        {"num_heads": 2 * HEADS},
    ),
    _other("swin_tiny_patch4_window7_224", {"embed_dim": 32, "num_heads": (2, 4)}, **TWO_STAGES),
    _other("swinv2_tiny_window8_256", {"embed_dim": 32, "num_heads": (2, 4)}, **TWO_STAGES),
    _other("swinv2_cr_tiny_224", {"embed_dim": 32, "num_heads": (2, 4)}, **TWO_STAGES),
    _other("convnext_atto", {"dims": (16, 16, 32, 32)}, **FOUR_STAGES),
    _other("convnextv2_atto", {"dims": (16, 16, 32, 32)}, **FOUR_STAGES),
    _other("inception_next_atto", {"dims": (16, 16, 32, 32)}, **FOUR_STAGES),
    _other(
        "levit_128s",
        {"embed_dim": (64, 128), "num_heads": (4, 8)},
        img_size=64, embed_dim=(32, 64), depth=(1, 2), num_heads=(2, 4), key_dim=8,
    ),
    _other(
        "pit_ti_224",
        {"base_dims": (32, 32)},
        img_size=32, patch_size=8, stride=4, base_dims=(16, 16), heads=(1, 2), depth=(1, 2),
    ),
    _other(
        "twins_pcpvt_small",
        {"embed_dims": (32, 64, 64, 64), "num_heads": (2, 4, 4, 4)},
        img_size=32, embed_dims=(16, 32, 32, 32), num_heads=(1, 2, 2, 2), depths=(1, 1, 2, 1),
    ),
    _other(
        "twins_svt_small",
        {"embed_dims": (32, 64, 64, 64), "num_heads": (2, 4, 4, 4)},
        img_size=32, embed_dims=(16, 32, 32, 32), num_heads=(1, 2, 2, 2), depths=(2, 2, 2, 2),
    ),
    _other(
        "pvt_v2_b0",
        {"embed_dims": (32, 32, 64, 64), "num_heads": (2, 2, 4, 4)},
        depths=(1, 1, 2, 1), embed_dims=(16, 16, 32, 32), num_heads=(1, 1, 2, 2),
    ),
    _other(
        "hiera_tiny_224",
        {"embed_dim": 32, "num_heads": 2},
        img_size=64, embed_dim=16, num_heads=1, stages=(1, 1, 2, 1),
    ),
    _other(
        "visformer_tiny",
        {"init_channels": 16, "embed_dim": 64},
        img_size=32, init_channels=8, embed_dim=32, depth=(1, 2, 1), num_heads=2,
    ),
    _other(
        "davit_tiny",
        {"embed_dims": (32, 64, 64, 128), "num_heads": (2, 4, 4, 8)},
        depths=(1, 1, 2, 1), embed_dims=(16, 32, 32, 64), num_heads=(1, 2, 2, 4),
    ),
    _other(
        "edgenext_xx_small",
        {"dims": (32, 32, 64, 64)},
        depths=(1, 1, 2, 1), dims=(16, 16, 32, 32), heads=(2, 2, 2, 2),
    ),
    _other("mobilevit_xxs", {"name": "mobilevit_xs"}),
    _other("resnet18", {}),
    _other("efficientnet_b0", {}),
    _other("repvit_m1", {}),
)  # fmt: skip
WITHOUT_BLOCKS = ("resnet18", "efficientnet_b0", "repvit_m1")


@dataclass
class Outcome:
    """The result of one method on one model; either a report or a refusal.

    Attributes:
        before, after: the model's parameters.
        ancestors: the models that were given.
    """

    case: Case
    column: str
    model: nn.Module
    before: dict[str, Tensor]
    ancestors: dict[str, nn.Module]
    report: InitializationReport | None = None
    refusal: str = ""
    after: dict[str, Tensor] = field(default_factory=dict)


def attempt(case: Case, column: str) -> Outcome:
    """Tries one method on one model."""
    model, options = case.create(), {}
    ancestors: dict[str, nn.Module] = {}
    if case.name not in WITHOUT_BLOCKS:
        if column == "weight-selection":
            ancestors["teacher"] = case.create(1, **case.larger)
        elif column == "heru-lg":
            depth = case.arguments.get("depth")
            ancestors["ancestor"] = case.create(1, **({"depth": depth + 1} if isinstance(depth, int) else {}))
            options = {"blocks": 1}
        elif column == "heru-lg of a plain ViT":
            ancestors["ancestor"] = plain_ancestor()
            options = {"blocks": 1}
    outcome = Outcome(case, column, model, _numbers(model), ancestors)
    try:
        outcome.report = learngene_bench.initialize(model, column.split()[0], **ancestors, **options)
    except learngene_bench.UserError as error:
        outcome.refusal = str(error)
    outcome.after = _numbers(model)
    return outcome


@lru_cache
def plain_ancestor() -> nn.Module:
    """A plain Vision Transformer with class token, of the models' width, heads, patches and image size."""
    return Case("deit_tiny_patch16_224", {**SIZES, "depth": 4}, {}).create(2)


def outcomes() -> Iterator[Outcome]:
    """Tries every method on every model."""
    for case in CASES:
        for column in COLUMNS:
            yield attempt(case, column)


def page(found: list[Outcome]) -> str:
    """Makes the page of these outcomes."""
    cells = {(outcome.case.label, outcome.column): outcome for outcome in found}
    reasons: dict[str, int] = {}
    rows = []
    for case in CASES:
        marks = []
        for column in COLUMNS:
            refusal = _reason(cells[case.label, column].refusal)
            marks.append(f"no ({reasons.setdefault(refusal, len(reasons) + 1)})" if refusal else "yes")
        rows.append(f"| {case.label} | {_stages(case)} | {' | '.join(marks)} |")
    accepted = sum(not outcome.refusal for outcome in found)
    return TEXT.format(
        models=len(CASES),
        width=WIDTH,
        accepted=accepted,
        cells=len(found),
        header=" | ".join(COLUMNS),
        rule="|".join(["---"] * (len(COLUMNS) + 2)),
        rows="\n".join(rows),
        reasons="\n".join(f"{number}. {reason}" for reason, number in reasons.items()),
    )


def _reason(refusal: str) -> str:
    """The part of a refusal that names neither the method nor the model."""
    _, found, rest = refusal.partition("cannot initialize a model of")
    refusal = rest.partition(": ")[2] if found else refusal
    for before, kept in (("it inherits from a plain Vision Transformer; ", ""), (" has no blocks", "it has no blocks")):
        _, found, rest = refusal.partition(before)
        refusal = kept + rest if found else refusal
    return refusal


def _stages(case: Case) -> str:
    if case.name in WITHOUT_BLOCKS:
        return "none"
    spec = spec_of(case.create())
    return f"{spec.family}: " + ", ".join(
        f"`{stage.path}`{f' from {stage.first}' if stage.first else ''}" for stage in spec.stages()
    )


def _numbers(model: nn.Module) -> dict[str, Tensor]:
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}


TEXT = """# timm's models and `learngene_bench.initialize`

Written by `tools/timm_page.py`, which tries each method on each model. `tests/api/test_timm_models.py` computes the
numbers of every *yes* again, from the definition of the method. The models are tiny and random.

{models} models, {accepted} of {cells} cells accepted. The second column is what was found in the model: its family, and
the lists of blocks. [families.md](families.md#any-other-model) has the rules, [library.md](library.md) the call.

- `weight-selection`: the teacher is of the same architecture, twice as wide, one block deeper where timm allows it.
- `heru-lg`: the ancestor is of the same architecture, one block deeper where timm allows it. Its last block is
  inherited (`blocks=1`).
- `heru-lg` of a plain ViT: the ancestor is a DeiT of width {width}. So works every method that is made for plain Vision
  Transformers only, on the plain Vision Transformer that the model contains.

| model | blocks | {header} |
|{rule}|
{rows}

Reasons:

{reasons}
"""

if __name__ == "__main__":
    torch.set_num_threads(1)
    PAGE.write_text(page(list(outcomes())), encoding="utf-8")
    print(PAGE)
