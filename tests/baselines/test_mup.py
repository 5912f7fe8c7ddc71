"""muP against its table of scales, computed from microsoft/mup's rules, and by what training does at several widths."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from baseline_models import context, initialized, of
from torch import Tensor

from learngene_bench.baselines.mup import Mup, MupOptions
from learngene_bench.baselines.timm_default import TimmDefault
from learngene_bench.config.preset import BaseInitialization
from learngene_bench.config.recipe import Recipe
from learngene_bench.contracts.initializer import Initializer, NoOptions
from learngene_bench.models.vit import ViTSpec
from learngene_bench.training.context import MeteredContext
from learngene_bench.training.optimizer import grouped, optimizer_of, schedule_of

BASE = ViTSpec(depth=2, width=32, heads=4, patch_size=2, image_size=4, channels=1, classes=5)
NARROW_TO_WIDE = (32, 128, 256)
TRUNCATED = BaseInitialization(weight_init="truncated-normal", position_std=0.5)
XAVIER = BaseInitialization(weight_init="xavier", position_std=0.5)


def recipe(**changes: object) -> Recipe:
    return Recipe.model_validate({"epochs": 1, "batch_size": 8, "learning_rate": 4e-3, "weight_decay": 0.1, **changes})


def where(target: ViTSpec, base: BaseInitialization) -> MeteredContext:
    return replace(context(target, size_base=BASE), base=base)


@pytest.mark.parametrize(
    ("base", "hidden"), [(TRUNCATED, 0.02), (XAVIER, 32**-0.5)], ids=lambda value: getattr(value, "weight_init", "")
)
def test_standard_deviations_at_eight_times_the_width(base: BaseInitialization, hidden: float) -> None:
    """Deviations of width 32, of hidden matrices over sqrt(8); Xavier's are sqrt(2 / (rows + columns))."""
    target = BASE.with_width(256)
    made = of(initialized(Mup(MupOptions()), target, None, where(target, base)))
    drawn = where(target, base).base_weights(target)
    uneven = math.sqrt(2 / 5) if base is XAVIER else 1.0  # of fc1 and fc2: 32 and 128 in place of 32 and 32
    patch = math.sqrt(2 / (32 + 4)) if base is XAVIER else 0.5 / math.sqrt(3)
    deviations = {
        "blocks.1.attn.qkv.weight": hidden / 8**0.5,
        "blocks.1.attn.proj.weight": hidden / 8**0.5,
        "blocks.1.mlp.fc1.weight": hidden * uneven / 8**0.5,
        "blocks.0.mlp.fc2.weight": hidden * uneven / 8**0.5,
        "patch_embed.proj.weight": patch,
    }
    for name, deviation in deviations.items():
        rows = made[name][256:] if "qkv" in name else made[name]
        assert float(rows.std()) == pytest.approx(deviation, rel=0.05), name
    assert not made["blocks.0.attn.qkv.weight"][:256].any()
    assert not made["head.weight"].any()
    written = {name for name in made if not torch.equal(made[name], drawn[name])}
    assert written <= {n for n in made if n.endswith("weight") and "norm" not in n}
    small = Mup(MupOptions(zero_head=False, zero_query=False, base_width=64))
    head = of(initialized(small, target, None, where(target, base)))["head.weight"]
    ratio = math.sqrt((256 + 5) / (64 + 5)) if base is XAVIER else 1.0
    torch.testing.assert_close(head, drawn["head.weight"] * ratio / 4)


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_rates_are_those_of_mu_adam_and_mu_sgd(name: str) -> None:
    """Rates of each parameter by the axes that grow with the width (`ninf`), with the head's multiplier put into it."""
    target, m = replace(BASE.with_width(128), class_token=True), 4
    settings = recipe(optimizer=name, schedule="polynomial", minimum_learning_rate=1e-3)
    model = initialized(Mup(MupOptions()), target, None, where(target, XAVIER))
    groups = grouped(model, Mup(MupOptions()).parameter_groups(target, BASE, settings))
    optimizer = optimizer_of(model, settings, groups)
    schedule_of(optimizer, settings, 10, 10).step_update(5)
    decayed = {
        id(p) for group in optimizer_of(model, settings).param_groups if group["weight_decay"] for p in group["params"]
    }
    found = {id(p): group for group in optimizer.param_groups for p in group["params"]}
    rate = (4e-3 - 1e-3) * 0.5**0.9 + 1e-3
    narrow = BASE.with_width(32).parameter_shapes() | {"cls_token": (1, 1, 32), "pos_embed": (1, 5, 32)}
    for key, parameter in model.named_parameters():
        ninf = sum(a != b for a, b in zip(parameter.shape, narrow[key], strict=True))
        if key == "head.weight":
            factor = 1 / m
        elif name == "adamw":
            factor = 1 / m if ninf == 2 else 1.0
        else:
            factor = m if ninf == 1 else 1.0
        group = found[id(parameter)]
        assert group["lr"] == pytest.approx(rate * factor), key
        assert group["weight_decay"] == pytest.approx(0.1 / factor if id(parameter) in decayed else 0.0), key


def test_without_more_width_there_are_no_groups_and_decay_may_shrink() -> None:
    assert Mup(MupOptions()).parameter_groups(BASE, BASE, recipe()) == []
    wide = BASE.with_width(64)
    groups = Mup(MupOptions(keep_decay=False)).parameter_groups(wide, BASE, recipe())
    assert {(group.learning_rate, group.weight_decay) for group in groups} == {(0.5, 1.0)}
    assert Mup(MupOptions(base_width=20)).supports(wide, BASE) == "width 20 is not a multiple of the head dimension 8"


def changes(method: Initializer, width: int) -> dict[str, float]:
    """Changes of representations and logits in three steps, as root mean squares: the coordinate check of muP."""
    target, settings = BASE.with_width(width), recipe(learning_rate=1e-2, weight_decay=0.0)
    model = initialized(method, target, None, where(target, TRUNCATED))  # type: ignore[arg-type]
    optimizer = optimizer_of(model, settings, grouped(model, method.parameter_groups(target, BASE, settings)))
    schedule = schedule_of(optimizer, settings.changed_by({"minimum_learning_rate": 1e-2}), 10, 10)
    draw = torch.Generator().manual_seed(1)
    images = torch.randn(32, *target.image_shape(), generator=draw)
    labels = torch.randint(5, (32,), generator=draw)

    def activations() -> dict[str, Tensor]:
        with torch.no_grad():
            return {"blocks": model.blocks(model.patch_embed(images) + model.pos_embed), "logits": model(images)}

    before = activations()
    for step in range(3):
        schedule.step_update(step)
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(images), labels).backward()
        optimizer.step()
    return {name: float((after - before[name]).square().mean().sqrt()) for name, after in activations().items()}


def test_the_coordinate_check() -> None:
    """Activations change by as much at every width; in the usual parametrization by more, the wider the model is."""
    found = {
        title: [changes(method, width) for width in NARROW_TO_WIDE]
        for title, method in (("mup", Mup(MupOptions())), ("standard", TimmDefault(NoOptions())))
    }
    for name in ("blocks", "logits"):
        mup, standard = ([change[name] for change in found[title]] for title in ("mup", "standard"))
        assert max(mup) < 1.5 * min(mup), name
        assert standard[-1] > 3 * standard[0], name
