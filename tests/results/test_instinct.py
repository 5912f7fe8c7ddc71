from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from rich.console import Console

from learngene_bench.errors import DamagedFile
from learngene_bench.results import load, render
from learngene_bench.results.instinct_sheets import instinct_sheets
from learngene_bench.results.sheet import Sheet


def curve(accuracies: Sequence[float], step: float = 1.0) -> list[dict[str, Any]]:
    """One measurement for each epoch, the first as initialized."""
    return [
        {"epoch": number * step, "iterations": number, "loss": 1.0 if number else None, "top1": accuracy}
        for number, accuracy in enumerate(accuracies)
    ]


def plan(runs: Any, curves: dict[str, list[list[float]]], **changes: Any) -> Sheet:
    """The instincts of a plan of one target for each method, with one curve for each seed."""
    cells = []
    for method, seeds in curves.items():
        for seed, accuracies in enumerate(seeds):
            cell = runs.cell(method, seed=seed)
            cells.append(runs.done(cell, accuracies[-1], accuracies[0], **{"curve": curve(accuracies), **changes}))
    runs.plan(cells)
    (sheet,) = instinct_sheets(load([runs.folder]))
    return sheet


def cells(sheet: Sheet, label: str) -> dict[str, str]:
    (line,) = [line for line in sheet.lines if line.label == label]
    return {heading.text: cell for heading, cell in zip(sheet.headings, line.cells, strict=True)}


def test_terminal_and_markdown(example: Any, golden: Callable[[str, str], None]) -> None:
    sheets = instinct_sheets(load([example.folder]))
    output = io.StringIO()
    render.sheet_terminal(sheets, Console(file=output, width=80))
    golden("instinct-80.txt", "\n".join(line.rstrip() for line in output.getvalue().splitlines()) + "\n")
    golden("instinct.md", render.sheet_markdown(sheets))
    golden("instinct.csv", render.sheet_csv(sheets))


def test_the_mean_over_seeds_reaches_the_final_accuracy_of_the_reference(runs: Any) -> None:
    sheet = plan(
        runs,
        {
            "he": [[10, 40, 60], [10, 50, 64]],  # ends at 62
            "wave": [[50, 60, 70], [58, 66, 80]],  # 54, 63, 75
            "mimetic": [[12, 70, 50], [12, 50, 70]],  # 60 and 60: no seed's own crossing counts
            "sws": [[62, 62, 62], [62, 62, 62]],
            "direct-pt": [[75], [75]],
        },
    )
    reached = {line.label: (cells(sheet, line.label)["To He-Init 4"], line.cells[-1]) for line in sheet.lines}
    assert reached == {
        "He-Init": ("2", ">2"),
        "Mimetic": (">2", ">2"),
        "SWS": ("0", ">2"),
        "WAVE": ("1", "2"),
        "Direct PT": ("—", "—"),  # it is trained already
    }
    assert [cells(sheet, "WAVE")[f"Epoch {epoch}"] for epoch in range(3)] == ["54.0", "63.0", "75.0"]
    assert cells(sheet, "WAVE")["Init. epochs"] == "0"
    assert cells(sheet, "Direct PT")["Epoch 0"] == "75.0"
    rows = [row for row in sheet.data if row["method"] == "wave"]
    assert [(row["epoch"], row["top1"]) for row in rows] == [(0, 54), (1, 63), (2, 75)]
    assert {(row["epochs_to_he"], row["epochs_to_direct_pt"], row["seeds"]) for row in rows} == {(1, 2, 2)}


def test_epochs_that_not_all_seeds_have_do_not_count(runs: Any) -> None:
    sheet = plan(runs, {"he": [[10, 20, 30]], "wave": [[10, 90, 40], [10, math.nan, 42]]})
    assert cells(sheet, "WAVE")["Epoch 1"] == ""
    assert cells(sheet, "WAVE")["To He-Init 4"] == "2"


def test_what_is_missing_is_said_and_not_averaged(runs: Any) -> None:
    done = [runs.done(runs.cell(method, depth), 50.0) for method in ("he", "wave") for depth in (4, 6)]
    runs.plan([*done, runs.cell("wave", 4, 1), runs.cell("he", 6, 1)], [runs.dash("ligo", 4, "too small")])
    (sheet,) = instinct_sheets(load([runs.folder]))
    wave, ligo = cells(sheet, "WAVE"), cells(sheet, "LiGO")
    assert (wave["Epoch 0"], wave["To He-Init 4"]) == ("2/3", "1/2")
    assert wave["To He-Init 6"] == "—"  # where He-Init ends is not known
    assert (ligo["Epoch 0"], ligo["To He-Init 4"], ligo["To He-Init 6"]) == ("—", "—", "")


def test_means_over_some_columns_say_so(example: Any) -> None:
    micro, _ = instinct_sheets(load([example.folder]))
    (label,) = [line.label for line in micro.lines if line.label.startswith("LiGO")]
    assert label == "LiGO¹"
    assert micro.footnotes[0] == "means over depth 4, 6 only"


def test_longer_tuning_has_its_end_beside_the_first_epochs(runs: Any) -> None:
    accuracies = [10.0, 20, 30, 40, 50, 60, 70, 80.0]
    sheet = plan(runs, {"he": [accuracies]})
    assert list(cells(sheet, "He-Init")) == ["Init. epochs", *(f"Epoch {n}" for n in range(6)), "Final", "To He-Init 4"]
    assert (cells(sheet, "He-Init")["Epoch 5"], cells(sheet, "He-Init")["Final"]) == ("60.0", "80.0")


def test_a_damaged_curve_is_named(runs: Any) -> None:
    with pytest.raises(DamagedFile, match=r"result\.json is damaged .*'curve\[0\]\.epoch' is 'x', not a number"):
        plan(runs, {"he": [[10.0, 20.0]]}, curve=[{"epoch": "x", "iterations": 0, "loss": None, "top1": 1.0}])
