from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from records import points

from learngene_bench.results import load
from learngene_bench.results.records.details import details
from learngene_bench.results.records.types import Record
from learngene_bench.util.errors import DamagedFile, UserError


def change(**changes: Any) -> Callable[[dict[str, Any]], str]:
    return lambda record: json.dumps({**record, **changes})


def change_cell(**changes: Any) -> Callable[[dict[str, Any]], str]:
    return lambda record: json.dumps({**record, "cell": {**record["cell"], **changes}})


def without(key: str) -> Callable[[dict[str, Any]], str]:
    return lambda record: json.dumps({name: value for name, value in record.items() if name != key})


def spent(record: dict[str, Any], seconds: float) -> dict[str, Any]:
    return {**record["cost"], "finetune": {**record["cost"]["finetune"], "seconds": seconds}}


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda record: json.dumps(record)[:100], "not JSON"),
        (lambda record: "", "not JSON"),
        (lambda record: "[" * 100_000, "recursion limit exceeded"),
        (lambda record: "[]", "input should be an object"),
        (lambda record: "\ud800", "not JSON"),
        (without("metrics"), "lacks 'metrics'"),
        (
            lambda record: change(cell={**record["cell"], "seed": "0"})(record),
            "'cell.seed' is '0', not a valid integer",
        ),
        (
            lambda record: change(cell={**record["cell"], "group": "best"})(record),
            "'cell.group' is 'best', not 'direct', 'transfer'",
        ),
        (
            lambda record: change(cell={**record["cell"], "target": {"width": 48}})(record),
            "'cell.target': a model needs a whole number 'depth'",
        ),
        (change(metrics={"top1": None}), "'metrics.top1' is None, not a valid number"),
        (change(initial_metrics={"top1": True}), "'initial_metrics.top1' is True, not a valid number"),
        (
            lambda record: change(cost=spent(record, math.nan))(record),
            "'cost.finetune.seconds' is nan, not a finite number",
        ),
        (change_cell(prepare_epochs=-math.inf), "'cell.prepare_epochs' is -inf, not a finite number"),
        (change(address="f" * 64), "not that of its folder"),
        (without("model"), "lacks 'model'"),
        (change(cost={"ancestors": 3}), "'cost.ancestors' is 3, not an object"),
        (change(inputs=[]), "'inputs' is [], not an object"),
    ],
)
def test_a_damaged_record_is_named_in_one_line(runs: Any, damage: Callable[[dict[str, Any]], str], reason: str) -> None:
    cell = runs.done(runs.cell("wave"), 90.0)
    path = runs.path(cell)
    path.write_bytes(damage(runs.record(cell, 90.0)).encode("utf-8", "surrogatepass"))
    with pytest.raises(DamagedFile) as error:
        load([runs.folder])
    message = str(error.value)
    assert message.startswith(f"{path} is damaged (")
    assert reason in message
    assert message.endswith(f"move the folder {path.parent} away and run again")
    assert "\n" not in message


def test_damaged_plans_and_failures_are_named_too(runs: Any) -> None:
    failure = runs.path(runs.failed(runs.cell("wave"), "boom")).with_name("failed.json")
    failure.write_text(json.dumps({**json.loads(failure.read_text()), "error": 3}))
    with pytest.raises(DamagedFile, match=r"failed\.json is damaged \('error' is 3, not a valid string\)"):
        load([runs.folder])
    shutil.rmtree(failure.parent)
    plan = runs.plan([runs.cell("wave")], axis="colour")
    with pytest.raises(DamagedFile, match=f"{plan} is damaged .*'axis' is 'colour'.* move it away and run again"):
        load([runs.folder])


def test_files_of_a_later_version_are_not_called_damaged(runs: Any) -> None:
    runs.done(runs.cell("wave"), 90.0, schema_version=9)
    with pytest.raises(UserError, match="schema version 9, and this learngene-bench reads version") as error:
        load([runs.folder])
    assert not isinstance(error.value, DamagedFile)


def test_folders_that_are_no_runs_folders(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no runs folder .*nowhere"):
        load([tmp_path / "nowhere"])
    with pytest.raises(UserError, match="neither cell/ nor plans/"):
        load([tmp_path])


def test_what_is_not_a_result_is_passed_over(runs: Any) -> None:
    cell = runs.cell("wave")
    runs.write(runs.path(cell).with_name("progress.json"), "{}")
    (runs.folder / "cell" / "notes.txt").write_text("not a folder")
    (runs.folder / "plans" / ".half.json").write_text("{")
    runs.plan([cell])
    results = load([runs.folder])
    assert results.outcome(results.manifests[0].cells[0]) is None


def test_a_result_counts_more_than_an_earlier_failure(runs: Any) -> None:
    cell = runs.failed(runs.cell("wave"), "out of memory")
    runs.done(cell, 90.0)
    runs.plan([cell])
    results = load([runs.folder])
    assert isinstance(results.outcome(results.manifests[0].cells[0]), Record)


@pytest.mark.parametrize("accuracy", [90.0, math.nan])
def test_one_cell_in_two_folders_counts_once(runs: Any, tmp_path: Path, accuracy: float) -> None:
    runs.done(runs.cell("wave"), accuracy)
    shutil.copytree(runs.folder, tmp_path / "copy")
    assert len(load([runs.folder, tmp_path / "copy"]).records) == 1


def test_one_cell_with_two_results_is_refused(runs: Any, tmp_path: Path) -> None:
    cell = runs.done(runs.cell("wave"), 90.0)
    other = type(runs)(tmp_path / "other")
    other.done(cell, 91.0)
    with pytest.raises(DamagedFile, match="give different metrics") as error:
        load([runs.folder, other.folder])
    assert str(runs.path(cell)) in str(error.value)
    assert str(other.path(cell)) in str(error.value)


@pytest.mark.parametrize("lie", [{"protocol": 9}, {"seed": 1}, {"method": "he"}])
def test_a_record_that_contradicts_its_plan_is_refused(runs: Any, lie: dict[str, Any]) -> None:
    cell = runs.cell("wave")
    runs.plan([cell])
    record = runs.record(cell, 90.0)
    (record if "protocol" in lie else record["cell"]).update(lie)
    runs.write(runs.path(cell), json.dumps(record))
    with pytest.raises(DamagedFile, match=r"is not the cell that .* planned"):
        load([runs.folder])


def test_what_is_stored_is_the_size_of_the_gene_in_whichever_folder_it_lies(runs: Any, tmp_path: Path) -> None:
    other = type(runs)(tmp_path / "other")
    here, there = runs.gene("here", 1000), other.gene("there", 2000)
    inputs = {"wave": {"gene": here}, "telg": {"gene": there}, "sws": {"gene": "f" * 64}, "he": {}}
    for method, needed in inputs.items():
        runs.done(runs.cell(method), 90.0, inputs=needed)
    results = load([runs.folder, other.folder])
    stored = {record.cell.method: results.stored_bytes(record) for record in results.records.values()}
    assert stored == {"wave": 1000, "telg": 2000, "sws": None, "he": 0}


def test_details_are_those_of_the_file(runs: Any) -> None:
    runs.done(runs.cell("wave"), 90.0, 70.0)
    (record,) = load([runs.folder]).records.values()
    found = details(record)
    assert found.curve == points((0.0, 0, None, 70.0), (1.0, 19, 1.5, 80.0), (2.0, 38, 1.25, 90.0))
    assert found.provenance.command == ("lgbench", "run", "--grid", "depth")
    assert found.provenance.hardware["cores"] == 2
    assert (found.provenance.git.commit, found.provenance.git.dirty) == ("c0ffee" * 6 + "c0ff", False)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        ({"curve": [{"epoch": 0.0, "iterations": 0.5, "loss": None, "metrics": {}}]}, "'curve.0.iterations' is 0.5"),
        ({"curve": {}}, "'curve' is {}, not a valid array"),
        ({"provenance": {}}, "lacks 'provenance.command'"),
    ],
)
def test_damaged_details_are_named_when_they_are_read(runs: Any, damage: dict[str, Any], reason: str) -> None:
    path = runs.path(runs.done(runs.cell("wave"), 90.0, **damage))
    (record,) = load([runs.folder]).records.values()
    with pytest.raises(DamagedFile) as error:
        details(record)
    assert str(error.value).startswith(f"{path} is damaged (")
    assert reason in str(error.value)


def test_a_record_that_has_gone_meanwhile_is_said_to(runs: Any) -> None:
    runs.done(runs.cell("wave"), 90.0)
    (record,) = load([runs.folder]).records.values()
    shutil.rmtree(record.path.parent)
    with pytest.raises(UserError, match="is gone"):
        details(record)
