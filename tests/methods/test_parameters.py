"""The parameter column of every method against the figures that the WAVE paper prints, to their printed precision."""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from importlib import resources
from statistics import mean

import pytest

from learngene_bench.cli.main import run_command
from learngene_bench.contracts.family import count
from learngene_bench.models.vit import ViTSpec
from learngene_bench.plugins.registry import Registry

PUBLISHED = resources.files("learngene_bench.results") / "published"
WIDTHS = {"ti": 192, "s": 384, "b": 768}
NOT_DECODED = {"ligo"}
"""LiGO's 10.0 of the width table follows from no reading of the paper."""


def rows(name: str) -> list[dict[str, str]]:
    return list(csv.DictReader((PUBLISHED / name).read_text().splitlines()))


def deit(width: int, depth: int = 12, irpe: bool = True) -> ViTSpec:
    return ViTSpec(depth=depth, width=width, heads=width // 64, patch_size=16, image_size=224, irpe=irpe)


def printed(stored: float) -> str:
    """In millions, to one decimal; 0 without."""
    return f"{stored / 1e6:.1f}" if stored else "0"


def test_depth(capsys: pytest.CaptureFixture[str]) -> None:
    """Table 1, from `lgbench plan`, which needs neither data nor torch."""
    assert run_command(["plan", "--preset", "imagenet", "--grid", "depth", "--method", "all", "--format", "json"]) == 0
    measured: dict[tuple[str, str], list[int]] = defaultdict(list)
    plan = json.loads(capsys.readouterr().out)
    for cell in plan["cells"]:
        measured[cell["method"], cell["size"]].append(cell["parameters"]["stored"])
    expected = {(row["method"], row["size"]): row["params_m"] for row in rows("depth.csv")}
    assert len(expected) == 3 * 11
    assert {key: printed(mean(measured[key])) for key in expected} == expected
    dashes = {(dash["method"], dash["size"], dash["target"]["depth"]) for dash in plan["dashes"]}
    empty = {(r["method"], r["size"], int(r["depth"])) for r in rows("depth.csv") if not r["top1"]}
    assert dashes == empty
    assert {(m, s): printed(mean(v)) for (m, s), v in measured.items() if m == "sws"} == {
        ("sws", "ti"): "2.6",
        ("sws", "s"): "9.6",
        ("sws", "b"): "37.0",
    }


def test_transfer() -> None:
    """Table 3: six layers, without the head."""
    registry = Registry()
    expected = {(row["method"], row["size"]): row["params_m"] for row in rows("transfer.csv")}
    measured = {}
    for method, size in expected:
        # Its "without" iRPE is read off the printed figures of the transfer table.
        spec = deit(WIDTHS[size], irpe=method != "direct-pt")
        stored = registry.get(method).create({}).stored_shapes(spec.with_depth(6), spec)
        measured[method, size] = printed(count({k: v for k, v in stored.items() if not k.startswith("head.")}))
    assert measured == expected


def test_width() -> None:
    """Table 2: from a base of width 384 to six layers of five widths; mean over the widths that a method can make."""
    registry, base = Registry(), deit(384)
    published = rows("width.csv")
    expected = {row["method"]: row["params_m"] for row in published if row["method"] not in NOT_DECODED}
    measured, dashes = {}, set()
    for name in expected:
        method, stored = registry.get(name).create({}), []
        for width in (384, 576, 768, 1152, 1536):
            target = deit(width, depth=6)
            if method.supports(target, base) is None:
                stored.append(count(dict(method.stored_shapes(target, base))))
            else:
                dashes.add((name, width))
        measured[name] = printed(mean(stored))
    assert measured == expected
    assert dashes == {(row["method"], int(row["width"])) for row in published if not row["top1"]}
