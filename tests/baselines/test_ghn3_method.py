"""GHN-3 as a method: what it leaves alone, its training, the files that its weights come from."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import joblib
import numpy as np
import pytest
import timm
import torch
import torch.nn.functional as F
from ghn3_models import KINDS, SMALL, TINY, small_hypernetwork
from safetensors.torch import load_file, save_file
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torch.func import functional_call

import learngene_bench
from learngene_bench.baselines.ghn3.graph import graph_of
from learngene_bench.baselines.ghn3.initializer import Ghn3, Ghn3Options
from learngene_bench.baselines.ghn3.layout import CENTRALITY, Layout
from learngene_bench.baselines.ghn3.meta_batch import PENALTY, Family, MetaBatch, start_at_unit_variance
from learngene_bench.baselines.ghn3.network import Hypernetwork
from learngene_bench.baselines.ghn3.prediction import NOISE, predict
from learngene_bench.cli.main import run_command
from learngene_bench.config.loader import load_preset
from learngene_bench.config.preset import BaseInitialization, Compute
from learngene_bench.config.recipe import Recipe
from learngene_bench.contracts.context import TrainResult
from learngene_bench.contracts.gene import Gene
from learngene_bench.data.batch_augment import DeviceImages, Normalization
from learngene_bench.data.splits import Images
from learngene_bench.models.vit import ViTSpec
from learngene_bench.models.weights import build_model
from learngene_bench.planning.plan import Plan
from learngene_bench.planning.planner import make_plan
from learngene_bench.planning.request import build_request
from learngene_bench.plugins.registry import Registry
from learngene_bench.training.context import MeteredContext
from learngene_bench.training.loop import train
from learngene_bench.training.run import TrainingRun
from learngene_bench.util.errors import UserError
from learngene_bench.util.rng import RngStreams


@pytest.fixture
def hypernetwork() -> Hypernetwork:
    return small_hypernetwork()


@pytest.fixture
def weights(hypernetwork: Hypernetwork, tmp_path: Path) -> Path:
    path = tmp_path / "weights.safetensors"
    save_file(hypernetwork.state_dict(), path)
    return path


def context(seed: int = 0, *, same_task: bool = True) -> MeteredContext:
    base = BaseInitialization(weight_init="xavier", position_std=0.5)
    return MeteredContext(seed, torch.device("cpu"), Compute(), base, same_task=same_task)


# --- As an initializer ---


def gene_of(hypernetwork: Hypernetwork, family: ViTSpec = TINY) -> Gene:
    return Gene("ghn3", family, {name: tensor.detach() for name, tensor in hypernetwork.state_dict().items()})


def initialized(gene: Gene, target: ViTSpec, where: MeteredContext) -> tuple[VisionTransformer, dict[str, Tensor]]:
    """A target after the method, and its weights before."""
    model = build_model(target)
    before = where.base_weights(target)
    model.load_state_dict(before)
    Ghn3(Ghn3Options()).initialize(model, target, gene, where)
    return model, before


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_not_in_the_graph_keeps_the_base_initialization(hypernetwork: Hypernetwork, kind: str) -> None:
    target = replace(KINDS[kind], depth=2)
    model, before = initialized(gene_of(hypernetwork), target, context())
    kept = {name for name, parameter in model.named_parameters() if torch.equal(parameter, before[name])}
    assert kept == {name for name in before if "rpe_" in name or name == "cls_token"}
    if target.class_token:
        assert torch.equal(model.pos_embed[:, 0], before["pos_embed"][:, 0])
        assert not torch.equal(model.pos_embed[:, 1], before["pos_embed"][:, 1])
    assert all(parameter.is_leaf and parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize(("classes", "same_task"), [(5, False), (7, True), (7, False)])
def test_the_head_of_another_task_keeps_the_base_initialization(
    hypernetwork: Hypernetwork, classes: int, same_task: bool
) -> None:
    """And all else is predicted as if it had the classes that the hypernetwork knows."""
    own, _ = initialized(gene_of(hypernetwork), TINY, context())
    model, before = initialized(gene_of(hypernetwork), replace(TINY, classes=classes), context(same_task=same_task))
    for name, parameter in model.named_parameters():
        expected = before[name] if name.startswith("head.") else own.get_parameter(name)
        torch.testing.assert_close(parameter, expected, rtol=0, atol=1e-6)


def test_noise_tells_tiled_copies_apart_and_is_all_that_the_seed_changes(hypernetwork: Hypernetwork) -> None:
    gene = gene_of(hypernetwork)
    models = [initialized(gene, TINY, context(seed))[0].requires_grad_(False) for seed in (0, 1)]
    rows = models[0].get_parameter("blocks.0.mlp.fc1.weight")
    apart = (rows[0] - rows[16]).abs().max()
    assert 0 < float(apart) < 10 * NOISE
    for (name, one), other in zip(models[0].named_parameters(), models[1].parameters(), strict=True):
        noisy = one.dim() > 1 and name.startswith(("blocks.", "patch_embed."))
        assert torch.equal(one, other) != noisy, name
        if noisy:
            assert float((one - other).std()) == pytest.approx(math.sqrt(2) * NOISE, rel=0.2)


def test_on_a_model_of_ones_own(weights: Path) -> None:
    """Without the benchmark, on timm's plain DeiT; sizes are the file's."""
    arguments = {"img_size": 12, "patch_size": 4, "in_chans": 1, "num_classes": 5}
    model = timm.create_model("deit_tiny_patch16_224", **arguments, depth=2, embed_dim=24, num_heads=3)
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    report = learngene_bench.initialize(model, "ghn3", weights=weights, seed=3)
    assert report.kept == ("cls_token",)
    assert torch.equal(model.pos_embed[:, 0], before["pos_embed"][:, 0])
    with pytest.raises(UserError, match=r"ghn3 trains to make its gene \(hypernetwork\), on data that are missing"):
        learngene_bench.initialize(model, "ghn3")


# --- Training ---


def test_the_loss_is_the_mean_over_models_of_cross_entropy_and_norms(hypernetwork: Hypernetwork) -> None:
    family = Family(replace(TINY, class_token=True))
    network = MetaBatch(hypernetwork, family, 3)
    network.sample_step(torch.Generator().manual_seed(0))
    images, labels = torch.randn(6, 1, 12, 12), torch.arange(6) % 5
    expected = torch.zeros(())
    for spec in network.drawn:
        (weights,) = predict(hypernetwork, [graph_of(spec)]).weights
        model = build_model(spec)
        zeros = {"cls_token": torch.zeros(1, 1, spec.width)}
        weights = {**weights, **zeros, "pos_embed": F.pad(weights["pos_embed"], (0, 0, 1, 0))}
        logits = functional_call(model, weights, (images,))
        norms = sum(weight.norm() for weight in weights.values())
        expected = expected + (F.cross_entropy(logits, labels, label_smoothing=0.1) + PENALTY * norms) / 3
    loss = network(images, labels, 0.1)
    torch.testing.assert_close(loss, expected, rtol=1e-4, atol=1e-5)
    flops, _ = network.step_flops()
    assert flops == sum(spec.forward_flops() for spec in network.drawn)
    loss.backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_models_are_drawn_around_the_base() -> None:
    base = ViTSpec(depth=12, width=384, heads=6, patch_size=16, image_size=224, irpe=True)
    drawn = Family(base).draw(500, torch.Generator().manual_seed(0))
    assert {spec.depth for spec in drawn} == set(range(3, 13))
    assert {spec.width for spec in drawn} == {192, 256, 320, 384, 448, 512, 576}
    assert all((spec.head_dimension, spec.irpe, spec.mlp_ratio) == (64, False, 4.0) for spec in drawn)


def test_training_here_starts_with_matrices_of_variance_two_over_fan_in() -> None:
    torch.manual_seed(0)
    hypernetwork = Hypernetwork(Layout(hidden=24, layers=1, heads=4, classes=5, channels=24))
    start_at_unit_variance(hypernetwork, Family(TINY))
    with torch.no_grad():
        (weights,) = predict(hypernetwork, [graph_of(TINY)]).weights
    for name, weight in weights.items():
        if weight.dim() == 2:
            assert float(weight.var()) == pytest.approx(2 / weight.shape[1], rel=0.4), name


def some_images() -> DeviceImages:
    generator = np.random.default_rng(0)
    labels = np.arange(40) % 5
    images = generator.integers(0, 60, (40, 1, 12, 12)) + labels[:, None, None, None] * 40
    return DeviceImages(Images(images.astype(np.uint8), labels), Normalization((0.4,), (0.3,)), torch.device("cpu"))


class Killed(Exception):
    pass


def run(checkpoint: Path | None = None, kill_at: int | None = None) -> tuple[dict[str, Tensor], TrainResult]:
    torch.manual_seed(0)
    network = MetaBatch(Hypernetwork(SMALL), Family(TINY, depths=(1, 2)), 2, drop_path=0.2)
    steps = 0

    def step(module: nn.Module, _: object) -> None:
        nonlocal steps
        steps += module.training
        if module.training and steps == kill_at:
            raise Killed

    network.register_forward_pre_hook(step)
    recipe = Recipe(iterations=8, batch_size=10, learning_rate=1e-3, grad_clip_norm=5.0, mixup=0.8, label_smoothing=0.1)
    phase = TrainingRun("hypernetwork", RngStreams(0), Compute(checkpoint_seconds=1e-9), 5, checkpoint=checkpoint)
    trained = train(network, some_images(), recipe, phase)
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}, trained


def test_a_killed_training_continues_to_the_same_bits_and_the_same_cost(tmp_path: Path) -> None:
    expected, whole = run()
    for kill_at in (6, 2):
        with pytest.raises(Killed):
            run(tmp_path / "checkpoint.pt", kill_at)
    weights, continued = run(tmp_path / "checkpoint.pt")
    assert all(torch.equal(weights[name], expected[name]) for name in expected)
    assert continued.curve == whole.curve
    assert (continued.cost.flops, continued.cost.images) == (whole.cost.flops, whole.cost.images)
    assert whole.cost.images == 80
    assert whole.cost.flops > 3 * 80 * 2 * replace(TINY, depth=1, width=16, heads=2).forward_flops()


# --- Files of weights, and what a plan makes of them ---


def plan_of(*settings: str, methods: str = "ghn3") -> Plan:
    return make_plan(build_request(methods, "depth", "digits", 1, list(settings), Registry(), False))


def test_addresses_depend_on_what_is_in_the_file_and_not_on_where_it_lies(weights: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere.safetensors"
    elsewhere.write_bytes(weights.read_bytes())
    one, same = plan_of(f"ghn3.weights={weights}"), plan_of(f"ghn3.weights={elsewhere}")
    assert one.stages.keys() == same.stages.keys()
    assert str(tmp_path) not in "".join(f"{stage.config}{stage.label}" for stage in one.stages.values())
    tensors = load_file(weights)
    save_file({**tensors, "ln.bias": tensors["ln.bias"] + 1}, weights)
    other = plan_of(f"ghn3.weights={weights}")
    assert not other.stages.keys() & same.stages.keys()
    assert other.methods[0].variant != same.methods[0].variant


def test_rows_say_whether_the_weights_are_published_ones(weights: Path) -> None:
    plan = plan_of(methods=f"ghn3,ghn3:weights={weights}")
    titles = {(row.title, row.group, row.variant == "") for row in plan.methods}
    assert titles == {("GHN-3-style, trained here", "direct", True), ("GHN-3, published weights", "direct", False)}
    assert {(cell.method.title, cell.prepare_epochs, cell.stored_parameters) for cell in plan.cells} == {
        ("GHN-3-style, trained here", plan.preset.recipes["hypernetwork"].epochs, 0),
        ("GHN-3, published weights", None, 0),
    }


def test_a_preset_without_the_recipe_trains_by_that_of_condensation() -> None:
    preset = load_preset("digits")
    without = {name: recipe for name, recipe in preset.recipes.items() if name != "hypernetwork"}
    bare = preset.model_copy(update={"recipes": without})
    assert bare.recipe_of("hypernetwork", 48, Ghn3.recipe_fallbacks) == preset.recipes["condensation"]
    assert preset.recipe_of("hypernetwork", 48).meta_batch_size == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("ln.bias"), "ln.bias has shape None, needed is (16,)"),
        (lambda t: t.update({"more": torch.zeros(2)}), "more has shape (2,), needed is None"),
        (lambda t: t.update({"ln.bias": torch.zeros(3)}), "ln.bias has shape (3,), needed is (16,)"),
        (lambda t: t.pop("embed.weight"), "embed.weight is missing"),
        (lambda t: t.update({"ln.bias": torch.zeros(16, dtype=torch.int64)}), "numbers of type F32, I64"),
    ],
)
def test_another_file_is_refused_in_one_line(
    weights: Path, capsys: pytest.CaptureFixture[str], change: object, message: str
) -> None:
    tensors = load_file(weights)
    change(tensors)  # type: ignore[operator]
    save_file(tensors, weights)
    assert run_command(["plan", "--method", "ghn3", "--set", f"ghn3.weights={weights}"]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"lgbench: ghn3.weights: {weights}: not the weights of a GHN-3: ")
    assert message in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("content", [None, b"no weights", b""])
def test_a_file_that_is_none_is_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes | None
) -> None:
    path = tmp_path / "weights.safetensors"
    if content is not None:
        path.write_bytes(content)
    assert run_command(["plan", "--method", "ghn3", "--set", f"ghn3.weights={path}"]) == 2
    error = capsys.readouterr().err
    assert str(path) in error
    assert error.count("\n") == 1


@pytest.mark.slow
def test_a_run_with_weights_from_a_file(weights: Path, tmp_path: Path) -> None:
    """Its record says what the weights are and what they left alone; another file in its place is not taken for it."""
    arguments = ["run", "--method", "ghn3", "--set", f"ghn3.weights={weights}", "--runs", str(tmp_path / "runs")]
    arguments += ["--quick", "--set", "model.class_token=true", "--set", "grid.depths=[1]"]
    assert run_command(arguments) == 0
    (path,) = (tmp_path / "runs" / "cell").glob("*/result.json")
    record = json.loads(path.read_text())
    assert record["cell"]["title"] == "GHN-3, published weights"
    assert record["base_tensors"] == ["cls_token", "head.weight", "head.bias"]  # the file's task has 5 classes
    (path,) = (tmp_path / "runs" / "gene").glob("*/config.json")
    config = json.loads(path.read_text())
    (found,) = config["config"]["files"].values()
    assert config["execution"]["files"][found] == str(weights)
    rerun = ["rerun", record["address"][:8], "--runs", str(tmp_path / "runs"), "--output"]
    assert run_command([*rerun, str(tmp_path / "again")]) == 0
    save_file({name: tensor + 1 for name, tensor in load_file(weights).items()}, weights)
    assert run_command([*rerun, str(tmp_path / "of-another-file")]) == 2
    assert run_command([*rerun, str(tmp_path / "with-its-gene"), "--keep-inputs"]) == 0


def as_published(hypernetwork: Hypernetwork, path: Path, *, old: bool = False) -> None:
    """A bare state dict; the first had pointwise convolutions, the authors' trainer keeps some names elsewhere."""
    state = dict(hypernetwork.state_dict())
    if old:
        for name in ("decoder.conv.0.weight", "decoder.conv.2.weight", "decoder.class_layer_predictor.1.weight"):
            state[name] = state[name][:, :, None, None]
        for name in CENTRALITY:
            state[f"gnn.0.{name}.weight"] = state.pop(f"{name}.weight")
    joblib.dump(state, path)


@pytest.mark.parametrize("old", [False, True])
def test_a_published_file_makes_the_round_trip(hypernetwork: Hypernetwork, tmp_path: Path, old: bool) -> None:
    path = tmp_path / "ghn3tm8.pt"
    as_published(hypernetwork, path, old=old)
    assert run_command(["gene", "convert-ghn3", str(path), "--trust"]) == 0
    converted = load_file(path.with_suffix(".safetensors"))
    assert all(torch.equal(converted[name], tensor) for name, tensor in hypernetwork.state_dict().items())
    assert converted.keys() == hypernetwork.state_dict().keys()
    assert plan_of(f"ghn3.weights={path.with_suffix('.safetensors')}").methods[0].title == "GHN-3, published weights"


class Hostile:
    """Does what it likes when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> object:
        return (Path.touch, (self.mark,))


def test_nothing_is_unpickled_without_trust(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, mark = tmp_path / "hostile.pt", tmp_path / "ran"
    joblib.dump(Hostile(mark), path)
    assert run_command(["gene", "convert-ghn3", str(path)]) == 2
    assert "to read a pickle is to run the code in it" in capsys.readouterr().err
    assert not mark.exists()
    assert run_command(["gene", "convert-ghn3", str(path), "--trust"]) == 2  # it ran, and still is no state dict
    assert mark.exists()
    assert "holds an object of type NoneType, not a state dict" in capsys.readouterr().err
    assert not list(tmp_path.glob("*.safetensors"))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda state: {**state, "more": "text"}, "entry 'more' is no tensor of floats, but a str"),
        (lambda state: {**state, "ln.bias": torch.full((16,), float("nan"))}, "numbers in ln.bias are not finite"),
        (lambda state: {"ln.bias": torch.zeros(16)}, "embed.weight is missing"),
        (lambda state: [state], "holds an object of type list"),
    ],
)
def test_what_is_no_state_dict_is_not_converted(
    hypernetwork: Hypernetwork, tmp_path: Path, capsys: pytest.CaptureFixture[str], make: object, message: str
) -> None:
    path = tmp_path / "file.pt"
    joblib.dump(make(dict(hypernetwork.state_dict())), path)  # type: ignore[operator]
    assert run_command(["gene", "convert-ghn3", str(path), "--trust"]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not list(tmp_path.glob("*.safetensors"))


def test_conversion_overwrites_nothing(hypernetwork: Hypernetwork, weights: Path, tmp_path: Path) -> None:
    path, before = tmp_path / "weights.pt", weights.read_bytes()
    as_published(hypernetwork, path)
    assert run_command(["gene", "convert-ghn3", str(path), "--trust"]) == 2
    assert run_command(["gene", "convert-ghn3", str(path), "--trust", "-o", str(tmp_path / "other.pt")]) == 2
    assert weights.read_bytes() == before
    assert run_command(["gene", "convert-ghn3", str(path), "--trust", "-o", str(tmp_path / "x.safetensors")]) == 0
