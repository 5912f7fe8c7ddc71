"""`--quick` shortens recipes, and leaves everything else in them as it is."""

from __future__ import annotations

from learngene_bench.config.loader import load_preset
from learngene_bench.config.quick import QUICK_ITERATIONS, quick_preset


def test_what_a_size_or_a_task_changes_stays_but_for_its_length() -> None:
    settings = {
        "sizes.micro.recipes.finetuning": {"epochs": 50, "warmup_epochs": 2, "drop_path": 0.3},
        "downstream.tasks.shapes.recipe": {"iterations": 5000, "mixup": 0.8},
    }
    quick = quick_preset(load_preset("digits", settings))
    finetuning = quick.recipe_of("finetuning", 48)
    assert (finetuning.epochs, finetuning.iterations, finetuning.warmup_epochs) == (None, QUICK_ITERATIONS, 0.0)
    assert finetuning.drop_path == 0.3
    assert quick.downstream is not None
    shapes = quick.downstream.recipe_of("shapes")
    assert (shapes.iterations, shapes.mixup) == (QUICK_ITERATIONS, 0.8)
