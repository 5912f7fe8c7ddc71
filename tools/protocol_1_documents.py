"""Translation of the documents of protocol 1 into those of protocol 2, and the comparison of their numbers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from learngene_bench.contracts.dataset import DATASETS
from learngene_bench.contracts.metric import METRICS
from learngene_bench.planning.plan import Plan, Stage
from learngene_bench.plugins.registry import Registry, dataset
from learngene_bench.runs.manifest import make_manifest
from learngene_bench.schema.constants import SCHEMA_VERSION
from learngene_bench.schema.manifest import Manifest
from learngene_bench.schema.provenance import SourceCode
from learngene_bench.schema.record import AncestorRecord, CellRecord, GeneRecord, Record
from learngene_bench.schema.stage import (
    AncestorConfig,
    CellConfig,
    Config,
    Execution,
    GeneConfig,
    StageFile,
    TeacherConfig,
)
from learngene_bench.schema.subject import CellDescription
from learngene_bench.util.files import canonical
from learngene_bench.version import PROTOCOL

Json = dict[str, Any]

RENAMED = {"clip_gradient": "grad_clip_norm", "networks": "meta_batch_size", "matrices": "weight_init"}
"""Settings of recipes and of the base initialization that have another name now."""

_Record = TypeVar("_Record", AncestorRecord, GeneRecord, CellRecord)
TOP1 = METRICS.get("top1").spec


@dataclass(frozen=True)
class OldStage:
    """A stage as protocol 1 wrote it: config.json and result.json."""

    config: Json
    record: Json


def read_old_stages(folder: Path) -> dict[str, OldStage]:
    """Reads all stages of a leaderboard of protocol 1, by address."""
    stages = {}
    for path in folder.glob("*/*/config.json"):
        stage = OldStage(*(json.loads(p.read_text(encoding="utf-8")) for p in (path, path.with_name("result.json"))))
        stages[stage.config["address"]] = stage
    return stages


# Converting ----------------------------------------------------------------------------------------------------------


def migrate_config(old: OldStage, stage: Stage, description: CellDescription | None) -> StageFile:
    """Returns the new configuration; asserts that the old one, read by the present types, is equal to it."""
    read = read_old_config(old.config["config"])
    assert canonical(read) == canonical(stage.config.model_dump(mode="json")), f"{stage.label}: not the same settings"
    assert old.config["label"] == stage.label, (old.config["label"], stage.label)
    execution, about = old.config["execution"], old.config["execution"]["about"]
    if description is not None:
        check_description(about, description)
    return StageFile(
        address=stage.address,
        label=stage.label,
        kind=stage.kind,
        config=stage.config,
        inputs=dict(stage.inputs),
        execution=Execution(
            command=tuple(execution["command"]),
            code=SourceCode(**execution["code"]),
            checkpoint_seconds=execution["checkpoint_seconds"],
            num_workers=execution.get("loaders"),
            data=execution["data"],
            task_data=execution.get("task_data"),
            description=description,
        ),
    )


def read_old_config(old: Json) -> Json:
    """Reads a configuration of protocol 1 by the present types: former names, and fields that came later."""
    config = renamed(old)
    # Records of these leaderboards were computed on CPUs (provenance says so), by one process each.
    config |= {"protocol": 2, "device": "cpu", "processes": 1, "data": completed_data(old["data"])}
    if "task" in config:
        config["task"] = {"data": completed_data(old["task"]["data"])}
    for name in ("spec", "family", "target", "size_base"):
        if name in config:
            config[name] = with_family(config[name])
    kind: type[Config] = AncestorConfig
    if "teacher" in config:
        kind = TeacherConfig
    elif "target" in config:
        kind = CellConfig
        config["finetuning"] = config.pop("tuning")
        options = Registry().get(config["method"]["name"]).create(config["options"]).options
        config["options"] = options.model_dump(mode="json")
    elif "method" in config:
        kind = GeneConfig
        config["spec"] = config.pop("family")
    return kind.model_validate_json(json.dumps(config)).model_dump(mode="json")


def renamed(value: Any) -> Any:
    if isinstance(value, dict):
        return {RENAMED.get(name, name): renamed(inner) for name, inner in value.items()}
    return value


def with_family(spec: Json) -> Json:
    return {"family": "vit", **spec}


def completed_data(old: Json) -> Json:
    """Adds the options of a data set that came later; they have the default, which is how data were read before."""
    given = {name: value for name, value in old.items() if name != "fingerprint"}
    kind = DATASETS.get(old["name"])
    place = {name: "elsewhere" for name in kind.location if kind.Options.model_fields[name].is_required()}
    found = dataset({**place, **given})
    options = found.options.model_dump(mode="json", exclude=set(found.location))
    return {"name": old["name"], **options, "fingerprint": old["fingerprint"]}


def check_description(about: Json, new: CellDescription) -> None:
    """Asserts that a cell is called and counted as before."""
    cell = new.cell.model_dump(mode="json")
    old = {**about["cell"], "target": with_family(about["cell"]["target"])}
    assert {name: cell[name] for name in old} == old
    assert cell["parameters"] == about["parameters"], (cell, about)
    assert (cell["prepare_epochs"], new.preset) == (about["prepare_epochs"], about["preset"])
    assert about["equal_budget"] is None
    assert new.equal_budget is None


def migrate_record(old: OldStage, config: StageFile) -> Record:
    """Returns the record in its new form."""
    record = old.record
    assert record["provenance"]["hardware"]["device"] == "cpu"
    assert record["provenance"]["hardware"]["processes"] == 1
    head: Json = {
        "schema_version": SCHEMA_VERSION,
        "protocol": PROTOCOL,
        "address": config.address,
        "inputs": config.inputs,
        "provenance": {**record["provenance"], "data": config.config.data},
        "migrated_from": record["address"],
    }
    if "task" in record["provenance"]:
        assert isinstance(config.config, CellConfig)
        assert config.config.task
        head["provenance"]["task"] = config.config.task.model_dump(mode="json")
    specs = {"metric_specs": {"top1": TOP1.model_dump(mode="json")}, "primary_metric": "top1"}
    if record["kind"] == "ancestor":
        return made(
            AncestorRecord,
            head,
            specs,
            taken(record, "cost", "forward_flops", "tensors"),
            metrics={"top1": record["metrics"]["validation_top1"]},
            curve=curve(record["curve"]),
        )
    if record["kind"] == "gene":
        curves = {name: curve(points) for name, points in record["curve"].items()}
        return made(GeneRecord, head, taken(record, "cost", "tensors"), curve=curves)
    assert config.execution.description
    costs = dict(record["cost"])
    costs["finetune"] = costs.pop("tune")
    return made(
        CellRecord,
        head,
        specs,
        config.execution.description.model_dump(mode="json"),
        taken(record, "initial_weights", "model", "evaluation"),
        metrics={"top1": record["metrics"]["top1"]},
        initial_metrics={"top1": record["metrics"]["top1_initial"]},
        curve=curve(record["curve"]),
        cost=costs,
        base_tensors=record.get("kept_tensors"),
    )


def made(kind: type[_Record], *parts: Json, **others: Any) -> _Record:
    content: Json = {}
    for part in (*parts, others):
        content |= part
    return kind.model_validate_json(json.dumps(content))


def taken(record: Json, *names: str) -> Json:
    return {name: record[name] for name in names}


def curve(points: list[Json]) -> list[Json]:
    """Turns the accuracy of each point into a metric."""
    return [
        {
            **{name: point[name] for name in ("epoch", "iterations", "loss")},
            "metrics": None if point["top1"] is None else {"top1": point["top1"]},
        }
        for point in points
    ]


def migrate_manifest(old: Json, plan: Plan, replaced: Mapping[str, str]) -> Manifest:
    """Returns the manifest of the new plan, made when and by what the old one was, with its estimates."""
    manifest = make_manifest(plan, old["command"])
    flops = {stage["address"]: stage["flops"] for stage in old["stages"]}
    stages = tuple(
        stage.model_copy(update={"flops": float(flops[replaced[stage.address]])}) for stage in manifest.stages
    )
    assert len(old["dashes"]) == len(manifest.unsupported)
    return manifest.model_copy(update={"created": old["created"], "stages": stages, "folder": None})


# Checking ------------------------------------------------------------------------------------------------------------


def check_numbers(old: Json, new: Record) -> None:
    """Asserts that a record holds the numbers, hashes and provenance that it held, each under its new name."""
    found = new.model_dump(mode="json")
    assert sorted(numbers_of(old)) == sorted(numbers_of(found)), f"{old['address']}: not the same numbers"
    provenance = {name: value for name, value in old["provenance"].items() if name not in ("data", "task")}
    assert provenance == {name: found["provenance"][name] for name in provenance}


def numbers_of(record: Json) -> Iterator[str]:
    """Yields metrics, curve, cost, hashes and sizes of a record of either protocol, as text to the last digit."""
    names = {"top1_initial": "top1", "validation_top1": "top1", "tune": "finetune"}

    def walk(value: Any, place: str) -> Iterator[str]:
        if isinstance(value, dict):
            for name, inner in value.items():
                yield from walk(inner, f"{place}/{names.get(name, name)}".replace("/metrics", ""))
        elif isinstance(value, list):
            for number, inner in enumerate(value):
                yield from walk(inner, f"{place}/{number}")
        elif value is not None:
            yield f"{place} {value!r}"

    kept = ("metrics", "initial_metrics", "curve", "cost", "initial_weights", "model", "tensors", "evaluation")
    for part in kept:
        if part in record:
            yield from walk(record[part], part.removeprefix("initial_") if "metrics" in part else part)
