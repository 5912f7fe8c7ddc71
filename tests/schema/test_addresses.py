"""Addresses of every shipped preset and grid: a change of any of them is a change of the protocol."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from learngene_bench.config.loader import shipped_files
from learngene_bench.config.section import Section, later
from learngene_bench.contracts.dataset import Dataset, DatasetFacts, Splits
from learngene_bench.planning import tasks
from learngene_bench.planning.plan import Plan
from learngene_bench.planning.planner import make_plan
from learngene_bench.planning.request import build_request
from learngene_bench.plugins.registry import Registry, dataset
from learngene_bench.schema.stage import AncestorConfig, CellConfig, GeneConfig, TeacherConfig
from learngene_bench.util.errors import UserError
from learngene_bench.version import PROTOCOL

GOLDEN = Path(__file__).parent / "golden"
HINT = "raise PROTOCOL, or declare a new field with `later`; then UPDATE_GOLDEN=1"


class Absent(Dataset):
    """A data set that is not on this machine, with made-up sizes."""

    def __init__(self, found: Dataset, name: str) -> None:
        super().__init__(found.options)
        self.name, self.location = name, type(found).location  # type: ignore[misc]
        self.size = getattr(found.options, "image_size", 32)

    def facts(self) -> DatasetFacts:
        return DatasetFacts(10, 3, self.size, train_images=50_000, validation_images=500, test_images=10_000)

    def fingerprint(self) -> str:
        return f"fingerprint of {self.name}"

    def load(self) -> Splits:
        raise AssertionError("a plan loads no images")


def known(settings: Mapping[str, Any]) -> Dataset:
    found = dataset(dict(settings))
    try:
        found.facts()
    except UserError:
        return Absent(found, settings["name"])
    return found


def plan_of(preset: str, grid: str, *settings: str) -> Plan:
    return make_plan(build_request("all", grid, preset, 1, settings, Registry(), quick=False))


@pytest.fixture
def data_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "dataset", known)


def compare(name: str, found: Any) -> None:
    path = GOLDEN / name
    text = json.dumps(found, indent=1) + "\n"
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text, encoding="utf-8")
    assert json.loads(path.read_text(encoding="utf-8")) == found, HINT


@pytest.mark.usefixtures("data_everywhere")
def test_addresses_of_every_preset_and_grid() -> None:
    """Addresses are kept by method, so that a new one is a new line and moves no other."""
    found: dict[str, Any] = {"protocol": PROTOCOL}
    for preset in sorted(shipped_files("preset")):
        for grid in sorted(shipped_files("grid")):
            try:
                plan = plan_of(preset, grid)
            except UserError:  # sizes, tasks or a class token that the preset does not have
                continue
            found[f"{preset} {grid}"] = {"setting": plan.setting[:16], **addresses_of_methods(plan)}
    compare("addresses.json", found)


def addresses_of_methods(plan: Plan) -> dict[str, str]:
    """Counts the stages that the cells of each method of a plan need, and hashes their addresses."""
    needed: dict[str, set[str]] = {}
    for cell in plan.cells:
        waiting = [cell.address]
        while waiting:
            address = waiting.pop()
            needed.setdefault(cell.method, set()).add(address)
            waiting += plan.stages[address].inputs.values()
    return {
        method: f"{len(stages)} {hashlib.sha256(chr(10).join(sorted(stages)).encode()).hexdigest()[:16]}"
        for method, stages in sorted(needed.items())
    }


def test_some_addresses_as_they_are() -> None:
    plan = plan_of("digits", "depth")
    labels = {stage.label: address for address, stage in plan.stages.items()}
    chosen = ("teacher convnet", "he micro depth 4 seed 0", "wave micro depth 4 seed 0", "ligo micro depth 8 seed 0")
    compare("digits-depth.json", {label: labels[label] for label in chosen})


def addressed_fields() -> list[str]:
    """Every field of every type in an address, with the protocol after which it came if it is left out by default."""
    found: dict[str, None] = {}

    def add(kind: type[BaseModel]) -> None:
        for name, field in kind.model_fields.items():
            line = f"{kind.__name__}.{name}{' (later)' if field.exclude_if else ''}"
            if line in found:
                continue
            found[line] = None
            for inner in models_in(field.annotation):
                add(inner)

    for kind in (TeacherConfig, AncestorConfig, GeneConfig, CellConfig):
        add(kind)
    return sorted(found)


def models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for inner in get_args(annotation) for model in models_in(inner)]


def test_a_new_field_of_an_address_is_declared_later_or_the_protocol_is_raised() -> None:
    compare("addressed-fields.json", {"protocol": PROTOCOL, "fields": addressed_fields()})


class Before(Section):
    width: int = 3


class After(Section):
    width: int = 3
    height: int = later(5, protocol=PROTOCOL, ge=1)
    depth: int = later(7, protocol=PROTOCOL - 1)


def test_a_later_field_is_left_out_while_it_has_its_default_until_the_protocol_is_raised() -> None:
    assert After().model_dump() == {**Before().model_dump(), "depth": 7}
    assert After(height=6).model_dump() == {"width": 3, "height": 6, "depth": 7}
    assert After.model_validate_json(After().model_dump_json()) == After()
    with pytest.raises(ValueError, match="greater than or equal to 1"):
        After(height=0)


@pytest.mark.parametrize(
    "other",
    [
        {"device": "cuda"},
        {"processes": 2},
        {"threads": 2},
        {"precision": "bfloat16"},
        {"compile": True},
        {"seed": 5},
        {"finetuning": None},
    ],
)
def test_what_numbers_depend_on_is_in_the_address(other: dict[str, Any]) -> None:
    from learngene_bench.schema.stage import stage_address

    plan = plan_of("digits", "depth")
    stage = plan.stages[plan.cells[0].address]
    assert stage_address("cell", stage.config.model_copy(update=other), stage.inputs) != stage.address


def test_device_and_processes_of_a_request_are_in_every_address_and_setting() -> None:
    from dataclasses import replace

    request = build_request("wave", "depth", "digits", 1, [], Registry(), quick=True)
    plans = [make_plan(replace(request, **about)) for about in ({}, {"device": "cuda"}, {"processes": 2})]
    assert len({plan.setting for plan in plans}) == 3
    assert len({plan.setting_description for plan in plans}) == 3
    assert len({address for plan in plans for address in plan.stages}) == sum(len(plan.stages) for plan in plans)
