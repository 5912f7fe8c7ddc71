"""Pages of the Python interface, from its docstrings: what a notebook calls, and the contracts of plugins."""

from __future__ import annotations

from collections.abc import Iterator

PAGES = {
    "Functions": (
        "functions.md",
        "What a script or a notebook calls. With examples: [from Python](../../library.md).",
        [
            "learngene_bench.api.initialize.initialize",
            "learngene_bench.api.report.InitializationReport",
            "learngene_bench.api.benchmark.run",
            "learngene_bench.api.benchmark.plan",
            "learngene_bench.api.measured.load",
            "learngene_bench.api.measured.Measured",
            "learngene_bench.util.errors.UserError",
        ],
    ),
    "Method": (
        "initializer.md",
        "How to write one: [a method](../../extending.md#a-method).",
        [
            "learngene_bench.contracts.initializer",
            "learngene_bench.contracts.context",
            "learngene_bench.contracts.gene",
            "learngene_bench.models.weights.write_weights",
        ],
    ),
    "Data set": (
        "dataset.md",
        "How to write one: [a data set](../../extending.md#a-data-set).",
        ["learngene_bench.contracts.dataset"],
    ),
    "Task kind and metric": (
        "task.md",
        "How to write one: [a task kind](../../extending.md#a-task-kind), [a metric](../../extending.md#a-metric).",
        [
            "learngene_bench.contracts.task",
            "learngene_bench.contracts.metric",
            "learngene_bench.schema.metric.MetricSpec",
        ],
    ),
    "Family of models": (
        "family.md",
        "How to write one: [a model family](../../extending.md#a-model-family).",
        ["learngene_bench.contracts.family"],
    ),
    "Executor": (
        "executor.md",
        "How to write one: [an executor](../../extending.md#an-executor).",
        ["learngene_bench.contracts.executor"],
    ),
    "Tracker": (
        "tracker.md",
        "How to write one: [a tracker](../../extending.md#a-tracker).",
        ["learngene_bench.contracts.tracker"],
    ),
    "Settings": (
        "section.md",
        "What `Options` of a plugin are made of.",
        ["learngene_bench.config.section.Section"],
    ),
}
"""Pages by title: file, first line, and the modules, classes and functions that are described."""


def pages() -> Iterator[tuple[str, str, str]]:
    """Yields title, file name and text of each page."""
    for title, (file, head, names) in PAGES.items():
        yield title, file, f"# {title}\n\n{head}\n\n" + "".join(f"::: {name}\n\n" for name in names)
