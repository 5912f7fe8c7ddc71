"""The check of a GPU, as far as it needs none: its plan, its page, its counts, its steps at small sizes."""

from __future__ import annotations

import json
import sys
import tomllib
from pathlib import Path
from typing import Any

import gpu_check
import pytest
import torch
from gpu_parts import page, peaks, plan, resume, sizes, tests
from gpu_parts.plan import PARTS, Settings
from supervised import Finding, Outcome, Part, Report, read_findings
from torch.utils.flop_counter import FlopCounterMode
from training_steps import SuiteStep, matrix_products, timm_step, training_flops

from learngene_bench.models.vit import ViTSpec

ROOT = Path(__file__).parents[2]
TRIAL = Settings("cpu", small=True)


def test_all_parts_together_take_eight_minutes_at_most() -> None:
    assert sum(part.seconds for part in PARTS) <= 60 * plan.MINUTES
    assert all((ROOT / "benchmarks" / "gpu_parts" / f"{part.name}.py").exists() for part in PARTS)
    text = (ROOT / "benchmarks" / "README.md").read_text()
    assert [part.name for part in PARTS if f"\n| `{part.name}` | {part.seconds:g} | " not in text] == []


@pytest.mark.parametrize(
    ("card", "peak"),
    [
        ("NVIDIA H200", 989.4),
        ("NVIDIA H200 NVL", 835.5),
        ("NVIDIA H100 80GB HBM3", 989.4),
        ("NVIDIA H100 PCIe", 756.0),
        ("NVIDIA A100-SXM4-80GB", 312.0),
        ("NVIDIA A10G", 70.0),
        ("NVIDIA A10", 125.0),
        ("NVIDIA L40S", 362.0),
        ("NVIDIA GeForce RTX 4090", 165.2),
        ("NVIDIA RTX 6000 Ada Generation", 364.2),
        ("Tesla T4", None),
        ("CPU", None),
    ],
)
def test_peaks_go_by_the_name_of_the_card(card: str, peak: float | None) -> None:
    assert peaks.peak_of(card) == peak
    assert peaks.share(494.7, 989.4) == "50.0%"
    assert peaks.share(1.0, None) == "-"


def test_operations_of_a_step_are_those_of_a_closed_form() -> None:
    """DeiT-S at 224 pixels, 196 tokens, by hand: two for a multiply-add, and backward twice as much as forward."""
    spec = sizes.deit("DeiT-S", Settings("cuda", small=False))
    block = 2 * 196 * 12 * 384**2 + 2 * 2 * 196**2 * 384
    forward = 12 * block + 2 * 196 * 768 * 384 + 2 * 384 * 1000
    assert training_flops(spec, 7) == 3 * 7 * forward


def test_the_matrix_products_are_those_of_the_step() -> None:
    spec, batch = ViTSpec(depth=3, width=24, heads=3, patch_size=4, image_size=12, channels=1, classes=5), 2
    with FlopCounterMode(display=False) as counted:
        matrix_products(spec, batch, "cpu")()
    head = 3 * 2 * spec.width * spec.classes
    gradient_of_the_image = 2 * spec.patches * spec.channels * spec.patch_size**2 * spec.width
    assert counted.get_total_flops() == training_flops(spec, batch) - batch * (head + gradient_of_the_image)


def test_both_steps_train_the_same_model() -> None:
    spec = sizes.tiny_imagenet(TRIAL)["tiny-imagenet ti"]
    ours, theirs = SuiteStep(spec, 4, "cpu"), timm_step(spec, 4, "cpu")
    before = ours.images.clone()
    for _ in range(2):
        ours(), theirs()
    assert torch.equal(before, ours.images), "mixup must not wear the images out"
    assert 4.0 < ours.mean_loss() < 7.0  # log 200 = 5.3


def test_the_sizes_are_those_of_the_preset() -> None:
    full = sizes.tiny_imagenet(Settings("cuda", small=False))
    preset = tomllib.loads((ROOT / "tasks" / "presets" / "tiny-imagenet.toml").read_text())
    assert {name: spec.width for name, spec in full.items()} == {
        f"tiny-imagenet {name}": size["width"] for name, size in preset["sizes"].items()
    }
    assert all((spec.patch_size, spec.image_size, spec.depth) == (4, 32, 12) for spec in full.values())


def test_a_stopped_training_continues_with_the_same_bits_on_a_cpu(tmp_path: Path) -> None:
    resume.measure(TRIAL, Report(tmp_path / "lines", "resume"))
    found = read_findings(tmp_path / "lines")
    assert [finding.verdict for finding in found] == ["ok"] * 4
    assert all(finding.values["same bits"] for finding in found)


def test_results_of_pytest_are_read(tmp_path: Path) -> None:
    (tmp_path / "results.xml").write_text(
        '<testsuites><testsuite><testcase classname="a.b" name="one" time="0.5"/>'
        '<testcase classname="a.b" name="two" time="0"><skipped message="needs two GPUs"/></testcase>'
        '<testcase classname="c" name="three" time="1"><failure message="assert 1 == 2&#10;more"/></testcase>'
        "</testsuite></testsuites>"
    )
    assert list(tests.outcomes(tmp_path / "results.xml")) == [
        ("a.b::one", "ok", "", 0.5),
        ("a.b::two", "skipped", "needs two GPUs", 0.0),
        ("c::three", "wrong", "assert 1 == 2", 1.0),
    ]


def some_check() -> dict[str, Any]:
    step = [
        Finding("tiny-imagenet ti, suite", {"ms": 12.5, "images/s": 20480.0, "rate over timm's": 1.75}),
        Finding("DeiT-B 224, suite", {"ms": 100.0, "share of peak": "38.2%"}),
    ]
    outcomes = [
        Outcome(Part("card", "The card", 45), "", 9.0, [Finding("card", {"name": "NVIDIA H200"})]),
        Outcome(Part("step", "Training step", 90), "ended by SIGSEGV", 20.5, step, ["Fatal | error"]),
        Outcome(Part("resume", "Stop and continue", 25), "", 5.0, [Finding("float32", {"same bits": True}, "ok")]),
        Outcome(Part("loader", "Loading", 25), "stopped at its limit of 25 s", 25.0, []),
    ]
    about = {"date": "2026-01-01T00:00:00Z", "commit": "abc", "command": "make", "device": "cuda", "small": False}
    return {**about, "parts": [outcome.as_dict() for outcome in outcomes]}


def test_the_page_shows_all_that_was_found() -> None:
    text = page.markdown(json.loads(json.dumps(some_check())))
    assert "NVIDIA H200, 2026-01-01" in text
    assert "A trial" not in text
    for line in (
        "| Training step | ended by SIGSEGV | measured | 20 of 90 |",
        "| at least 1.5x timm's rate, tiny-imagenet ti | 1.75 | met |",
        "| at least 1.5x timm's rate, tiny-imagenet s | - | not measured |",
        "| at least 40 % of the bfloat16 peak, DeiT-B 224 | 0.382 | missed |",
        "| tiny-imagenet ti, suite | 12.5 | 20,480 | 1.75 |",
        "| float32 | yes | ok |",
        "Fatal | error",
        "**This part stopped at its limit of 25 s.** What it had found until then:",
        "Nothing.",
    ):
        assert line in text.splitlines(), line
    trial = page.markdown({**some_check(), "device": "cpu", "small": True})
    assert "**A trial of the check itself" in trial
    assert "goal" not in trial


@pytest.mark.parametrize(
    ("dependencies", "name", "said"),
    [
        ('["torch>=2", "no-such-package>=1"]', "learngene-bench", "this Python lacks no-such-package: python -m pip"),
        ('["torch>=2"]', "no-such-suite", "no-such-suite is not installed for this Python: "),
        ('["torch>=2"]', "learngene-bench", ""),
    ],
)
def test_one_line_says_what_is_missing(tmp_path: Path, dependencies: str, name: str, said: str) -> None:
    (tmp_path / "pyproject.toml").write_text(f'[project]\nname = "{name}"\ndependencies = {dependencies}\n')
    found = gpu_check.missing("cpu", tmp_path)
    assert found.startswith(said)
    assert "\n" not in found
    assert bool(found) == bool(said)


@pytest.mark.parametrize(
    ("steps", "ended", "said"),
    [
        ([{"step": "torch", "version": "2.11", "built_for": "CPUs"}], "", "torch 2.11 is built for CPUs: install one"),
        ([{"step": "gpus", "count": 0}], "", "torch sees no GPU here"),
        ([{"step": "gpu", "error": "CUDA error"}], "", "gpu does not work here: CUDA error"),
        ([], "it took longer than 60 seconds", "torch does not work here: it took longer than 60 seconds"),
        ([{"step": "gpus", "count": 1}], "", ""),
    ],
)
def test_one_line_says_that_no_gpu_works(
    monkeypatch: pytest.MonkeyPatch, steps: list[dict[str, Any]], ended: str, said: str
) -> None:
    monkeypatch.setattr("learngene_bench.execution.torch_probe.run", lambda limit: (steps, ended))
    found = gpu_check.missing("cuda")
    assert found.startswith(said)
    assert bool(found) == bool(said)


def test_an_unknown_part_is_a_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["gpu_check.py", "--parts", "card,speed"])
    with pytest.raises(SystemExit, match="2"):
        gpu_check.main()
    assert "there is no part 'speed' (valid: card, tests, step" in capsys.readouterr().err
