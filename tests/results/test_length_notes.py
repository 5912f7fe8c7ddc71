"""A table says how many steps its targets were fine-tuned for, and warns where they make no sense."""

from __future__ import annotations

from typing import Any

from typer.testing import CliRunner

from learngene_bench.cli.main import app
from learngene_bench.results import load, make_tables, metric_reports


def tuned(runs: Any, cell: dict[str, Any], steps: int, images: float, **changes: Any) -> dict[str, Any]:
    """A cell that is done after so many steps of so many images."""
    cost = runs.record(cell, 80.0)["cost"]
    cost["finetune"].update(iterations=steps, images=round(steps * images))
    done: dict[str, Any] = runs.done(cell, 80.0, cost=cost, **changes)
    return done


def notes(runs: Any, initial: bool = False) -> list[str]:
    (report,) = metric_reports(make_tables(load([runs.folder]), initial=initial))
    return [note for note in report.notes if note.startswith("Fine-tuning")]


def test_one_length_of_all_is_one_sentence(runs: Any) -> None:
    runs.plan([tuned(runs, runs.cell(method, depth), 95, 64) for method in ("he", "wave") for depth in (4, 6)])
    assert notes(runs) == ["Fine-tuning: 95 steps of 64 images."]
    assert notes(runs, initial=True) == []


def test_lengths_that_differ_are_named(runs: Any) -> None:
    cells = [tuned(runs, runs.cell(method, depth), 20 * depth, 64) for method in ("he", "share") for depth in (4, 6)]
    cells += [tuned(runs, runs.cell("wave", depth, seed), 60 + seed, 32) for depth in (4, 6) for seed in (0, 1)]
    cells += [tuned(runs, runs.cell("direct-pt", depth), 0, 0) for depth in (4, 6)]
    cells += [tuned(runs, runs.cell("telg", 4), 70, 61.66), tuned(runs, runs.cell("telg", 6), 80, 64)]
    runs.plan(cells)
    assert notes(runs) == [
        "Fine-tuning: 80 steps of 64 images (depth 4), 120 steps of 64 images (depth 6); "
        "WAVE: 60 to 61 steps of 32 images; "
        "TELG: 70 steps of 61.7 images (depth 4), 80 steps of 64 images (depth 6); Direct PT: none."
    ]


def test_columns_of_several_sizes_are_named_with_them(runs: Any) -> None:
    lengths = {"micro": 40, "mini": 50}
    runs.plan([tuned(runs, runs.cell("he", 4, size=size), steps, 64) for size, steps in lengths.items()])
    assert notes(runs) == ["Fine-tuning: 40 steps of 64 images (micro depth 4), 50 steps of 64 images (mini depth 4)."]


def test_a_quick_run_is_short_on_purpose(runs: Any) -> None:
    runs.plan([tuned(runs, runs.cell("wave"), 4, 42, preset="digits-quick")], preset="digits-quick")
    assert notes(runs) == ["Fine-tuning: 4 steps of 42 images."]


def test_with_one_seed_the_notes_name_missing_cells_only_where_some_are(runs: Any) -> None:
    def highlights() -> list[str]:
        (report,) = metric_reports(make_tables(load([runs.folder])))
        return [note for note in report.notes if note.startswith("Never highlighted")]

    cells = [tuned(runs, runs.cell(method), 95, 64) for method in ("he", "wave")]
    runs.plan(cells)
    assert highlights() == []
    runs.plan([*cells, runs.cell("he", 6), tuned(runs, runs.cell("wave", 6), 95, 64)])
    assert highlights() == ["Never highlighted: columns with planned cells missing."]


def test_few_steps_are_a_warning_in_every_format(runs: Any) -> None:
    runs.plan([tuned(runs, runs.cell(method), 4, 42) for method in ("he", "wave")])
    length, few = notes(runs)
    assert length == "Fine-tuning: 4 steps of 42 images."
    assert few.startswith("Fine-tuning on digits is only 4 steps of 42 images, as the recipe is made for more images")
    for kind in ("table", "markdown", "latex", "html"):
        printed = CliRunner().invoke(
            app, ["report", "--runs", str(runs.folder), "--format", kind], env={"COLUMNS": "400"}
        )
        assert printed.exit_code == 0, printed.output
        assert length in printed.stdout
        assert few in printed.stdout
        assert "WAVE trains on 57 times as many images before fine-tuning" in printed.stdout
