"""WAVE: the layout of its templates, linear padding, inheritance at other depths and widths, the paper's counts."""

from __future__ import annotations

import csv
from dataclasses import replace
from importlib import resources

import pytest
import torch
from torch import Tensor

from learngene_bench.config.preset import BaseInitialization, Compute
from learngene_bench.contracts.family import count
from learngene_bench.contracts.gene import Gene
from learngene_bench.expansion.algebra import Expansion, over_relative_depth
from learngene_bench.methods.wave.initializer import Wave, WaveOptions
from learngene_bench.methods.wave.layout import Layout, components, widen_non_block
from learngene_bench.models.vit import ViTSpec
from learngene_bench.training.context import MeteredContext
from learngene_bench.training.inputs import new_model

FAMILY = ViTSpec(depth=12, width=8, heads=2, patch_size=2, image_size=6, channels=1, classes=5, irpe=True)
BASE = BaseInitialization(weight_init="xavier", position_std=0.5)


def random_gene(family: ViTSpec, generator: torch.Generator, size: int | None = None, **options: object) -> Gene:
    """A gene in WAVE's format, as if it had been condensed: every tensor random."""
    method = Wave(WaveOptions(template_size=size, **options))
    request = method.gene_request(family, family)
    layout = Layout(family, request.settings["template_size"], request.settings["per_position"])
    tensors: dict[str, Tensor] = {}
    for name in components(family, request.settings["parts"]):
        shape = layout.template_shape(name)
        tensors[f"templates/{name}"] = torch.randn(shape, generator=generator) * 0.3
        tensors[f"scalers/{name}"] = torch.randn(layout.padding(name, family.depth).shape, generator=generator) * 0.3
    for name, shape in {**family.non_block_shapes(), **family.head_shapes()}.items():
        tensors[f"stem/{name}"] = torch.randn(shape, generator=generator) * 0.3
    return Gene("wave", family, tensors, dict(request.settings))


def initialized(target: ViTSpec, gene: Gene, *, same_task: bool = True, **options: object) -> torch.nn.Module:
    """The target as WAVE leaves it, without scaler learning and noise unless the options say otherwise."""
    where = MeteredContext(0, torch.device("cpu"), Compute(), BASE, target, same_task=same_task)
    model = new_model(target, BASE, 0)
    plain: dict[str, object] = {"learn_scalers": False, "noise": 0.0}
    Wave(WaveOptions(**{**plain, **options})).initialize(model, target, gene, where)
    return model.eval()


def test_template_counts_are_those_of_table_8() -> None:
    spec = ViTSpec(depth=12, width=192, heads=3, patch_size=16, image_size=224, irpe=True)
    shapes = Wave(WaveOptions()).stored_shapes(spec, spec)
    expected = {
        "attn.qkv.weight": (6, 192, 192),
        "attn.proj.weight": (2, 192, 192),
        "mlp.fc1.weight": (8, 192, 192),
        "mlp.fc2.weight": (8, 192, 192),
        "norm1.weight": (4, 1, 192),
        "attn.qkv.bias": (4, 3, 192),
        "mlp.fc1.bias": (4, 1, 768),
        "attn.rpe_q": (6, 1, 64, 49),
        "attn.rpe_v": (6, 1, 49, 64),
    }
    assert {name: shapes[name] for name in expected} == expected
    layout = Layout(spec, 192, 2)
    assert sum(layout.padding(name, 12)[0].numel() for name in spec.block_shapes()) == 134


def test_stored_parameters_are_the_papers() -> None:
    """Tables 1 and 5, to their printed precision."""
    published = resources.files("learngene_bench.results") / "published"
    widths = {"ti": 192, "s": 384, "b": 768}
    depth = {row["size"]: row for row in csv.DictReader((published / "depth.csv").open()) if row["method"] == "wave"}
    printed = {(size, "wave"): row["params_m"] for size, row in depth.items()}
    templates = csv.DictReader((published / "ablation_templates.csv").open())
    printed |= {(row["size"], row["variant"]): row["params_m"] for row in templates}
    assert len(printed) == 12
    for (size, variant), figure in printed.items():
        width = widths[size]
        spec = ViTSpec(depth=12, width=width, heads=width // 64, patch_size=16, image_size=224, irpe=True)
        options = {"fewer": {"per_position": 1}, "more": {"per_position": 3}, "smaller": {"template_size": width // 2}}
        method = Wave(WaveOptions(**options.get(variant, {})))
        stored = count(dict(method.stored_shapes(spec.with_depth(4), spec))) / 1e6
        assert f"{stored:.1f}" == figure, (size, variant)


def test_linear_padding_is_telgs_base_and_slope(generator: torch.Generator) -> None:
    """Eq. 7 makes W(l) = base + (l - 1) / (L - 1) * slope, base and slope laid out block by block."""
    gene = random_gene(FAMILY, generator)
    target = FAMILY.with_depth(5)
    model = initialized(target, gene)
    for name, shape in target.block_shapes().items():
        templates = gene.tensors[f"templates/{name}"]
        base, slope = torch.zeros(shape), torch.zeros(shape)
        if len(shape) == 2:
            rows, columns = shape[0] // 8, shape[1] // 8
            for position in range(rows * columns):
                i, j = divmod(position, columns)
                base[8 * i : 8 * i + 8, 8 * j : 8 * j + 8] = templates[2 * position]
                slope[8 * i : 8 * i + 8, 8 * j : 8 * j + 8] = templates[2 * position + 1]
        else:
            base, slope = templates[0].view(shape), templates[1].view(shape)
        for layer in range(5):
            torch.testing.assert_close(model.get_parameter(f"blocks.{layer}.{name}"), base + layer / 4 * slope)


@pytest.mark.parametrize("size", [8, 4])
@pytest.mark.parametrize("inheritance", ["padding", "interpolate"])
def test_an_evenly_widened_model_computes_the_same(size: int, inheritance: str, generator: torch.Generator) -> None:
    """Net2Net: three times the width, the same function, whatever the side of the templates."""
    gene = random_gene(replace(FAMILY, irpe=False), generator, size=size)
    narrow = replace(FAMILY, depth=3, irpe=False)
    wide = replace(narrow, width=24, heads=6)
    images = torch.randn(4, 1, 6, 6, generator=generator)
    torch.testing.assert_close(
        initialized(wide, gene, inheritance=inheritance, width_noise=0.0)(images),
        initialized(narrow, gene, inheritance=inheritance)(images),
        rtol=1e-4,
        atol=1e-4,
    )


@pytest.mark.parametrize(("size", "width"), [(8, 16), (8, 24), (4, 16)])
def test_opposed_noise_tells_copies_apart_and_computes_the_same(
    size: int, width: int, generator: torch.Generator
) -> None:
    """`width_noise`: every input has copies of equal value, whose columns the noise moves in opposite directions."""
    gene = random_gene(replace(FAMILY, irpe=False), generator, size=size)
    narrow = replace(FAMILY, depth=3, irpe=False)
    wide = replace(narrow, width=width, heads=width // 4)
    noisy = initialized(wide, gene, width_noise=0.5)
    images = torch.randn(4, 1, 6, 6, generator=generator)
    torch.testing.assert_close(noisy(images), initialized(narrow, gene)(images), rtol=1e-3, atol=1e-3)
    hidden = noisy.get_parameter("blocks.1.mlp.fc1.weight").unflatten(0, (-1, 32))
    assert torch.pdist(hidden.detach().flatten(1)).min() > 0.1


def test_scalers_as_eq_7_prints_them_are_not_divided(generator: torch.Generator) -> None:
    gene = random_gene(replace(FAMILY, irpe=False), generator)
    wide = replace(FAMILY, irpe=False, depth=3, width=24, heads=6)
    divided, printed = (initialized(wide, gene, width_scaling=how, width_noise=0.0) for how in ("divide", "none"))
    for name in FAMILY.block_shapes():
        if "rpe_" not in name:
            one, other = (model.get_parameter(f"blocks.1.{name}") for model in (divided, printed))
            torch.testing.assert_close(other, 3 * one if one.dim() == 2 else one)


@pytest.mark.parametrize(
    ("width", "options", "expected"),
    [
        (8, {}, {"scalers"}),
        (16, {}, {"scalers", "non_block"}),
        (16, {"train_non_block": False}, {"scalers"}),
    ],
)
def test_what_scaler_learning_trains(
    width: int,
    options: dict[str, bool],
    expected: set[str],
    generator: torch.Generator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    networks: list[torch.nn.Module] = []
    monkeypatch.setattr(MeteredContext, "train", lambda self, network, recipe: networks.append(network))
    target = replace(FAMILY, depth=2, width=width, heads=width // 4, irpe=False)
    initialized(target, random_gene(replace(FAMILY, irpe=False), generator), learn_scalers=True, **options)
    (network,) = networks
    assert {name.split(".")[0] for name, each in network.named_parameters() if each.requires_grad} == expected


def test_uneven_widths_repeat_blocks_in_order(generator: torch.Generator) -> None:
    gene = random_gene(replace(FAMILY, irpe=False), generator, size=4)
    model = initialized(replace(FAMILY, irpe=False, depth=2, width=12, heads=3), gene, width_noise=0.0)
    templates = gene.tensors["templates/attn.proj.weight"]
    # A 2 x 2 grid of positions becomes 3 x 3: its first column is repeated, so it is halved.
    expected = torch.zeros(12, 12)
    for i in range(3):
        for j in range(3):
            position = (i % 2) * 2 + j % 2
            expected[4 * i : 4 * i + 4, 4 * j : 4 * j + 4] = templates[2 * position] / (1 if j == 1 else 2)
    torch.testing.assert_close(model.get_parameter("blocks.0.attn.proj.weight"), expected)
    key = model.get_parameter("blocks.0.attn.qkv.weight")[12:24]
    own = gene.tensors["templates/attn.qkv.weight"][2 * (2 * 2 + 1)]  # row 2, column 1 of the 6 x 2 grid: a key block
    torch.testing.assert_close(key[:4, 4:8], own)
    torch.testing.assert_close(key[8:, 4:8], own)


def test_interpolation_gives_back_the_auxiliary_model(generator: torch.Generator) -> None:
    gene = random_gene(FAMILY, generator)
    parts = {
        part: {k.split("/", 1)[1]: v for k, v in gene.tensors.items() if k.startswith(part)}
        for part in ("templates", "scalers")
    }
    auxiliary = Expansion(FAMILY, parts["scalers"], parts["templates"]).materialise()
    model = initialized(FAMILY, gene, inheritance="interpolate")
    for name, weight in auxiliary.items():
        torch.testing.assert_close(model.get_parameter(name), weight)


def test_interpolation_over_relative_depth() -> None:
    learned = torch.tensor([0.0, 1.0, 4.0, 9.0]).view(4, 1, 1)
    assert over_relative_depth(learned, 3).flatten().tolist() == [0.0, 2.5, 9.0]
    assert over_relative_depth(learned, 1).flatten().tolist() == [0.0]


def test_noise_breaks_ties_between_repeated_blocks(generator: torch.Generator) -> None:
    gene = random_gene(replace(FAMILY, irpe=False), generator)
    target = replace(FAMILY, irpe=False, depth=2, width=16, heads=4)
    proj = initialized(target, gene, noise=1e-3, width_noise=0.0).get_parameter("blocks.0.attn.proj.weight")
    assert not torch.equal(proj[:8], proj[8:])
    torch.testing.assert_close(proj[:8], proj[8:], atol=0.05, rtol=0)


@pytest.mark.parametrize("classes", [5, 7])
def test_parts_that_are_no_templates_stay_as_they_arrived(classes: int, generator: torch.Generator) -> None:
    """Table 4's rows: other parts are the target's own, also where a model with other classes learns the scalers."""
    parts = ("attention", "norm")
    gene = random_gene(FAMILY, generator, parts=parts)
    target = replace(FAMILY, depth=2, classes=classes)
    own, model = new_model(target, BASE, 0), initialized(target, gene, same_task=classes == 5)
    blocks = {name: weight for name, weight in model.named_parameters() if name.startswith("blocks.")}
    kept = {name for name, weight in blocks.items() if torch.equal(weight, own.get_parameter(name))}
    assert kept == {name for name in blocks if ".mlp." in name or ".proj." in name}
    stored = Wave(WaveOptions(parts=parts)).stored_shapes(target, FAMILY)
    assert not any("mlp" in name or "attn.proj" in name for name in stored)


def test_other_tasks_keep_their_own_head_and_class_token(generator: torch.Generator) -> None:
    gene = random_gene(FAMILY, generator)
    target = replace(FAMILY, depth=2, classes=7, class_token=True)
    own, model = new_model(target, BASE, 0), initialized(target, gene, same_task=False)
    assert torch.equal(model.get_parameter("head.weight"), own.get_parameter("head.weight"))
    assert torch.equal(model.get_parameter("cls_token"), own.get_parameter("cls_token"))
    assert torch.equal(model.get_parameter("pos_embed")[:, 1:], gene.tensors["stem/pos_embed"])


@pytest.mark.parametrize(
    ("target", "size", "reason"),
    [
        (replace(FAMILY, width=4, heads=1), None, "wider than the target"),
        (replace(FAMILY, width=16, heads=2), None, "heads of dimension 4"),
        (replace(FAMILY, width=12, heads=3), 8, "do not tile"),
        (replace(FAMILY, width=12, heads=3), None, None),
    ],
)
def test_targets_that_templates_cannot_make(target: ViTSpec, size: int | None, reason: str | None) -> None:
    answer = Wave(WaveOptions(template_size=size)).supports(target, FAMILY)
    assert answer == reason if reason is None else reason in str(answer)


def test_stem_widening_keeps_the_heads_input_sum(generator: torch.Generator) -> None:
    stem = {"head.weight": torch.randn(5, 8, generator=generator), "norm.bias": torch.arange(8.0)}
    widened = widen_non_block(stem, FAMILY, FAMILY.with_width(20))
    assert widened["norm.bias"].tolist() == [*range(8), *range(8), *range(4)]
    x = torch.randn(8, generator=generator)
    torch.testing.assert_close(widened["head.weight"] @ x.repeat(3)[:20], stem["head.weight"] @ x)
