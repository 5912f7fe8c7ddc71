"""Pages that are made from the code: commands, settings, methods, gallery; each says what the code says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

import fields
import pytest
from website import commands, configuration, gallery, methods

from learngene_bench.config.preset import Compute
from learngene_bench.config.section import Section
from learngene_bench.plugins.registry import Registry
from learngene_bench.results.formats.reporting import COMPUTED
from learngene_bench.results.plots import KINDS

ROOT = Path(__file__).parents[1]


def test_every_command_has_a_page_with_its_options() -> None:
    pages = {file: text for _, file, text in commands.pages()}
    assert "| [`lgbench rerun`](rerun.md) | Compute a record once more and compare |" in pages["index.md"]
    assert pages["rerun.md"].startswith("# `lgbench rerun`\n")
    assert "| `--keep-inputs` | Use the recorded gene instead of computing it again too. |" in pages["rerun.md"]
    assert (
        "| `-g, --grid NAME` | Models and tasks to measure: a name or a TOML file. Default: `depth`. |"
        in pages["run.md"]
    )
    assert "## `lgbench data verify`" in pages["data.md"]
    assert "&#" not in "".join(pages.values())


def test_every_setting_is_on_the_page_of_its_section() -> None:
    pages = {file: text for _, file, text in configuration.pages()}
    for name in Compute.model_fields:
        assert f"| `{name}` | " in pages["index.md"].partition("## `[compute]`")[2]
    assert (
        '| `device` | `auto` or `cpu` or `cuda` | Auto: GPUs where there are any. Default: "auto". |'
        in pages["index.md"]
    )
    assert "| `augmentation.flip` | true or false |" in pages["index.md"]
    assert "## `imagefolder`" in pages["data-sets.md"]
    assert "| `partition` | text or null | Partition of the cluster. May be left out. |" in pages["executors.md"]
    assert (ROOT / "tasks/presets/digits.toml").read_text().rstrip() in pages["presets.md"]


class Choices(Section):
    free: Literal["auto"] | bool = "auto"
    pair: tuple[float, float] = (0.0, 1.0)


def test_types_and_defaults_are_in_words() -> None:
    assert fields.type_words(Compute, "precision") == "`float32` or `bfloat16`"
    assert fields.type_words(Choices, "free") == "`auto` or true or false"
    assert fields.type_words(Choices, "pair") == "list: number, number"
    assert fields.default("a") == 'Default: "a".'
    assert fields.default(Path("data")) == 'Default: "data".'
    assert fields.default(None) == "May be left out."


def test_every_method_has_an_equation_and_a_page() -> None:
    names = set(Registry().names())
    assert set(methods.equations()) == names
    pages = {file: text for _, file, text in methods.pages()}
    assert set(pages) == {f"{name}.md" for name in names}
    page = pages["wave.md"]
    assert "W_\\ell = \\sum_{t} S_{\\ell t} \\otimes T_t" in page
    assert "| needs | a teacher, training |" in page
    assert "| `learn_scalers` | true or false |" in page
    assert "[tiny-imagenet-laptop](../../tiny-imagenet-laptop.md)" in page


def test_all_equations_can_be_shown() -> None:
    converter = pytest.importorskip("latex2mathml.converter")
    text = methods.EQUATIONS.read_text(encoding="utf-8")
    formulas = [*re.findall(r"```math\n(.*?)\n```", text, re.DOTALL), *re.findall(r"(?<!\$)\$([^$\n]+)\$", text)]
    assert len(formulas) > 2 * len(methods.equations())
    for formula in formulas:
        assert "\\" not in re.sub(r"<[^>]+>", "", converter.convert(formula)), formula


def test_the_gallery_has_every_kind() -> None:
    assert set(KINDS) == {*gallery.FIGURES}
    assert {*COMPUTED} == {*gallery.TABLES, *gallery.ELSEWHERE} - {"depth"}
