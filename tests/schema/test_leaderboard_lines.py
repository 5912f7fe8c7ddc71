"""Lines of a leaderboard: what they refuse, and that the same content gives the same bytes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from learngene_bench.schema.base import SCHEMA_VERSION
from learngene_bench.schema.leaderboard import (
    PublishedStage,
    is_leaderboard,
    publish_plan,
    publish_stage,
    read_plans,
    read_stages,
    stages_text,
)
from learngene_bench.schema.manifest import Manifest
from learngene_bench.schema.record import Failure
from learngene_bench.util.errors import DamagedFile, UserError

ADDRESSES = [digit * 64 for digit in "abc"]


def failed(address: str, label: str) -> PublishedStage:
    failure = Failure(address=address, label=label, error="ValueError: no", traceback='File "/home/ada/mine.py"')
    return publish_stage("cell", address, None, None, failure)


def written(folder: Path, *edits: tuple[str, str]) -> Path:
    text = stages_text([failed(address, label) for address, label in zip(ADDRESSES, ("wave", "he", "he"), strict=True)])
    for old, new in edits:
        assert old in text
        text = text.replace(old, new, 1)
    (folder / "records.jsonl").write_text(text)
    return folder


def test_lines_are_sorted_and_read_back(tmp_path: Path) -> None:
    stages = [failed(address, label) for address, label in zip(ADDRESSES, ("wave", "he", "he"), strict=True)]
    text = stages_text(stages)
    assert text == stages_text(reversed(stages))
    (tmp_path / "records.jsonl").write_text(text)
    found = read_stages(tmp_path)
    assert list(found) == [ADDRESSES[1], ADDRESSES[2], ADDRESSES[0]]
    assert list(found.values()) == [stages[1], stages[2], stages[0]]
    assert "ada" not in text
    assert is_leaderboard(tmp_path)


def test_a_folder_without_lines_holds_nothing(tmp_path: Path) -> None:
    assert (read_stages(tmp_path), read_plans(tmp_path), is_leaderboard(tmp_path)) == ({}, {}, False)
    (tmp_path / "records.jsonl").touch()
    assert read_stages(tmp_path) == {}


@pytest.mark.parametrize(
    ("edit", "problem"),
    [
        (("{", "["), "line 1 is damaged (it is not JSON"),
        (('"label":"wave"', '"label":7'), "line 3 is damaged ('failure.label'"),
        (("b" * 64, "d" * 64), f"line 1 is damaged ('address' is {'b' * 64}, not {'d' * 64})"),
        (('"failure":', '"also":1,"failure":'), "line 1 is damaged ('also' is unknown)"),
        (("c" * 64, "b" * 64), "line 2"),
    ],
)
def test_a_damaged_line_is_named(tmp_path: Path, edit: tuple[str, str], problem: str) -> None:
    folder = written(tmp_path, edit)
    with pytest.raises(DamagedFile) as error:
        read_stages(folder)
    assert f"{folder / 'records.jsonl'}, {problem}" in str(error.value)


def test_another_schema_version_is_said(tmp_path: Path) -> None:
    folder = written(tmp_path, (f'"schema_version":{SCHEMA_VERSION}', '"schema_version":99'))
    with pytest.raises(UserError, match=r"records\.jsonl, line 1 has schema version 99"):
        read_stages(folder)


def test_two_lines_of_one_stage_are_refused(tmp_path: Path) -> None:
    (tmp_path / "records.jsonl").write_text(2 * stages_text([failed(ADDRESSES[0], "wave")]))
    with pytest.raises(DamagedFile, match="line 2: another line is of the same stage, wave"):
        read_stages(tmp_path)


def plan(**changes: Any) -> Manifest:
    facts: dict[str, Any] = {
        "protocol": 1, "preset": "digits", "grid": "depth", "axis": "depth", "title": "Depth", "setting": "0" * 64,
        "setting_description": "digits", "cells": (), "unsupported": (), "methods": ("he",), "references": (),
        "stages": (), "created": "2026-11-20T12:00:00Z", "command": ("lgbench", "run"), "folder": "/home/ada",
    }  # fmt: skip
    return Manifest(**facts | changes)


def test_a_changed_plan_is_refused(tmp_path: Path) -> None:
    line = publish_plan(plan())
    content = line.model_dump(mode="json")
    assert content["plan"]["folder"] is None
    path = tmp_path / "plans.jsonl"
    path.write_text(json.dumps(content) + "\n")
    assert read_plans(tmp_path) == {line.name: line}
    content["plan"]["methods"] = ["wave"]
    path.write_text(json.dumps(content) + "\n")
    with pytest.raises(DamagedFile, match=r"plans\.jsonl, line 1 is damaged \(changed since it was written"):
        read_plans(tmp_path)
