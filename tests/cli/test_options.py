"""Options of all verbs: every path means the same, every help text can be read in a terminal of 80 columns."""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from learngene_bench.cli.main import app, run_command
from learngene_bench.config.typed import user_path


def verbs(group: Any, *words: str) -> Iterator[tuple[str, Any]]:
    """Yields every verb with its words, `leaderboard add` as two."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from verbs(command, *words, name)
        else:
            yield " ".join((*words, name)), command


VERBS = dict(verbs(typer.main.get_command(app)))


@pytest.mark.parametrize("verb", VERBS)
def test_every_path_has_a_home_folder(verb: str) -> None:
    for name, parameter in inspect.signature(VERBS[verb].callback, eval_str=True).parameters.items():
        kind, *infos = typing.get_args(parameter.annotation) or (parameter.annotation,)
        if kind is Path or Path in flattened(kind):
            assert [info.parser for info in infos] == [user_path], name


def flattened(annotation: Any) -> list[Any]:
    """Lists the types in an annotation such as `list[Path] | None`."""
    inner = typing.get_args(annotation)
    return [found for part in inner for found in flattened(part)] if inner else [annotation]


def test_a_path_after_an_equals_sign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert run_command(["status", "--runs=~/r"]) == 2
    assert f"{tmp_path}/r: no runs here" in capsys.readouterr().err


def test_presets_and_genes_are_paths_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert run_command(["plan", "-m", "he", "--preset=~/mine.toml"]) == 2
    assert "preset file not found: ~/mine.toml" in capsys.readouterr().err
    (tmp_path / "mine.toml").write_text("name = 3")
    assert run_command(["plan", "-m", "he", "--preset=~/mine.toml"]) == 2
    assert f"{tmp_path}/mine.toml: title, data, sizes" in capsys.readouterr().err


@pytest.mark.parametrize("verb", VERBS)
def test_help_is_not_cut(verb: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert run_command([*verb.split(), "--help"]) == 0
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text
    assert "[[" not in text
    assert not re.search(r"--.*<(list\[)?str", text), "an option shows a type of Python, not a word for its value"
    for parameter in VERBS[verb].params:
        assert all(name in text for name in parameter.opts if name.startswith("--"))
