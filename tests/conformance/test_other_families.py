"""`lgbench check` finds faults of a method that show only in another family than its first one."""

from __future__ import annotations

from pathlib import Path

import pytest
from plugin_checks import no_import_check, problems

from learngene_bench.conformance.fixtures import TinyTarget, shared_benchmark
from learngene_bench.conformance.runner import ConformanceReport, check
from learngene_bench.plugins.registry import Registry

METHOD = '''
from learngene_bench.contracts.initializer import Initializer
from learngene_bench.models.weights import write_weights
from learngene_bench.util.lazy import torch

class Mine(Initializer):
    """Draws the norms of all blocks."""

    name, title = "mine", "Mine"
    families = {families}

    def supports(self, target, base):
        return {reason}

    def stored_shapes(self, target, base):
        return {stored}

    def initialize(self, model, target, gene, context):
        generator = {generator}
        drawn = {{
            name: torch.randn(shape, generator=generator)
            for name, shape in target.parameter_shapes().items()
            if {chosen}
        }}
        write_weights(model, drawn)
        {more}
'''
SOUND = {
    "families": "None",
    "reason": "None",
    "stored": "{}",
    "generator": 'context.generator("mine")',
    "chosen": "target.is_in_block(name) and 'norm' in name",
    "more": "pass",
}
FAULTS = {
    "names of one stage only": (
        {"chosen": "name.startswith('blocks.') and 'norm' in name"},
        "families",
        "initialize() changes no parameter of a block, though it does at vit",
    ),
    "names that a model of several stages has not": (
        {"more": "write_weights(model, {'blocks.0.norm1.weight': torch.ones(target.width)})"},
        "initializes",
        "initialize() raised KeyError: 'blocks.0.norm1.weight' (mine.py, line 26); if it cannot work, let supports()",
    ),
    "shapes that a model of several stages has not": (
        {"stored": "dict(target.block_shapes(), **{name: () for name in target.block_shapes()}) and {}"},
        "answers",
        "stored_shapes() raised TypeError: SwinSpec must define block_shapes() or stages(); supports() accepted",
    ),
    "not deterministic in several stages": (
        {"generator": "context.generator('mine') if len(target.stages()) == 1 else None"},
        "repeats",
        "initialize() wrote other numbers",
    ),
}


def targets(*families: str) -> list[TinyTarget]:
    return [shared_benchmark(family).targets()[0] for family in families]


def checked(folder: Path, tried: tuple[str, ...], **changes: str) -> ConformanceReport:
    path = folder / "mine.py"
    path.write_text(METHOD.format(**{**SOUND, **changes}))
    return check(Registry([path]).get("mine"), targets=targets(*tried))


def detail(report: ConformanceReport, name: str) -> str:
    return next(each.detail for each in report.outcomes if each.check == name)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_another_family_is_found(tmp_path: Path, fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    no_import_check(monkeypatch)
    changes, expected, message = FAULTS[fault]
    report = checked(tmp_path, ("vit", "swin"), **changes)
    found = problems(report)
    assert expected in found
    assert any(message in problem for problem in found[expected]), found
    assert all(problem.where.startswith("swin ") for each in report.outcomes for problem in each.problems)
    assert checked(tmp_path, ("vit",), **changes).passed


def test_what_was_tried_is_said_for_each_family(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    no_import_check(monkeypatch)
    no_convolutions = "'it needs attention' if target.family == 'convnext' else None"
    report = checked(tmp_path, ("vit", "convnext", "swin"), reason=no_convolutions)
    assert report.passed, problems(report)
    assert detail(report, "families") == "convnext: refused, as it needs attention; swin: depth 6, width 16"
    assert "vit 1 of 1, convnext 0 of 1, swin 1 of 1" in detail(report, "answers")
    one = checked(tmp_path, ("vit",), families='("vit", "absent")')
    assert detail(one, "families") == "absent: not installed"


def test_a_wider_member_is_tried_where_both_inherit_one_gene(monkeypatch: pytest.MonkeyPatch) -> None:
    no_import_check(monkeypatch)
    report = check(Registry().get("he"), targets=[*targets("vit"), *shared_benchmark("swin").targets()])
    assert report.passed
    assert detail(report, "families") == "swin: depth 6, width 16 and depth 6, width 32"
