"""The page as text."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from learngene_bench.results import load
from learngene_bench.results.formats import reporting


def page_of(folder: Path, **options: Any) -> str:
    return reporting.FORMATS["html"](reporting.make(load([folder]), **options))


def data_of(page: str) -> Any:
    return json.loads(re.findall(r'<script type="application/json" id="data">(.*)</script>', page)[0])


def test_the_same_records_give_the_same_bytes(example: Any) -> None:
    code = "import sys; from learngene_bench.cli.main import main; main()"
    command = [sys.executable, "-c", code, "report", "--runs", str(example.folder), "--format", "html"]
    once, again = (
        subprocess.run(command, env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, check=True).stdout
        for seed in ("1", "2")
    )
    assert once == again
    assert once.decode().startswith("<!doctype html>")


def test_it_refers_to_nothing_outside(budgets: Any) -> None:
    page = page_of(budgets.folder, compare=True)
    addresses = re.findall(r"\b(?:href|src|srcset|action|poster)=\"([^\"]*)\"", page)
    assert {address for address in addresses if not address.startswith("#")} == {"data:,"}
    assert "url(" not in page
    assert "@import" not in page
    (policy,) = re.findall(r"http-equiv=\"Content-Security-Policy\" content=\"([^\"]*)\"", page)
    assert policy.startswith("default-src &#39;none&#39;;")
    assert "unsafe" not in policy


def test_every_number_of_a_metric_names_its_records(example: Any) -> None:
    page = page_of(example.folder, metric="top1")
    records = data_of(page)["records"]
    entries = re.findall(r'data-records="([^"]*)">', page)
    assert sorted(int(position) for entry in entries for position in entry.split()) == list(range(len(records)))
    cell = example.cell("wave", 4, 1)
    (record,) = (record for record in records if record["address"] == cell["address"][:20])
    assert record["metrics"] == [["Top-1 accuracy (%)", "75.00", "93.30"]]
    assert record["curve"] == [[0, 75], [1, 84.15], [2, 93.3]]
    assert record["cost"][2] == ["initialize", 0, 150, 9600, 0, 2.5, 1400]
    (failed,) = (record for record in records if "error" in record)
    assert failed["error"] == "FloatingPointError: the loss is nan at iteration 17"


def test_ten_thousand_records_are_a_few_megabytes(runs: Any) -> None:
    """Estimate the size from a hundredth of the records, as the page holds what they have in common once."""
    curve = [
        {"epoch": float(epoch), "iterations": epoch, "loss": 1.0, "metrics": {"top1": 10 + epoch * 0.123}}
        for epoch in range(301)
    ]
    cells = [runs.done(runs.cell("he", depth, seed), 46.9, curve=curve) for depth in range(2, 22) for seed in range(5)]
    runs.plan(cells)
    data = data_of(page_of(runs.folder))
    assert [len(record["curve"]) for record in data["records"]] == [40] * 100
    assert data["records"][0]["curve"][-1] == [300, 46.9]
    held = json.dumps(data["records"], ensure_ascii=False, separators=(",", ":"))  # as the page writes it
    assert len(held.encode()) < 100 * 900


def test_a_picture_shows_the_numbers_of_its_table(example: Any) -> None:
    """Heights are in proportion to the numbers; a method without a number in a column has no point there."""
    page = page_of(example.folder)
    drawing = re.findall(r'<svg viewBox="0 0 640 300".*?</svg>', page, re.DOTALL)[0]
    ticks = re.findall(r'<text x="40" y="([\d.]+)" text-anchor="end">([\d.]+)</text>', drawing)
    (first, low), (last, high) = ((float(y) - 4, float(text)) for y, text in (ticks[0], ticks[-1]))
    points = re.findall(
        r'translate\(([\d.]+) ([\d.]+)\)"><title>(.+?), depth (\d+): ([\d.]+)(?: ±[\d.]+)?</title>', drawing
    )
    assert len(points) == 12  # of five methods at three depths: a dash, a cell not done, and a failed one are none
    for _, y, _, _, number in points:
        value = low + (first - float(y)) / (first - last) * (high - low)
        assert value == pytest.approx(float(number), abs=0.11)
    assert {name for _, _, name, _, _ in points} == set(re.findall(r'<g data-label="(.+?)"', drawing))
