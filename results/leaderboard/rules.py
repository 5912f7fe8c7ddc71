"""What a record must hold to stand in a leaderboard. Each rule that is broken is one line that names the file."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from learngene_bench.contracts.family import spec_from_dict
from learngene_bench.results.leaderboard.records import Kept, StageFiles, is_hash
from learngene_bench.results.records.fields import Fields, parse
from learngene_bench.schema.constants import FOLDER_DIGITS
from learngene_bench.schema.metric import TOP1
from learngene_bench.util.errors import UserError
from learngene_bench.util.files import canonical

_TIME = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z")
_COMMIT = re.compile(r"[0-9a-f]{40}")


def check(kept: Kept) -> None:
    """Checks every stage by itself and all of them together.

    Raises:
        UserError: a rule is broken.
    """
    cells = []
    for stage in kept.stages.values():
        try:
            _check_inputs(stage, kept)
            if stage.record is not None and stage.config is not None:
                record = parse(stage.record)
                _check_record(stage, record, stage.config["config"])
                if stage.kind == "cell":
                    cells.append((stage, record))
        except ValueError as error:
            raise UserError(f"{stage.origin / 'result.json'} ({stage.label}): {error}") from None
    _check_agreement(cells)


def _check_inputs(stage: StageFiles, kept: Kept) -> None:
    for address in stage.inputs.values() if stage.record is not None else ():
        needed = kept.stages.get(address)
        _expect(
            needed is not None and needed.record is not None,
            f"there is no record of its input {address[:FOLDER_DIGITS]}, without which nobody can repeat this one",
        )


def _check_record(stage: StageFiles, record: Fields, config: Mapping[str, Any]) -> None:
    assert stage.config is not None
    for name, expected in (("kind", stage.kind), ("address", stage.address)):
        _expect(stage.config[name] == expected, f"config.json is that of {stage.config[name]}, not of {expected}")
        _expect(record.text(name) == expected, f"{name!r} is {record.text(name)}, not {expected}")
    _expect(record.whole("protocol") == config.get("protocol"), "'protocol' is another than in config.json")
    _expect(record.fields("inputs").content() == stage.inputs, "'inputs' are others than in config.json")
    _check_provenance(record, config)
    if stage.kind == "cell":
        _check_cell(record, Fields(config))
    else:
        _check_hash(record, "tensors")


def _check_cell(record: Fields, config: Fields) -> None:
    """What a cell says of itself against what its address stands for, and its numbers against each other."""
    cell, target = record.fields("cell"), config.fields("target").scalars()
    for name, value, planned in (
        ("method", cell.text("method"), config.fields("method").text("name")),
        ("target", cell.fields("target").content(), target),
        ("seed", cell.whole("seed"), config.whole("seed")),
    ):
        _expect(value == planned, f"'cell.{name}' is {value}, in config.json {planned}")
    try:
        parameters = spec_from_dict({"family": "vit", **target}).parameter_count()
    except (TypeError, UserError) as error:
        raise ValueError(f"'cell.target' is no Vision Transformer ({error})") from None
    _expect(
        cell.fields("parameters").whole("model") == parameters,
        f"'cell.parameters.model' is not {parameters}, as many as this target has",
    )
    for name in ("initial_weights", "model"):
        _check_hash(record, name)
    evaluation = record.fields("evaluation")
    split = evaluation.text("split")
    _expect(split == config.text("evaluation_split"), f"measured on {split} images, which config.json does not say")
    _expect(split == "test", f"measured on {split} images, not on those for testing")
    _check_accuracies(record, evaluation.whole("images"))


def _check_accuracies(record: Fields, images: int) -> None:
    """The metrics are the ends of the learning curve, and every accuracy is one of so many images."""
    metrics, initial, curve = record.fields("metrics"), record.fields("initial_metrics"), record.objects("curve")
    _expect(images > 0 and bool(curve), "there is no learning curve on test images")
    for kind, values in (("metrics", metrics), ("initial_metrics", initial)):
        top1 = values.number("top1")
        _expect(TOP1.holds(top1), f"'{kind}.top1' is {top1}, not a percentage")
    for point in curve:
        loss, measured = point.number_or_none("loss"), point.fields_or_none("metrics")
        _expect(loss is None or math.isfinite(loss), f"the learning curve has the loss {loss}")
        if measured is not None:
            accuracy = measured.number("top1")
            right = accuracy * images / 100 if TOP1.holds(accuracy) else math.inf
            whole = math.isfinite(right) and math.isclose(right, round(right), abs_tol=1e-6)
            _expect(whole, f"the accuracy {accuracy} is not that of any number of {images} images")
    for name, values, point, verb in (
        ("initial_metrics", initial, curve[0], "begins"),
        ("metrics", metrics, curve[-1], "ends"),
    ):
        end = point.fields("metrics").number("top1")
        metric = values.number("top1")
        _expect(metric == end, f"'{name}.top1' is {metric}, but the learning curve {verb} with {end}")


def _check_provenance(record: Fields, config: Mapping[str, Any]) -> None:
    found = record.fields("provenance")
    _expect(bool(found.texts("command")), "'provenance.command' is empty")
    versions, hardware = found.fields("versions").scalars(), found.fields("hardware").scalars()
    for name in ("python", "torch", "learngene-bench"):
        _expect(isinstance(versions.get(name), str), f"'provenance.versions' lacks {name!r}")
    for name in ("device", "cpu"):
        _expect(isinstance(hardware.get(name), str), f"'provenance.hardware' lacks {name!r}")
    commit = found.fields("git").text_or_none("commit")
    _expect(commit is None or bool(_COMMIT.fullmatch(commit)), "'provenance.git.commit' is no commit")
    for name in ("started", "finished"):
        _expect(bool(_TIME.fullmatch(found.text(name))), f"'provenance.{name}' is no time")
    _expect(found.fields("data").content() == config.get("data"), "'provenance.data' is another than in config.json")
    _expect(_task(record) == config.get("task"), "'provenance.task' is another than in config.json")


def _task(record: Fields) -> dict[str, object] | None:
    """The downstream task that a cell was measured on; None for the source task."""
    task = record.fields("provenance").fields_or_none("task")
    return task.content() if task else None


def _check_hash(record: Fields, name: str) -> None:
    _expect(is_hash(record.fields(name).text("sha256")), f"'{name}.sha256' is no SHA-256")


def _check_agreement(cells: Sequence[tuple[StageFiles, Fields]]) -> None:
    """One protocol, and one number of test images for one data set."""
    protocols: dict[int, StageFiles] = {}
    images: dict[str, tuple[int, StageFiles]] = {}
    for stage, record in cells:
        protocols.setdefault(record.whole("protocol"), stage)
        number = record.fields("evaluation").whole("images")
        data = canonical(_task(record) or record.fields("provenance").fields("data").content())
        known, other = images.setdefault(data, (number, stage))
        if known != number:
            raise UserError(
                f"{other.origin} was measured on {known} test images, {stage.origin} on {number} of the same data"
            )
    if len(protocols) > 1:
        named = ", ".join(f"{stage.origin} is of protocol {number}" for number, stage in sorted(protocols.items()))
        raise UserError(f"{named}: a leaderboard has one protocol, as numbers of two cannot be compared")


def _expect(holds: bool, otherwise: str) -> None:
    if not holds:
        raise ValueError(otherwise)
