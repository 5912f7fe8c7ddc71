"""Needs and uses of methods: as they answer, as the documentation says, as `lgbench list` prints."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, get_args

import pytest

from learngene_bench.cli.main import run_command
from learngene_bench.planning.capabilities import CHANGES, Capabilities, Change, Need, capabilities
from learngene_bench.plugins.registry import Registry

DISTILLED = "a trained model to distil, and time"
PAGE = Path(__file__).parents[2] / "docs" / "methods.md"


def of(name: str, **options: Any) -> Capabilities:
    return capabilities(Registry().get(name).create(options))


@pytest.mark.parametrize(
    ("name", "options", "needs", "makes"),
    [
        ("he", {}, "nothing", "any size"),
        ("lsuv", {}, "images", "any size"),
        ("direct-pt", {}, "training", "any size"),
        ("stack", {}, "a smaller trained model", "deeper"),
        ("lemon", {}, "a smaller trained model", "deeper, wider, both"),
        ("ligo", {}, "a smaller trained model, training", "deeper, wider, both"),
        ("ligo", {"learn_operators": False}, "a smaller trained model", "deeper, wider, both"),
        ("weight-selection", {}, "a larger trained model", "narrower, both"),
        ("subclone", {}, "a larger trained model, images", "shallower, narrower, both"),
        ("subclone", {"selection": "uniform"}, "a larger trained model", "shallower, narrower, both"),
        ("heru-lg", {}, "a trained model", "any depth"),
        ("wave", {}, "a teacher, training", "any depth, wider"),
    ],
)
def test_methods_answer_by_their_definition(name: str, options: dict[str, Any], needs: str, makes: str) -> None:
    found = of(name, **options)
    assert (found.needs_text, found.makes_text) == (needs, makes)


def test_the_page_says_which_method_is_for_which_need() -> None:
    known = {name: of(name) for name in Registry().names()}

    def those(make: str, *needs: Need, exact: bool = True) -> set[str]:
        return {
            name
            for name, found in known.items()
            if make in found.makes and (set(found.needs) == set(needs) if exact else set(needs) <= set(found.needs))
        }

    alone = {name for name in those("wider", "teacher", exact=False) if known[name].makes == CHANGES}
    text = PAGE.read_text(encoding="utf-8")
    rows = re.findall(
        r"^\| ([^|]*)\| ([^|]*) \| ([^|]*`[^|]*) \|$", text.split("## Which method for which need")[1], re.M
    )
    found, have = {}, ""
    for first, need, methods in rows:
        have = first.strip() or have
        found[have, need] = set(re.findall(r"`([a-z0-9-]+)`", methods))
    growth: list[Change] = ["deeper", "wider", "deeper and wider"]
    shrinking: list[Change] = ["shallower", "narrower", "shallower and narrower"]
    expected = {
        ("nothing", "any size"): those("wider"),
        ("training images", "any size"): those("wider", "images"),
        ("training images and time", "any size"): those("wider", "training"),
        **{("a smaller trained model", f"a {make} one"): those(make, "smaller model", exact=False) for make in growth},
        **{("a larger trained model", f"a {make} one"): those(make, "larger model", exact=False) for make in shrinking},
        (DISTILLED, "many models of any depth"): those("deeper", "teacher", exact=False) - alone,
        (DISTILLED, "many models of larger widths"): those("wider", "teacher", exact=False) - alone,
        (DISTILLED, "many models of smaller widths"): those("narrower", "teacher", exact=False) - alone,
        (DISTILLED, "one model of any size, for what a method costs"): alone,
    }
    assert {key: found.get(key) for key in expected} == expected
    assert set.union(*expected.values()) == set(known)


def test_the_list_fits_a_terminal_and_has_every_method(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    plugin = tmp_path / "mine.py"
    plugin.write_text(
        "from learngene_bench import Initializer\n"
        "class Mine(Initializer):\n"
        "    name = title = 'mine'\n"
        "    def initialize(self, model, target, gene, context): pass\n"
        "class Broken(Mine):\n"
        "    name = title = 'broken'\n"
        "    def supports(self, target, base): return target.no_such_thing\n"
    )
    monkeypatch.setenv("COLUMNS", "80")
    assert run_command(["list", "methods", "--plugin", str(plugin)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert "wave a teacher, training any depth, wider" in [" ".join(line.split()) for line in lines]
    assert run_command(["list", "methods", "--plugin", str(plugin), "--format", "json"]) == 0
    found = {entry["name"]: entry for entry in json.loads(capsys.readouterr().out)["methods"]}
    assert found.keys() == {*Registry().names(), "mine", "broken"}
    assert (found["mine"]["needs"], found["mine"]["makes"]) == ([], list(CHANGES))
    assert "no_such_thing" in found["broken"]["error"]
    assert {need for entry in found.values() for need in entry["needs"]} == set(get_args(Need))
