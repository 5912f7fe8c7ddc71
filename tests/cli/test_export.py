"""`lgbench export`: timm alone loads what was measured, and measures the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from torch import nn

from learngene_bench.cli.main import run_command
from learngene_bench.plugins.registry import dataset
from learngene_bench.runs.listing import find_one_finished
from learngene_bench.runs.store import Runs
from learngene_bench.util.errors import UserError

pytestmark = pytest.mark.slow

QUICK = ["--quick", "--executor", "inline", "--set", "grid.depths=[4,5]"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """wave and he at two depths; he once with a class token and once with iRPE."""
    folder = tmp_path_factory.mktemp("export") / "runs"
    for arguments in (
        ["-m", "wave,he"],
        ["-m", "he", "--set", "model.class_token=true", "--set", "finetuning.learning_rate=4e-4"],
        ["-m", "he", "--set", "model.irpe=true", "--set", "finetuning.learning_rate=3e-4"],
    ):
        assert run_command(["run", "--runs", str(folder), *QUICK, *arguments]) == 0
    return folder


def record_of(runs: Path, query: str) -> dict[str, Any]:
    return json.loads(find_one_finished(Runs(runs), query).result.read_text())


def address_of(runs: Path, method: str, **target: object) -> str:
    """Returns the address of the cell of this method with such a target."""
    for path in runs.glob("cell/*/result.json"):
        record = json.loads(path.read_text())
        cell = record["cell"]
        if cell["method"] == method and all(cell["target"][name] == value for name, value in target.items()):
            return record["address"]
    raise AssertionError(target)


def loaded_by_timm(path: Path) -> tuple[nn.Module, dict[str, Any]]:
    description = json.loads(path.with_suffix(".json").read_text())
    model = timm.create_model(description["architecture"], checkpoint_path=str(path), **description["kwargs"])
    return model.eval(), description


def accuracy(model: nn.Module, description: dict[str, Any]) -> float:
    """Top-1 in percent on the test digits of the preset, computed without the suite's own loop."""
    from learngene_bench.config.loader import load_preset

    test = dataset(load_preset("digits").data).load().test
    mean, std = (np.array(description["input"][name]).reshape(1, -1, 1, 1) for name in ("mean", "std"))
    images = torch.from_numpy((test.images / 255.0 - mean) / std).float()
    with torch.no_grad():
        return 100 * float((model(images).argmax(-1).numpy() == test.labels).mean())


@pytest.mark.parametrize("weights", ["finetuned", "initial"])
@pytest.mark.parametrize(("method", "target"), [("wave", {}), ("he", {"class_token": True})])
def test_timm_measures_what_the_record_says(
    method: str, target: dict[str, Any], weights: str, runs: Path, tmp_path: Path
) -> None:
    address = address_of(runs, method, depth=5, **target)
    record = record_of(runs, address[:12])
    before = sorted(path.name for path in find_one_finished(Runs(runs), address).path.iterdir())
    path = tmp_path / "model.safetensors"
    initial = ["--initial"] * (weights == "initial")
    assert run_command(["export", address[:12], "--runs", str(runs), "-o", str(path), *initial]) == 0
    model, description = loaded_by_timm(path)
    assert description["cell"]["weights"] == weights
    expected = record["initial_metrics" if initial else "metrics"]["top1"]
    assert accuracy(model, description) == pytest.approx(expected)
    # The line that a user copies.
    copied = eval(description["python"].replace('"model.safetensors"', repr(str(path))), {"timm": timm}).eval()
    images = torch.randn(3, 1, 12, 12)
    torch.testing.assert_close(copied(images), model(images), rtol=0, atol=0)
    assert sorted(path.name for path in find_one_finished(Runs(runs), address).path.iterdir()) == before


# timm builds ConvNeXts of four stages only.
FAMILIES = {"swin": [], "convnext": ["--set", "model.stage_ratio=[1,1,1,1]", "--set", "model.patch_size=1"]}


@pytest.mark.parametrize("family", FAMILIES)
def test_models_of_several_stages_are_exported_and_analyzed(
    family: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs, path = tmp_path / "runs", tmp_path / "model.safetensors"
    settings = ["--set", f"model.family={family}", "--set", "grid.depths=[6]", *FAMILIES[family]]
    run = ["run", "-m", "he", "--quick", "--executor", "inline", "--runs", str(runs), *settings]
    assert run_command(run) == 0
    assert run_command(["export", "he", "--runs", str(runs), "-o", str(path)]) == 0
    model, description = loaded_by_timm(path)
    assert accuracy(model, description) == pytest.approx(record_of(runs, "he")["metrics"]["top1"])
    copied = eval(description["python"].replace('"model.safetensors"', repr(str(path))), {"timm": timm}).eval()
    images = torch.randn(3, 1, 12, 12)
    torch.testing.assert_close(copied(images), model(images), rtol=0, atol=0)

    analyze = ["--runs", str(runs), "-o", str(tmp_path / "analysis")]
    assert run_command(["analyze", "similarity", "he", "--images", "8", *analyze]) == 0
    assert run_command(["analyze", "copies", "he", *analyze]) == 0
    assert {file.stem for file in (tmp_path / "analysis").iterdir()} == {"similarity", "copies"}
    capsys.readouterr()
    assert run_command(["analyze", "attention-maps", "he", *analyze]) == 2
    refused = capsys.readouterr().err
    assert f"not for the family {family}, to which linear-structure, copies and similarity apply" in refused


def test_initial_weights_are_those_of_the_record(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from safetensors.torch import load_file

    from learngene_bench.runs.tensors import describe

    path = tmp_path / "model.safetensors"
    assert run_command(["export", "wave", "depth", "4", "--runs", str(runs), "-o", str(path), "--initial"]) == 0
    assert capsys.readouterr().err == ""
    described = describe(load_file(path))
    assert described["sha256"] == record_of(runs, "wave depth 4")["initial_weights"]["sha256"]
    statistics = find_one_finished(Runs(runs), "wave depth 4").initial_weights
    assert described["tensors"] == json.loads(statistics.read_text(encoding="utf-8"))


@pytest.mark.parametrize("initial", [[], ["--initial"]])
def test_a_full_disk_is_one_line(
    runs: Path, small_disk: Path, initial: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    (small_disk / "other").write_bytes(bytes(590_000))
    path = small_disk / "model.safetensors"
    assert run_command(["export", "wave", "depth", "4", "--runs", str(runs), "-o", str(path), *initial]) == 2
    reason = "cannot be written: No space left on device; what is done is kept, run again when it can be"
    assert capsys.readouterr().err == f"lgbench: {path}: {reason}\n"
    assert [other.name for other in small_disk.iterdir()] == ["other"]


def test_cells_are_found_by_words_and_addresses(runs: Path) -> None:
    folder = find_one_finished(Runs(runs), "wave micro depth 5 seed 0")
    assert find_one_finished(Runs(runs), folder.address[:6]) == folder
    assert find_one_finished(Runs(runs), "wave 5") == folder


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["wave"], "'wave' fits 2 cells, which differ in depth (4 or 5): "),
        (["ligo"], "no cell fits 'ligo': unknown word 'ligo' (valid: cell, digits, he, micro, wave)"),
        (
            ["wave", "4", "-o", "model.pt"],
            "model.pt: timm knows the format by the name, which must end in .safetensors",
        ),
        (["wave", "4", "--runs", "nowhere"], "nowhere: no cells here (lgbench run --runs nowhere makes some)"),
        (["wave", "4", "-o", "file/model.safetensors"], "cannot be written"),
    ],
)
def test_mistakes(
    arguments: list[str], message: str, runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    output = ["-o", "model.safetensors"] if "-o" not in arguments else []
    folder = ["--runs", str(runs)] if "--runs" not in arguments else []
    assert run_command(["export", *arguments, *output, *folder]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 1
    assert [path.name for path in Path().iterdir()] == ["file"]


def test_a_file_beside_the_weights_that_nobody_named_stays(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    export = ["export", "wave", "4", "--runs", str(runs), "-o", "config.safetensors"]
    for theirs in ('{"architecture": "mine"}', "[]", "no JSON"):
        Path("config.json").write_text(theirs)
        assert run_command(export) == 2
        assert capsys.readouterr().err == (
            "lgbench: config.json: would be replaced, and is not of an export: choose another name with --output\n"
        )
        assert {path.name: path.read_text() for path in Path().iterdir()} == {"config.json": theirs}
    Path("config.json").unlink()
    assert [run_command(export), run_command(export)] == [0, 0]  # its own is replaced


def test_a_cell_that_is_not_done(runs: Path, tmp_path: Path) -> None:
    unfinished = tmp_path / "cell" / find_one_finished(Runs(runs), "wave 4").path.name
    unfinished.mkdir(parents=True)
    (unfinished / "config.json").write_text((find_one_finished(Runs(runs), "wave 4").path / "config.json").read_text())
    with pytest.raises(
        UserError, match=r"wave micro depth 4 seed 0: not done \(waiting\), so there is no record or model of it yet"
    ):
        find_one_finished(Runs(tmp_path), "wave")


def test_irpe_is_told(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    address, path = address_of(runs, "he", depth=4, irpe=True), tmp_path / "model.safetensors"
    assert run_command(["export", address[:12], "--runs", str(runs), "-o", str(path)]) == 2
    error = capsys.readouterr().err
    assert "timm has no iRPE, so it cannot load this model; its weights are in " in error
    assert Path(error.split()[-1]).is_file()
    assert not path.exists()


def test_a_damaged_model_is_named(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept = find_one_finished(Runs(runs), "wave 4").path / "model.safetensors"
    content = kept.read_bytes()
    try:
        kept.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        output = ["-o", str(tmp_path / "model.safetensors")]
        assert run_command(["export", "wave", "4", "--runs", str(runs), *output]) == 2
        assert f"{kept}: damaged" in capsys.readouterr().err
        assert not list(tmp_path.iterdir())
    finally:
        kept.write_bytes(content)


def test_images_of_any_size_give_the_recorded_number(tmp_path: Path) -> None:
    """Files alone are needed: timm's own transform, the exported weights, the names of the classes."""
    runs, path, generator = tmp_path / "runs", tmp_path / "model.safetensors", np.random.default_rng(0)
    for label, name in enumerate(["ant", "bee", "cat"]):
        for number in range(30):
            file = tmp_path / "images" / name / f"{number}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            colors = generator.integers(0, 256, (5, 4, 3)).astype(np.uint8)
            colors[..., label] = 0.85 * colors[..., label]
            Image.fromarray(colors).resize((17 + number, 40 - number), Image.Resampling.BICUBIC).save(file)
    settings = {"name": "imagefolder", "root": str(tmp_path / "images"), "image_size": 12}
    settings |= {"crop": 0.75, "test_fraction": 0.6}
    given = [word for name, value in settings.items() for word in ("--set", f"data.{name}={value}")]
    run = ["run", "-m", "he", "--runs", str(runs), "--executor", "inline", "--set", "grid.depths=[2]", *given]
    assert run_command([*run, "--set", "finetuning.epochs=3", "--set", "finetuning.batch_size=8"]) == 0
    assert run_command(["export", "he", "--runs", str(runs), "-o", str(path)]) == 0
    model, description = loaded_by_timm(path)
    transform = timm.data.create_transform(**description["transform"])
    correct = []
    for file in dataset(settings)._listing.test:
        image = Image.open(tmp_path / "images" / file.name).convert("RGB")
        with torch.no_grad():
            answer = description["class_names"][int(model(transform(image)[None]).argmax())]
        correct.append(answer == Path(file.name).parts[0])
    assert len(correct) == 54
    assert 100 * np.mean(correct) == pytest.approx(record_of(runs, "he")["metrics"]["top1"])
    assert 40 < 100 * np.mean(correct) < 100
