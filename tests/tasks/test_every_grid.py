"""Every shipped grid, a few steps each, as CI runs them; what transfer hands over.

Every method is computed at the depths of the grid `depth`. Other grids have the methods that they name or one of each
kind, and each method that meets something there that it does not meet in `depth`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from whole_runs import lgbench_here as lgbench

from learngene_bench.config.loader import load_grid, shipped_files
from learngene_bench.planning.plan import Plan
from learngene_bench.planning.planner import make_plan
from learngene_bench.planning.request import build_request
from learngene_bench.plugins.registry import Registry

pytestmark = pytest.mark.slow

KINDS = ("he", "lsuv", "telg", "wave", "weight-selection", "auto-lg", "direct-pt")
"""Methods that draw, look at images, distil, train for each target too, inherit, leave layers free, are pre-trained."""

# As many training images as always and few others, as most of the time would go into measuring on them.
FEW = ("test_digits=100", "validation_digits=440")
TASKS = ("digits-parity", "digits-turned", "digit-scenes")
SMALL = [f"{data}.{few}" for data in ("data", *(f"downstream.tasks.{task}.data" for task in TASKS)) for few in FEW]
SMALL += [f"{data}.placements=1" for data in ("data", *(f"downstream.tasks.{task}.data" for task in TASKS[:2]))]
WIDTH = 16
SMALL += [f"sizes.micro.width={WIDTH}", "model.head_dimension=8"]


def settings_of(grid: str) -> list[str]:
    # Depths of the grid `depth`, whose cells are there: models of twelve layers would take half a minute.
    return [*SMALL, *(["grid.depths=[4,6]"] if grid == "baselines" else [])]


def plan_of(grid: str, methods: str) -> Plan:
    return make_plan(build_request(methods, grid, "digits", 1, settings_of(grid), Registry(), quick=True))


def methods_of(grid: str) -> str:
    """The methods that are computed in a grid, as in `--method`.

    Beside those that it names, or one of each kind, all that need a gene or an ancestor there that `depth` does not
    make, and all that have a target there and none in `depth`.
    """
    if grid == "depth":
        return "all"
    chosen = load_grid(grid).methods or ",".join(KINDS)
    at_depths, every = plan_of("depth", "all"), plan_of(grid, "all")
    supported = {cell.method for cell in at_depths.cells}
    changed = {
        cell.method
        for cell in every.cells
        if cell.method not in supported or set(every.stages[cell.address].inputs.values()) - at_depths.stages.keys()
    }
    return ",".join([chosen, *sorted(changed - {row.method for row in plan_of(grid, chosen).methods})])


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The runs folder that all grids share, as genes and ancestors are the same."""
    folder = tmp_path_factory.mktemp("grids") / "runs"
    for grid in shipped_files("grid"):
        settings = [word for setting in settings_of(grid) for word in ("--set", setting)]
        asked = ["--method", methods_of(grid), "--grid", grid, "--quick", *settings]
        lgbench("run", "--executor", "inline", *asked, "--runs", str(folder))
    return folder


def records(runs: Path) -> dict[Path, dict[str, Any]]:
    """Records of all grids in which each method chooses its own ancestors, by folder."""
    plans = [json.loads(path.read_text()) for path in runs.glob("plans/*.json")]
    chosen = {cell["address"] for plan in plans if plan["grid"] not in ("growth", "shrink") for cell in plan["cells"]}
    found = {path.parent: json.loads(path.read_text()) for path in runs.glob("cell/*/result.json")}
    return {folder: record for folder, record in found.items() if record["address"] in chosen}


def cells(runs: Path) -> list[dict[str, Any]]:
    return list(records(runs).values())


def the_cell(runs: Path, method: str, task: str) -> Path:
    """The folder of a method's six-layer target on a task."""
    (found,) = (
        folder
        for folder, record in records(runs).items()
        if (cell := record["cell"])["method"] == method
        and (cell["variant"], cell["task"]) == ("", task)
        and (cell["target"]["depth"], cell["target"]["width"]) == (6, WIDTH)
        and not {"horizon", "share"} & cell.keys()
    )
    return found


def test_all_methods_stand_in_the_table_of_their_grid(runs: Path) -> None:
    assert not list(runs.glob("*/*/failed.json"))
    report = json.loads(lgbench("report", "--runs", str(runs), "--format", "json").stdout)
    tables = {table["identity"]["grid"]: table for table in report["tables"] if table["kind"] == "metric"}
    assert tables.keys() == set(shipped_files("grid"))
    for grid, table in tables.items():
        asked = {row.method for row in plan_of(grid, methods_of(grid)).methods}
        assert {row["method"] for row in table["data"]} == asked
    computed = {json.loads(path.read_text())["cell"]["method"] for path in runs.glob("cell/*/result.json")}
    assert computed == set(Registry().names())
    # The digits, two of the downstream tasks, and scenes of digits
    assert len({cell["cell"]["task"] for cell in cells(runs)}) == 4


def test_longer_finetuning_begins_with_the_same_weights(runs: Path) -> None:
    """A method of every kind at both horizons: the weights as initialized, and their accuracy."""
    starts: dict[tuple[str, str], list[Any]] = {}
    lengths: dict[tuple[str, str], list[int]] = {}
    for found in cells(runs):
        cell, target = found["cell"], found["cell"]["target"]
        if cell["task"] == "digits" and (target["depth"], target["width"]) == (6, WIDTH):
            key = cell["method"], cell["variant"]
            starts.setdefault(key, []).append((found["initial_weights"], found["initial_metrics"]))
            lengths.setdefault(key, []).append(found["cost"]["finetune"]["iterations"])
    assert all(start == found[0] for found in starts.values() for start in found)
    for method in {*KINDS} - {"direct-pt"}:
        assert {4, 12} <= set(lengths[method, ""])


def test_a_share_of_the_images_is_trained_on_and_recorded(runs: Path) -> None:
    found = [record for record in cells(runs) if "share" in record["cell"]]
    assert {record["cell"]["method"] for record in found} == set(KINDS)
    for record in found:
        share = record["cell"]["share"]
        assert record["provenance"]["task"]["part"] == {"share": share, "seed": 0}
        spent = record["cost"]["finetune"]  # batches of all 13 or 38 images
        assert (spent["iterations"], spent["images"]) == (4, {1: 4 * 13, 3: 4 * 38}[share])
        assert record["evaluation"]["images"] == 100


@pytest.mark.parametrize("method", ["telg", "weight-selection", "direct-pt", "auto-lg"])
def test_a_downstream_target_inherits_the_same_weights_and_draws_the_rest(runs: Path, method: str) -> None:
    """No method here learns anything for a target. A head, and a layer that is left free, is drawn for each target."""

    def tensors(task: str) -> dict[str, Any]:
        return dict(json.loads((the_cell(runs, method, task) / "initial_weights.json").read_text()))

    source, parity = tensors("digits"), tensors("digits-parity")
    assert source.keys() == parity.keys()
    other = {name for name in source if source[name] != parity[name]}
    free = {f"blocks.{layer}." for layer in (4, 5)} if method == "auto-lg" else set()
    drawn = {name for name in source if name.startswith(("head.", *free)) and name.endswith("weight")}
    assert other - {"head.bias"} == {name for name in drawn if "norm" not in name}


def test_a_downstream_target_is_measured_on_its_own_test_images(runs: Path) -> None:
    record = json.loads((the_cell(runs, "wave", "digits-turned") / "result.json").read_text())
    assert record["cell"]["source"] == "digits"
    assert record["evaluation"] == {"split": "test", "images": 100}
    assert record["provenance"]["data"]["name"] == "digits"
    assert record["provenance"]["task"]["data"]["name"] == "digits-turned"
    assert record["cost"]["initialize"]["iterations"] == 4


def test_a_downstream_record_can_be_computed_again(runs: Path, tmp_path: Path) -> None:
    cell = "telg micro depth 6 on digits-parity seed 0"
    lgbench(
        "rerun", cell, "--runs", str(runs), "--keep-inputs", "-o", str(tmp_path / "again")
    )  # status 1 if a number differs


def test_analyses_look_at_the_images_of_the_task(runs: Path, tmp_path: Path) -> None:
    """Ten classes at the source; the rows of the CSV are of images of four."""
    lgbench("analyze", "attention-maps", "telg on digits-turned seed 0", "--runs", str(runs), "-o", str(tmp_path))
    lines = (tmp_path / "attention-maps-cam.csv").read_text().splitlines()
    names = lines[0].split(",")
    labels = {line.split(",")[names.index("class")] for line in lines[1:]}
    assert labels == {"0", "1", "2", "3"}
