"""Files of weights of GHN-3: what a plan makes of them, and how published ones are converted."""

from __future__ import annotations

import json
from pathlib import Path

import joblib
import pytest
import timm
import torch
from ghn3_models import small_hypernetwork
from safetensors.torch import load_file, save_file

import learngene_bench
from learngene_bench.baselines.ghn3.initializer import Ghn3
from learngene_bench.baselines.ghn3.layout import CENTRALITY
from learngene_bench.baselines.ghn3.network import Hypernetwork
from learngene_bench.cli.main import run_command
from learngene_bench.config.loader import load_preset
from learngene_bench.planning.plan import Plan
from learngene_bench.planning.planner import make_plan
from learngene_bench.planning.request import build_request
from learngene_bench.plugins.registry import Registry
from learngene_bench.util.errors import UserError


@pytest.fixture
def hypernetwork() -> Hypernetwork:
    return small_hypernetwork()


@pytest.fixture
def weights(hypernetwork: Hypernetwork, tmp_path: Path) -> Path:
    path = tmp_path / "weights.safetensors"
    save_file(hypernetwork.state_dict(), path)
    return path


def test_on_a_model_of_ones_own(weights: Path) -> None:
    """The library initializes timm's plain DeiT; sizes are the file's."""
    arguments = {"img_size": 12, "patch_size": 4, "in_chans": 1, "num_classes": 5}
    model = timm.create_model("deit_tiny_patch16_224", **arguments, depth=2, embed_dim=24, num_heads=3)
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    report = learngene_bench.initialize(model, "ghn3", weights=weights, seed=3)
    assert report.unchanged == ("cls_token",)
    assert torch.equal(model.pos_embed[:, 0], before["pos_embed"][:, 0])
    with pytest.raises(UserError, match=r"ghn3 trains to make its gene \(hypernetwork\), on data that are missing"):
        learngene_bench.initialize(model, "ghn3")


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
    assert {(cell.title, cell.prepare_epochs, cell.parameters.stored) for cell in plan.cells} == {
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
    arguments = [
        "run",
        "--executor",
        "inline",
        "--method",
        "ghn3",
        "--set",
        f"ghn3.weights={weights}",
        "--runs",
        str(tmp_path / "runs"),
    ]
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
