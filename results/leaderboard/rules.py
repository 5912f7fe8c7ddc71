"""Rules that a record must keep to stand in a leaderboard. A broken rule is one line that names the file.

The schema has checked already that every field is there and of its type, and that a record is that of its
configuration. What remains is whether the numbers can be true, and whether others can compute them again.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from hashlib import sha256

from learngene_bench.contracts.family import FAMILIES, spec_from_dict
from learngene_bench.results.leaderboard.content import Content
from learngene_bench.results.leaderboard.evaluated import named_predictions
from learngene_bench.schema.constants import FOLDER_DIGITS
from learngene_bench.schema.evaluation import EvaluationRecord
from learngene_bench.schema.leaderboard import PublishedStage
from learngene_bench.schema.metric import CurvePoint, MetricSpec
from learngene_bench.schema.predictions import parse_predictions
from learngene_bench.schema.provenance import Provenance
from learngene_bench.schema.record import CellRecord
from learngene_bench.schema.stage import CellConfig, GeneConfig, StageConfig
from learngene_bench.schema.subject import PlannedCell
from learngene_bench.util.errors import DamagedFile, UserError
from learngene_bench.util.files import canonical

VERSIONS = ("python", "torch", "learngene-bench")
"""Packages of which every record and every re-run names the version."""

ACCURACY = "top1"
"""Metric that predictions give: percentage of images whose predicted class is their label."""


def check(content: Content) -> None:
    """Checks plans, every stage by itself, and all cells together.

    Raises:
        UserError: a rule is broken.
    """
    _check_plans(content)
    planned = {cell.address: cell for line in content.plans.values() for cell in line.plan.cells}
    trials = {
        cell.address
        for line in content.plans.values()
        if line.plan.sweep and line.plan.sweep.role == "trials"
        for cell in line.plan.cells
    }
    for address, stage in content.stages.items():
        try:
            if stage.record is not None and stage.config is not None:
                _check_inputs(stage, content)
                _check_gene_seed(stage.config.config, stage, content)
                _check_provenance(stage.record.provenance, stage.config.config)
                if isinstance(stage.record, CellRecord):
                    _check_cell(stage.record, stage.config.config, planned[address], address in trials)
        except ValueError as error:
            raise UserError(f"{content.sources[address]} ({stage.label}): {error}") from None
    _check_agreement(content)
    for evaluation in content.evaluated.evaluations.values():
        _check_evaluation(evaluation, content)
    _check_predictions(content)


def _check_plans(content: Content) -> None:
    for line in content.plans.values():
        cells = {stage.address for stage in line.plan.stages if stage.kind == "cell"}
        if {cell.address for cell in line.plan.cells} != cells:
            raise DamagedFile(f"plan {line.name} is damaged: its cells are not those among its stages")


def _check_inputs(stage: PublishedStage, content: Content) -> None:
    for address in stage.inputs.values():
        _expect(
            address in content.stages and content.stages[address].record is not None,
            f"there is no record of its input {address[:FOLDER_DIGITS]}, without which nobody can repeat this one",
        )


def _check_gene_seed(config: StageConfig, stage: PublishedStage, content: Content) -> None:
    """Checks that a cell inherits from a gene of the seed that it names."""
    gene = content.stages[stage.inputs["gene"]].config if "gene" in stage.inputs else None
    if isinstance(config, CellConfig) and gene and isinstance(gene.config, GeneConfig):
        named, found = config.seed if config.gene_seed is None else config.gene_seed, gene.config.seed
        _expect(found in (None, named), f"its gene is of seed {found}, and its configuration says {named}")


def _check_provenance(provenance: Provenance, config: StageConfig) -> None:
    _expect(bool(provenance.command), "'provenance.command' is empty")
    for name in VERSIONS:
        _expect(name in provenance.versions, f"'provenance.versions' lacks {name!r}")
    for name in ("device", "cpu"):
        _expect(isinstance(provenance.hardware.get(name), str), f"'provenance.hardware' lacks {name!r}")
    _expect(provenance.data == config.data, "'provenance.data' is not that of the configuration")
    task = config.task if isinstance(config, CellConfig) else None
    _expect(provenance.task == task, "'provenance.task' is not that of the configuration")


def _check_cell(record: CellRecord, config: StageConfig, planned: PlannedCell, is_trial: bool) -> None:
    """Checks what a cell says of itself against its configuration and its plan, then its numbers."""
    _expect(isinstance(config, CellConfig), "the configuration is not that of a cell")
    assert isinstance(config, CellConfig)
    for name, value, expected in (
        ("method", record.cell.method, config.method.name),
        ("target", record.cell.target, config.target),
        ("seed", record.cell.seed, config.seed),
        ("gene_seed", record.cell.gene_seed, config.gene_seed),
    ):
        _expect(value == expected, f"'cell.{name}' is {value}, not {expected} as in the configuration")
    for name, count in planned.parameters:
        found = getattr(record.cell.parameters, name)
        _expect(found == count, f"'cell.parameters.{name}' is {found}, not {count} as in the plan")
    _check_model(record)
    split = record.evaluation.split
    _expect(split == config.evaluation_split, f"measured on {split} images, which the configuration does not say")
    allowed = "validation" if is_trial else "test"
    _expect(split == allowed, f"measured on {split} images, not on {allowed} images as the plan asks for")
    _check_metrics(record)


def _check_model(record: CellRecord) -> None:
    """Checks the number of parameters, if the model is of a family that is installed here."""
    if record.cell.target["family"] not in FAMILIES.names():
        return
    try:
        count = spec_from_dict(record.cell.target).parameter_count()
    except UserError as error:
        raise ValueError(f"'cell.target': {error}") from None
    found = record.cell.parameters.model
    _expect(found == count, f"'cell.parameters.model' is {found}, not {count}, as many as this model has")


def _check_metrics(record: CellRecord) -> None:
    """Checks that all values are possible, and that the metrics are those at the ends of the learning curve."""
    images = record.evaluation.images
    _expect(images > 0 and bool(record.curve), "there is no learning curve on held-out images")
    for name, values, point, verb in (
        ("initial_metrics", record.initial_metrics, record.curve[0], "begins"),
        ("metrics", record.metrics, record.curve[-1], "ends"),
    ):
        _expect(values.keys() == record.metric_specs.keys(), f"{name!r} are not those that 'metric_specs' describe")
        for metric, value in values.items():
            _check_value(f"'{name}.{metric}'", value, record.metric_specs[metric], images)
            end = (point.metrics or {}).get(metric)
            _expect(value == end, f"'{name}.{metric}' is {value}, but the learning curve {verb} with {end}")
    for point in record.curve:
        _check_point(point, record)


def _check_point(point: CurvePoint, record: CellRecord) -> None:
    loss, metrics = point.loss, point.metrics or {}
    _expect(loss is None or math.isfinite(loss), f"the learning curve has the loss {loss}")
    _expect(metrics.keys() <= record.metric_specs.keys(), "the learning curve has a metric that nothing describes")
    for metric, value in metrics.items():
        name = f"{metric!r} in the learning curve"
        _check_value(name, value, record.metric_specs[metric], record.evaluation.images)


def _check_value(name: str, value: float, spec: MetricSpec, images: int) -> None:
    """Checks a value against the metric's own description, whether or not this suite knows the metric."""
    _expect(math.isfinite(value) and spec.holds(value), f"{name} is {value}, not {_range(spec)}")
    if spec.counts_images:
        right = value * images / 100
        whole = math.isclose(right, round(right), abs_tol=1e-6)
        _expect(whole, f"{name} is {value}, which is not the percentage of any number of {images} images")


def _range(spec: MetricSpec) -> str:
    low, high = spec.bounds
    if low is not None and high is not None:
        return f"a number from {low:g} to {high:g}"
    return "a number" + (f" from {low:g}" if low is not None else "") + (f" to {high:g}" if high is not None else "")


def _check_evaluation(evaluation: EvaluationRecord, content: Content) -> None:
    """Checks an evaluation against the cell that it is of."""
    stage = content.stages.get(evaluation.cell)
    cell = stage.record if stage else None
    try:
        _expect(isinstance(cell, CellRecord), "there is no record of its cell")
        assert isinstance(cell, CellRecord)
        _expect(evaluation.model == cell.model.sha256, "it is of other weights than those of the cell's record")
        _expect(evaluation.evaluation == cell.evaluation, "it is of other images than the cell's record")
        for metric in evaluation.metric_specs.keys() & cell.metric_specs.keys():
            same = evaluation.metric_specs[metric] == cell.metric_specs[metric]
            _expect(same, f"it describes the metric {metric!r} differently than the cell's record")
        for metric, value in evaluation.metrics.items():
            _check_value(f"'metrics.{metric}'", value, evaluation.metric_specs[metric], evaluation.evaluation.images)
    except ValueError as error:
        named = f" ({stage.label})" if stage else ""
        raise UserError(f"evaluation {evaluation.address[:FOLDER_DIGITS]}{named}: {error}") from None


def _check_predictions(content: Content) -> None:
    """Checks that each file of predictions is that of a record, and gives the accuracy of this record."""
    evaluated = content.evaluated
    named = named_predictions(content.cells().values(), evaluated.evaluations.values())
    for path, file in evaluated.predictions.items():
        try:
            _expect(path in named, "no record names it")
            recorded, record = named[path]
            same = (len(file), sha256(file).hexdigest()) == (recorded.bytes, recorded.sha256)
            _expect(same, "its hash differs from the record's")
            found = parse_predictions(file, record.evaluation.images)
            right, expected = 100 * float(found.right.mean()), record.metrics.get(ACCURACY)
            same = expected is None or math.isclose(right, expected, abs_tol=1e-6)
            _expect(same, f"{right:.4g} % of the images are right in it, and {expected:.4g} % in the record")
        except ValueError as error:
            raise UserError(f"{path}: {error}") from None


def _check_agreement(content: Content) -> None:
    """Checks that all cells have one protocol, a metric one meaning, and a data set one number of test images."""
    protocols: dict[int, str] = {}
    images: dict[tuple[str, str], tuple[int, str]] = {}
    specs: dict[str, tuple[MetricSpec, str]] = {}
    for record, name in _cells(content):
        protocols.setdefault(record.protocol, name)
        data = canonical(record.provenance.task.data if record.provenance.task else record.provenance.data)
        split = record.evaluation.split
        number, other = images.setdefault((data, split), (record.evaluation.images, name))
        if number != record.evaluation.images:
            raise UserError(
                f"{other} was measured on {number} {split} images, {name} on {record.evaluation.images} "
                "of the same data"
            )
        for metric, spec in record.metric_specs.items():
            known, other = specs.setdefault(metric, (spec, name))
            if known != spec:
                raise UserError(f"{other} and {name} describe the metric {metric!r} differently")
    if len(protocols) > 1:
        named = ", ".join(f"{name} is of protocol {number}" for number, name in sorted(protocols.items()))
        raise UserError(f"{named}: a leaderboard has one protocol, as numbers of two cannot be compared")


def _cells(content: Content) -> Iterable[tuple[CellRecord, str]]:
    """Returns the record of each cell, and the place that an error names."""
    for address, stage in content.stages.items():
        if isinstance(stage.record, CellRecord):
            yield stage.record, f"{content.sources[address]} ({stage.label})"


def _expect(holds: bool, otherwise: str) -> None:
    if not holds:
        raise ValueError(otherwise)
