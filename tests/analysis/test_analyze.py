"""`lgbench analyze`: pictures and numbers from the models of a real run, and one line for what is not there."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import pytest
from PIL import Image

from learngene_bench.cli.main import run_command
from learngene_bench.runs.listing import find_one_finished
from learngene_bench.runs.store import Runs, StageFolder
from learngene_bench.schema.base import write
from learngene_bench.schema.record import CellRecord
from learngene_bench.schema.stage import stage_address

pytestmark = pytest.mark.slow

KINDS = {
    "attention-structure": "attention-structure",
    "linear-structure": "linear-structure",
    "copies": "copies",
    "attention-maps": "attention-maps-cam",
    "similarity": "similarity",
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """telg, mimetic and he at two depths, a few steps of everything."""
    folder = tmp_path_factory.mktemp("analyze") / "runs"
    options = ["--quick", "--executor", "inline", "--set", "grid.depths=[4,5]"]
    assert run_command(["run", "--runs", str(folder), "-m", "telg,mimetic,he", *options]) == 0
    return folder


@pytest.fixture
def own(trained: Path, tmp_path: Path) -> Path:
    """A copy, to be damaged."""
    return shutil.copytree(trained, tmp_path / "own")


def analyze(runs: Path, output: Path, *arguments: str) -> int:
    return run_command(["analyze", *arguments, "--runs", str(runs), "-o", str(output)])


def failure(capsys: pytest.CaptureFixture[str], runs: Path, *arguments: str) -> str:
    """The one line of what goes wrong; nothing is written."""
    output = runs.parent / "nothing"
    capsys.readouterr()
    assert analyze(runs, output, *arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("lgbench: ")
    assert error.count("\n") == 1
    assert not output.exists()
    return error


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def cell(runs: Path, query: str) -> StageFolder:
    return find_one_finished(Runs(runs), query)


@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_and_its_numbers_the_same_every_time(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    few = ["--images", "8"] if kind in ("attention-maps", "similarity") else []
    for folder in ("one", "two"):
        assert analyze(trained, tmp_path / folder, kind, "telg depth 4", "he depth 4", *few) == 0
    printed = capsys.readouterr().out
    assert all(title in printed for title in ("TELG", "He-Init"))
    names = {f"{KINDS[kind]}{suffix}" for suffix in (".png", ".pdf", ".csv")}
    assert {path.name for path in (tmp_path / "one").iterdir()} == names
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    width, height = Image.open(tmp_path / "one" / f"{KINDS[kind]}.png").size
    assert width == 2100
    assert height < 3300
    found = rows(tmp_path / "one" / f"{KINDS[kind]}.csv")
    assert {row["cell"] for row in found} == {f"{method} micro depth 4 seed 0" for method in ("telg", "he")}


def test_telg_is_linear_and_mimetic_diagonal(trained: Path, tmp_path: Path) -> None:
    assert analyze(trained, tmp_path, "linear-structure", "telg depth 5", "he depth 5") == 0
    values = {
        (row["cell"].split()[0], row["component"], row["measure"], row["principal_component"]): float(row["value"])
        for row in rows(tmp_path / "linear-structure.csv")
        if row["measure"] in ("r2", "linear_variance", "explained_variance")
    }
    for component in ("attn.qkv.weight", "attn.proj.weight", "mlp.fc1.weight", "mlp.fc2.weight"):
        for measure, number in (("explained_variance", "1"), ("r2", ""), ("linear_variance", "")):
            assert values["telg", component, measure, number] == pytest.approx(1, abs=1e-6)
        assert values["he", component, "explained_variance", "1"] < 0.4

    assert analyze(trained, tmp_path, "attention-structure", "mimetic depth 5", "he depth 5", "--weights", "both") == 0
    found = rows(tmp_path / "attention-structure.csv")
    assert len(found) == 2 * 2 * 5 * (3 + 1)  # cells, weights, layers, heads and block
    for row in found:
        if row["product"] == "value-projection":
            correlation = float(row["identity_correlation"])
            assert correlation < -0.6 if row["cell"].startswith("mimetic") else abs(correlation) < 0.1


def test_maps_of_initialized_and_tuned_models(trained: Path, tmp_path: Path) -> None:
    for seed in ("0", "1"):
        options = ["--weights", "both", "--map", "rollout", "--images", "3", "--split", "validation", "--seed", seed]
        assert analyze(trained, tmp_path / seed, "attention-maps", "he depth 4", *options) == 0
    first, second = (rows(tmp_path / seed / "attention-maps-rollout.csv") for seed in ("0", "1"))
    assert [row["weights"] for row in first] == ["initial"] * 3 + ["finetuned"] * 3
    assert {row["split"] for row in first} == {"validation"}
    assert len({row["class"] for row in first}) == 3
    assert [row["image"] for row in first] != [row["image"] for row in second]
    for row in first:
        values = [float(value) for value in row["values"].split()]
        assert len(values) == 9
        assert sum(values) == pytest.approx(1, abs=1e-4)
        assert max(values) == pytest.approx(float(row["peak"]), rel=1e-4)


def test_similarity_to_another_cells_trained_weights(trained: Path, tmp_path: Path) -> None:
    arguments = ["similarity", "telg depth 4", "he depth 4", "--reference", "he depth 4", "--images", "16"]
    assert analyze(trained, tmp_path, *arguments) == 0
    found = rows(tmp_path / "similarity.csv")
    pairs = list(dict.fromkeys((row["cell"].split()[0], row["trained"].split()[0]) for row in found))
    assert pairs == [("telg", "telg"), ("telg", "he"), ("he", "he")]
    whole = {pair: float(row["cosine"]) for row in found if row["name"] == "matrices" for pair in [row["cell"][:2]]}
    assert whole["he"] > 0.99
    telg = [float(row["cosine"]) for row in found if (row["cell"][:4], row["name"]) == ("telg", "matrices")]
    assert telg[0] > 0.99 > telg[1]
    alignments = [row for row in found if row["level"] == "representation"]
    assert len(alignments) == 3 * 5 * 5
    assert {row["images"] for row in alignments} == {"16"}


def test_what_is_meant_is_not_there(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def said(*arguments: str) -> str:
        return failure(capsys, trained, *arguments)

    assert "did you mean 'attention-maps'" in said("attention-map")
    assert "no cell fits 'tleg micro depth 4 seed 0': unknown word 'tleg': did you mean 'telg'" in said(
        "similarity", "tleg micro depth 4 seed 0"
    )
    assert "--reference is for similarity" in said("attention-maps", "he", "--reference", "he")
    assert "--weights is not for similarity" in said("similarity", "he", "--weights", "both")
    assert "2 cells fit, one is needed" in said("similarity", "telg depth 4", "--reference", "he")
    assert "their weights have other shapes" in said("similarity", "telg depth 4", "--reference", "he depth 5")
    assert "at least 4 images" in said("similarity", "he depth 4", "--images", "3")


def test_no_more_cells_than_can_be_seen(trained: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    runs = Runs(tmp_path / "runs")
    shutil.copytree(trained, runs.root)
    for seed in (7, 8, 9):
        for method in ("telg", "he"):
            one = cell(trained, f"{method} depth 4")
            file, record = one.read_config(), one.read_record(CellRecord)
            config = file.config.model_copy(update={"seed": seed})
            address = stage_address("cell", config, file.inputs)
            copy = runs.folder("cell", address)
            write(copy.config, file.model_copy(update={"address": address, "config": config}))
            write(copy.result, record.model_copy(update={"address": address}))
    assert "12 cells fit, at most 8 fit beside each other" in failure(capsys, tmp_path / "runs", "attention-structure")


def test_files_that_are_gone_or_damaged(own: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    telg, he = cell(own, "telg depth 4"), cell(own, "he depth 4")
    Runs(own).folder("gene", telg.read_config().inputs["gene"]).tensors.unlink()
    error = failure(capsys, own, "attention-structure", "telg depth 4")
    assert "it was initialized from a gene whose file is gone" in error
    assert f'`lgbench rerun "telg micro depth 4 seed 0" --runs {own}` computes it again' in error
    assert analyze(own, tmp_path / "finetuned", "attention-structure", "telg depth 4", "--weights", "finetuned") == 0

    content = (he.path / "model.safetensors").read_bytes()
    (he.path / "model.safetensors").write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert "model.safetensors: damaged (its hash differs)" in failure(capsys, own, "similarity", "he depth 4")
    (he.path / "model.safetensors").unlink()
    assert "model.safetensors is not there, as in a leaderboard; `lgbench rerun" in failure(
        capsys, own, "similarity", "he depth 4"
    )
    he.result.unlink()
    assert "he micro depth 4 seed 0: not done (waiting)" in failure(capsys, own, "similarity", "he depth 4")


def test_a_folder_that_cannot_be_written_to(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("a file")
    assert analyze(trained, tmp_path / "file", "attention-structure", "he depth 4") == 2
    assert "cannot be written" in capsys.readouterr().err
