"""Presets and grids as files: what is shipped is valid; overrides are read as TOML."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest

from learngene_bench.config.loader import load_grid, load_preset, parse_override, shipped_files
from learngene_bench.config.preset import Preset


@pytest.mark.parametrize("kind", ["preset", "grid"])
def test_everything_shipped_is_valid(kind: Any) -> None:
    for name, path in shipped_files(kind).items():
        loaded = load_preset(name) if kind == "preset" else load_grid(name)
        assert loaded.name == name
        assert tomllib.loads(path.read_text())["title"] == loaded.title


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a.b=3", ("a.b", 3)),
        ("a=[4, 6]", ("a", [4, 6])),
        ("a=true", ("a", True)),
        ("a=1e-3", ("a", 1e-3)),
        ("a=interpolate", ("a", "interpolate")),
        ("a=/some/where=x", ("a", "/some/where=x")),
        ('a="3"', ("a", "3")),
    ],
)
def test_overrides_are_read_as_toml(text: str, expected: tuple[str, Any]) -> None:
    assert parse_override(text) == expected


def test_an_override_of_one_length_replaces_the_other() -> None:
    preset = load_preset("digits", {"recipes.finetuning.iterations": 3, "recipes.inheritance.epochs": 0.5})
    assert (preset.recipes["finetuning"].epochs, preset.recipes["finetuning"].iterations) == (None, 3)
    assert preset.recipes["inheritance"].steps(1257) == round(0.5 * 19)


def test_presets_cannot_be_changed_after_the_fact() -> None:
    preset = load_preset("digits")
    with pytest.raises(ValueError, match="frozen"):
        preset.name = "other"  # type: ignore[misc]
    assert isinstance(preset, Preset)
