"""CPU against GPU: the loss of each of the first 20 steps of every phase of every method, and the weights after them.

Every method's stages are computed by the suite as a run computes them, once on each side, with the same images in the
same order and nothing that is drawn on the device (no drop path, no noise). The two sides differ by rounding alone, so
losses stay together to a few digits. Without a GPU, the second side is the CPU with another kernel of attention and
another library for matrix products, which rounds differently too.
"""

from __future__ import annotations

import multiprocessing
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from unittest.mock import patch

import torch
from supervised import Report, Verdict
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from gpu_parts.plan import Settings
from learngene_bench.config.preset import Precision
from learngene_bench.execution.stages import execute
from learngene_bench.planning.planner import make_plan
from learngene_bench.planning.request import build_request
from learngene_bench.plugins.registry import Registry
from learngene_bench.runs.manifest import describe_cell
from learngene_bench.runs.store import Runs
from learngene_bench.schema.constants import DeviceKind
from learngene_bench.schema.stage import Execution
from learngene_bench.training.loop import _TrainingLoop
from learngene_bench.util.errors import UserError, describe_error
from learngene_bench.util.hardware import usable_cores

STEPS = 20
TOLERANCE = {"float32": 2e-3, "bfloat16": 5e-2}
"""Largest relative difference of the loss of any step."""
LENGTHS = ("teacher.recipe", "pretraining", "condensation", "hypernetwork", "inheritance", "finetuning")
MODEL = (
    *("data.canvas=20", "data.noise=0", "grid.depths=[6]"),
    *(f"{method}.source_depth=3" for method in ("lemon", "net2net", "szp")),
)
"""25 tokens, 6 layers, and sources of 3 layers for methods that widen: a target that every method supports."""
HALF = ("wave", "he", "ligo", "ghn3")
"""Methods that are compared in bfloat16 too: one of each way of training."""
MOST_PROCESSES = 6
KEPT = 8.0
"""Seconds that are kept back at the end of the part."""


@dataclass
class Trained:
    """The result of one training.

    Attributes:
        losses: of each step, (steps,), on the CPU.
        weights: all parameters after the last step, flat, on the CPU.
    """

    losses: Tensor
    weights: Tensor


def measure(settings: Settings, report: Report) -> None:
    """Shares the methods out to several processes, as a CPU side is slow; one that crashes leaves the others alone."""
    names = settings.choose(Registry().names(), ["he", "wave"])
    count = settings.choose(max(1, min(MOST_PROCESSES, len(usable_cores()) // 2)), 1)
    shares = [names[number::count] for number in range(count)]
    spawn = multiprocessing.get_context("spawn")
    processes = [spawn.Process(target=compare_all, args=(share, settings, report)) for share in shares]
    for process in processes:
        process.start()
    for process, share in zip(processes, shares, strict=True):
        process.join()
        if process.exitcode:
            note = f"their process ended with status {process.exitcode}"
            report.add(f"the last of {', '.join(share)}", verdict="wrong", note=note)


def compare_all(names: Sequence[str], settings: Settings, report: Report) -> None:
    """Compares methods one after the other, in float32 and then some of them in bfloat16."""
    torch.set_num_threads(1)
    torch.backends.cudnn.allow_tf32 = False  # which convolutions use by default, and which is no float32
    todo: list[tuple[str, Precision]] = [(name, "float32") for name in names]
    todo += [(name, "bfloat16") for name in HALF if name in names]
    with tempfile.TemporaryDirectory() as folder:
        for number, (method, precision) in enumerate(todo):
            if report.seconds_left() < KEPT:
                left = ", ".join(f"{name} {one}" for name, one in todo[number:])
                report.add(left, verdict="skipped", note="no time was left")
                return
            compare(method, precision, Path(folder), settings, report)


def compare(method: str, precision: Precision, folder: Path, settings: Settings, report: Report) -> None:
    """Computes the stages of one method on both sides; those that another method needed too are not repeated."""
    sides: list[dict[str, Trained]] = []
    for side, device in (("cpu", "cpu"), ("device", settings.device)):
        try:
            with ExitStack() as other:
                if (side, device) == ("device", "cpu"):
                    other.enter_context(other_rounding())
                sides.append(trainings(method, precision, device, Runs(folder / f"{side} {precision}"), settings))  # type: ignore[arg-type]
        except Exception as error:
            note = f"on the {side}: {describe_error(error)}"[:300]
            report.add(f"{method}, {precision}", verdict="wrong", note=note)
            return
    one, other_side = sides
    for name in one:
        losses = relative(one[name].losses, other_side[name].losses)
        weights = float((one[name].weights - other_side[name].weights).norm() / one[name].weights.norm())
        verdict: Verdict = "ok" if losses <= TOLERANCE[precision] else "wrong"
        steps = len(one[name].losses)
        values = {"steps": steps, "loss off": losses, "tolerance": TOLERANCE[precision], "weights off": weights}
        report.add(f"{name}, {precision}", values, verdict=verdict)


def relative(one: Tensor, other: Tensor) -> float:
    """Returns the largest relative difference; infinite where one of them is not finite."""
    if len(one) != len(other) or not (one.isfinite().all() and other.isfinite().all()):
        return float("inf")
    return float(((one - other).abs() / one.abs().clamp_min(1e-3)).max())


@contextmanager
def other_rounding() -> Iterator[None]:
    """Lets the CPU add in another order than it does by default."""
    with sdpa_kernel(SDPBackend.MATH), torch.backends.mkldnn.flags(enabled=False):
        yield


def trainings(
    method: str, precision: Precision, device: DeviceKind, runs: Runs, settings: Settings
) -> dict[str, Trained]:
    """Computes a method's stages on a device.

    Returns:
        Every training that was not done before, by the label of its stage and the name of its phase.

    Raises:
        RuntimeError: a stage failed.
    """
    lengths = [f"{name}.iterations={STEPS}" for name in LENGTHS]
    sizes = [f"{name}.batch_size={settings.choose(16, 4)}" for name in LENGTHS]
    model = [*MODEL, f"compute.precision={precision}"]
    request = build_request(method, "depth", "digits", 1, [*lengths, *sizes, *model], Registry(), quick=False)
    plan = make_plan(replace(request, device=device))
    if not plan.cells:
        raise UserError(f"{method} supports no target of this part: {plan.unsupported[0].reason}")
    found: dict[str, Trained] = {}
    descriptions = {cell.address: describe_cell(cell, plan) for cell in plan.cells}
    for address, stage in plan.stages.items():
        if runs.folder(stage.kind, address).result.exists():
            continue
        execution = Execution(
            command=("lgbench", "run"),
            checkpoint_seconds=plan.preset.compute.checkpoint_seconds,
            data=dict(plan.preset.data),
            description=descriptions.get(address),
        )
        folder = runs.write_config(stage, execution)
        with recorded(found, stage.label):
            if execute(runs, stage.kind, address, Registry()) != "done":
                raise RuntimeError(f"{stage.label}: {folder.read_failure().error}")
    return found


@contextmanager
def recorded(found: dict[str, Trained], label: str) -> Iterator[None]:
    """Keeps the losses of all steps and the last weights of every training in the block, without a wait in between."""
    train, loss_of = _TrainingLoop.train, _TrainingLoop.loss
    losses: list[Tensor] = []
    plain = re.sub(r" \(.*?\)", "", label)  # without the settings, which are the same for all

    def loss(loop: _TrainingLoop, images: Tensor, targets: Tensor, smoothing: float) -> Tensor:
        value = loss_of(loop, images, targets, smoothing)
        losses.append(value.detach().clone())
        return value

    def whole(loop: _TrainingLoop) -> None:
        losses.clear()
        train(loop)
        if losses:
            weights = torch.cat([parameter.detach().flatten().cpu() for parameter in loop.trainable])
            found[f"{plain}, {loop.run.name}"] = Trained(torch.stack(losses).cpu().float(), weights.float())

    with patch.object(_TrainingLoop, "loss", loss), patch.object(_TrainingLoop, "train", whole):
        yield
