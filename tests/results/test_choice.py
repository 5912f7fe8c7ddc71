"""Reports and figures of some methods, presets and settings."""

from __future__ import annotations

import re
from typing import Any

import pytest

from learngene_bench.results.formats import reporting
from learngene_bench.results.formats.html import html
from learngene_bench.results.records.choice import choose, load_chosen
from learngene_bench.results.records.loading import load
from learngene_bench.util.errors import UserError

SHORT = "digits, finetuning.epochs=7"


@pytest.fixture
def folder(runs: Any) -> Any:
    """Two methods in two settings, one of them at another preset's name."""
    settings = [("a", "digits", "digits"), ("b", SHORT, "digits"), ("c", "mine", "mine")]
    for version, (letter, words, preset) in enumerate(settings):
        named = {"setting": letter * 64, "setting_description": words, "preset": preset}
        cells = [runs.done(runs.cell(method, version=version), 80.0, **named) for method in ("he", "wave")]
        runs.plan(cells, **named)
    return runs.folder


def shown(results: Any) -> tuple[set[str], set[str]]:
    return {one.setting_description for one in results.manifests}, {one.cell.method for one in results.records.values()}


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ({}, ({"digits", SHORT, "mine"}, {"he", "wave"})),
        ({"methods": ["wave"]}, ({"digits", SHORT, "mine"}, {"wave"})),
        ({"presets": ["digits"]}, ({"digits", SHORT}, {"he", "wave"})),
        ({"settings": ["digits"]}, ({"digits"}, {"he", "wave"})),
        ({"settings": ["epochs=7"]}, ({SHORT}, {"he", "wave"})),
        ({"settings": ["cccc", "bbbb"], "methods": ["he"]}, ({SHORT, "mine"}, {"he"})),
    ],
)
def test_what_is_named_is_kept(folder: Any, chosen: Any, expected: Any) -> None:
    assert shown(choose(load([folder]), **chosen)) == expected


def test_lists_of_the_command_line(folder: Any) -> None:
    assert shown(load_chosen([folder], ["wave,he"], None, None))[1] == {"he", "wave"}


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"methods": ["wav"]}, "unknown method of these results 'wav': did you mean 'wave'?"),
        ({"presets": ["digit"]}, "unknown preset of these results 'digit': did you mean 'digits'?"),
        (
            {"settings": ["lr"]},
            "the words or the hash 'lr' (there are: digits (aaaaaaaa); digits, fine",
        ),
    ],
)
def test_what_is_not_there_is_said(folder: Any, chosen: Any, message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        choose(load([folder]), **chosen)


def test_the_page_has_a_menu_of_settings_and_a_modest_title(folder: Any) -> None:
    report = reporting.make(load([folder]))
    page = html(report.tables, report.results, report.title)
    assert "<h1><bdi>Results</bdi></h1>" in page
    assert f'<option value="{"b" * 64}">{SHORT} (setting bbbbbbbb' in page
    assert f'data-setting="{"b" * 64}"' in page
