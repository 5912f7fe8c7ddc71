from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest

from learngene_bench.results import learning_reports, load, make_tables
from learngene_bench.results.tables.report_table import ReportTable
from learngene_bench.util.errors import DamagedFile

NOTHING = {"epochs": 0.0, "iterations": 0, "images": 0, "flops": 0.0, "seconds": 0.0}


def curve(accuracies: Sequence[float], step: float = 1.0) -> list[dict[str, Any]]:
    """One measurement for each epoch, the first as initialized."""
    return [
        {"epoch": number * step, "iterations": number, "loss": 1.0 if number else None, "metrics": {"top1": accuracy}}
        for number, accuracy in enumerate(accuracies)
    ]


def reports(runs: Any) -> list[ReportTable]:
    results = load([runs.folder])
    return learning_reports(make_tables(results), results)


def plan(runs: Any, curves: dict[str, list[list[float]]], **changes: Any) -> ReportTable:
    """The instincts of a plan of one target for each method, with one curve for each seed."""
    cells = []
    for method, seeds in curves.items():
        for seed, accuracies in enumerate(seeds):
            cell = runs.cell(method, seed=seed)
            cells.append(runs.done(cell, accuracies[-1], accuracies[0], **{"curve": curve(accuracies), **changes}))
    runs.plan(cells)
    table, *_ = reports(runs)
    return table


def learned(
    runs: Any, method: str, depth: int, seed: int, accuracies: Sequence[float], **changes: Any
) -> dict[str, Any]:
    """A cell that is done, of this curve."""
    cell: dict[str, Any] = runs.cell(method, depth, seed)
    return dict(runs.done(cell, accuracies[-1], accuracies[0], **{"curve": curve(accuracies), **changes}))


def cells(table: ReportTable, label: str) -> dict[str, str]:
    (row,) = [row for row in table.rows if row.label == label]
    return {column.text: cell.text for column, cell in zip(table.columns, row.cells, strict=True)}


def test_the_mean_over_seeds_reaches_the_final_accuracy_of_the_reference(runs: Any) -> None:
    table = plan(
        runs,
        {
            "he": [[10, 40, 60], [10, 50, 64]],  # ends at 62
            "wave": [[50, 60, 70], [58, 66, 80]],  # 54, 63, 75
            "mimetic": [[12, 70, 50], [12, 50, 70]],  # 60 and 60: no seed's own crossing counts
            "sws": [[62, 62, 62], [62, 62, 62]],
            "direct-pt": [[75], [75]],
        },
    )
    reached = {row.label: (cells(table, row.label)["To He-Init 4"], row.cells[-1].text) for row in table.rows}
    assert reached == {
        "He-Init": ("2", ">2"),
        "Mimetic": (">2", ">2"),
        "SWS": ("0", ">2"),
        "WAVE": ("1", "2"),
        "Direct PT": ("—", "—"),  # it is trained already
    }
    assert [cells(table, "WAVE")[f"Epoch {epoch}"] for epoch in range(3)] == ["54.0", "63.0", "75.0"]
    assert cells(table, "WAVE")["Trained at initialization epochs"] == "0"
    assert cells(table, "Direct PT")["Epoch 0"] == "75.0"
    rows = [row for row in table.data if row["method"] == "wave"]
    assert [(row["epoch"], row["mean"]) for row in rows] == [(0, 54), (1, 63), (2, 75)]
    assert {(row["epochs_to_he"], row["epochs_to_direct_pt"], row["seeds"]) for row in rows} == {(1, 2, 2)}


def test_epochs_that_not_all_seeds_have_do_not_count(runs: Any) -> None:
    table = plan(runs, {"he": [[10, 20, 30]], "wave": [[10, 90, 40], [10, math.nan, 42]]})
    assert cells(table, "WAVE")["Epoch 1"] == ""
    assert cells(table, "WAVE")["To He-Init 4"] == "2"


def test_what_is_missing_is_said_and_not_averaged(runs: Any) -> None:
    done = [runs.done(runs.cell(method, depth), 50.0) for method in ("he", "wave") for depth in (4, 6)]
    runs.plan([*done, runs.cell("wave", 4, 1), runs.cell("he", 6, 1)], [runs.dash("ligo", 4, "too small")])
    (table,) = reports(runs)
    wave, ligo = cells(table, "WAVE"), cells(table, "LiGO")
    assert (wave["Epoch 0"], wave["To He-Init 4"]) == ("2/3", "1/2")
    assert wave["To He-Init 6"] == "—"  # where He-Init ends is not known
    assert (ligo["Epoch 0"], ligo["To He-Init 4"], ligo["To He-Init 6"]) == ("—", "—", "")


def test_means_over_some_columns_say_so(example: Any) -> None:
    micro, *_ = reports(example)
    (ligo,) = [row for row in micro.rows if row.label == "LiGO"]
    assert ligo.footnotes == (1,)
    assert micro.footnotes[0] == "means over depth 4, 6 only"


def test_longer_tuning_has_its_end_beside_the_first_epochs(runs: Any) -> None:
    accuracies = [10.0, 20, 30, 40, 50, 60, 70, 80.0]
    table = plan(runs, {"he": [accuracies]})
    assert list(cells(table, "He-Init")) == [
        "Trained at initialization parameters",
        "Trained at initialization epochs",
        *(f"Epoch {n}" for n in range(6)),
        "Final",
        "To He-Init 4",
    ]
    assert (cells(table, "He-Init")["Epoch 5"], cells(table, "He-Init")["Final"]) == ("60.0", "80.0")


def test_a_damaged_curve_is_named(runs: Any) -> None:
    with pytest.raises(DamagedFile, match=r"result\.json is damaged .*'curve\.0\.epoch' is 'x', not a valid number"):
        plan(runs, {"he": [[10.0, 20.0]]}, curve=[{"epoch": "x", "iterations": 0, "loss": None, "metrics": None}])


def test_the_speed_up_over_pre_training(runs: Any) -> None:
    """Direct-pt trains for 150 epochs and ends at 75; one gene of 40 epochs serves both depths of a seed."""
    untrained = dict.fromkeys(("ancestors", "prepare", "initialize", "finetune"), NOTHING)
    fitted = {**untrained, "initialize": {**NOTHING, "epochs": 8.0}, "prepare": {**NOTHING, "epochs": 40.0}}
    pretrained = {**untrained, "ancestors": {**NOTHING, "epochs": 150.0}}
    done = []
    for seed in range(2):
        gene = {"gene": runs.gene(f"wave {seed}", 10)}
        shallow = [[50.0, 60.0, 74.0], [70.0, 74.0, 78.0]][seed]  # 60, 67, 76: there after two epochs
        for depth, accuracies in ((4, shallow), (6, [75.0, 75.0, 75.0])):
            done.append(learned(runs, "wave", depth, seed, accuracies, cost=fitted, inputs=gene))
            done.append(learned(runs, "he", depth, seed, [10.0, 20.0, 30.0], cost=untrained))
            done.append(learned(runs, "share", depth, seed, [75.0, 75.0, 75.0], cost=untrained))
            done.append(learned(runs, "direct-pt", depth, seed, [75.0], cost=pretrained))
    runs.plan(done)
    by_epoch, speeds = reports(runs)
    assert [row.label for row in speeds.rows] == ["He-Init", "Share", "WAVE"]
    assert cells(speeds, "WAVE") == {
        "Fine-tuning alone 4": "75.0",  # 150 / 2
        "Fine-tuning alone 6": "∞",
        "With init. 4": "15.0",  # 150 / (2 + 8)
        "With init. 6": "18.8",  # 150 / 8
        "With gene share 4": "5.0",  # 150 / (2 + 8 + 40 / 2)
        "With gene share 6": "5.4",  # 150 / (8 + 40 / 2)
    }
    assert set(cells(speeds, "He-Init").values()) == {"<75.0"}
    assert set(cells(speeds, "Share").values()) == {"∞"}
    rows = [row for row in by_epoch.data if (row["method"], row["column"]) == ("wave", "4")]
    assert {(row["reference_epochs"], row["speedup_finetuning"]) for row in rows} == {(150, 75)}
    assert {(row["speedup_initialize"], row["speedup_gene"]) for row in rows} == {(15, 5)}


def test_who_shares_a_gene_is_known_only_when_all_are_done(runs: Any) -> None:
    gene = {"gene": runs.gene("wave", 10)}
    untrained = dict.fromkeys(("ancestors", "prepare", "initialize", "finetune"), NOTHING)
    pretrained = {**untrained, "ancestors": {**NOTHING, "epochs": 150.0}}
    reference = learned(runs, "direct-pt", 4, 0, [75.0], cost=pretrained)
    tuned = [learned(runs, "wave", 4, 0, [60.0, 80.0], cost=untrained, inputs=gene), reference]
    runs.plan([*tuned, runs.cell("wave", 6), runs.cell("direct-pt", 6)])
    _, speeds = reports(runs)
    wave = cells(speeds, "WAVE")
    assert (wave["With init. 4"], wave["With gene share 4"], wave["With init. 6"]) == ("150.0", "—", "0/1")


@pytest.mark.parametrize(("axis", "methods"), [("depth", ["he", "wave"]), ("task", ["wave", "direct-pt"])])
def test_no_speed_up_without_pre_training_or_over_other_images(runs: Any, axis: str, methods: list[str]) -> None:
    runs.plan([learned(runs, method, 4, 0, [60.0, 80.0]) for method in methods], axis=axis)
    assert len(reports(runs)) == 1
