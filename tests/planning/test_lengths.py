"""A plan says how many steps its recipes are on these data, and what makes no sense."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from learngene_bench.cli.main import run_command
from learngene_bench.config.lengths import doubts
from learngene_bench.config.loader import shipped_files
from learngene_bench.planning.lengths import length_doubts, length_lines
from learngene_bench.planning.plan import Plan
from learngene_bench.planning.planner import make_plan
from learngene_bench.planning.request import build_request
from learngene_bench.plugins.registry import Registry


def plan_of(grid: str, *settings: str, preset: str = "digits") -> Plan:
    return make_plan(build_request("wave,he", grid, preset, 1, settings, Registry(), quick=False))


def test_the_presets_make_sense_for_their_own_data() -> None:
    for preset in shipped_files("preset"):
        for grid in ("depth", "transfer"):
            assert length_doubts(plan_of(grid, preset=preset)) == []


def test_steps_are_said() -> None:
    (line,) = length_lines(plan_of("depth"))
    assert (
        line
        == "fine-tuning micro on digits (1,257 images): 95 steps of 64 images; WAVE before it: inheritance 150 steps"
    )


def test_a_recipe_for_more_images_is_doubted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for label in ("cat", "dog"):
        for number in range(30):
            path = tmp_path / "mine" / label / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (12, 12), (number, 0, 0)).save(path)
    settings = ["data.name=imagefolder", f"data.root={tmp_path / 'mine'}", "data.image_size=12"]
    assert run_command(["plan", "-m", "wave,he", *(word for text in settings for word in ("--set", text))]) == 0
    printed = capsys.readouterr().out
    assert "fine-tuning micro on mine (42 images): 5 steps of 42 images" in printed
    assert "warning: Fine-tuning on mine is only 5 steps of 42 images, as the recipe is made for more images" in printed
    assert "warning: WAVE trains on 30 times as many images before fine-tuning on mine as in it" in printed
    assert "mine has no train/ and val/: of every class, 20% of the images are for testing" in printed


def test_what_is_not_fine_tuned_is_not_doubted() -> None:
    assert doubts("digits", 0, 0, {"Direct PT": 1e9}) == []
    assert doubts("digits", 30, 64, {"He-Init": 0}) == []
    assert len(doubts("digits", 29, 64, {"WAVE": 10 * 29 * 64 + 1})) == 2
