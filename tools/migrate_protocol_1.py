"""Take a leaderboard of protocol 1 along to protocol 2, every number the same.

    git archive 551db0b results/leaderboards | tar -x -C OLD
    python tools/migrate_protocol_1.py OLD/results/leaderboards/digits results/leaderboards/digits
    lgbench leaderboard build digits

Protocol 2 computes what protocol 1 computed. Addresses differ, as they now hold the kind of device and the number of
processes, every setting also where it has its default, and the names of today. So every recorded command is planned
again by the present code, on data that are known from the records where they are not on this machine. A new stage takes
an old one's place only if the old configuration, read by the present types, is equal to the new one. Of records, all
numbers, hashes and the provenance are kept; `migrated_from` is the old address. Whatever does not fit ends the script.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from protocol_1_documents import (
    Json,
    OldStage,
    check_numbers,
    migrate_config,
    migrate_manifest,
    migrate_record,
    read_old_stages,
    with_family,
)

from learngene_bench.config.preset import Preset
from learngene_bench.contracts.dataset import Dataset, DatasetFacts, Splits
from learngene_bench.planning import tasks as planning_tasks
from learngene_bench.planning.plan import Plan
from learngene_bench.planning.planner import make_plan
from learngene_bench.planning.request import build_request
from learngene_bench.plugins.registry import Registry, dataset
from learngene_bench.runs.manifest import describe_cell, planned_cell
from learngene_bench.schema.leaderboard import PLANS, RECORDS, plans_text, publish_plan, publish_stage, stages_text
from learngene_bench.util.errors import UserError
from learngene_bench.util.files import canonical, write_text
from learngene_bench.version import PROTOCOL

CELL = ("method", "variant", "size", "task", "seed")
"""Fields by which the cells of a plan differ, beside their target."""


def main(old: Path, new: Path) -> None:
    assert PROTOCOL == 2, "this script makes records of protocol 2"
    stages = read_old_stages(old)
    published, plans = {}, []
    for path in sorted((old / "plans").glob("*.json")):
        manifest = json.loads(path.read_text(encoding="utf-8"))
        plan = plan_again(manifest, stages)
        replaced = match_stages(manifest, plan, stages)
        plans.append(publish_plan(migrate_manifest(manifest, plan, replaced)))
        descriptions = {cell.address: describe_cell(cell, plan) for cell in plan.cells}
        for address, stage in plan.stages.items():
            old_stage = stages[replaced[address]]
            config = migrate_config(old_stage, stage, descriptions.get(address))
            record = migrate_record(old_stage, config)
            check_numbers(old_stage.record, record)
            published[address] = publish_stage(stage.kind, address, config, record, None)
    assert len(published) == len(stages), f"{len(stages)} stages became {len(published)}"
    write_text(new / RECORDS, stages_text(published.values()))
    write_text(new / PLANS, plans_text(plans))
    print(f"{new}: {len(published)} records of {len(stages)}, {len(plans)} plans")


# Planning again ------------------------------------------------------------------------------------------------------


class KnownData(Dataset):
    """A data set as the records describe it, which need not be on this machine."""

    def __init__(self, found: Dataset, identity: Json, model: Json) -> None:
        super().__init__(found.options)
        self.Options, self.location = type(found).Options, type(found).location  # type: ignore[misc]
        self.found, self.identity, self.model = found, identity, model

    def label(self, name: str) -> str:
        return self.found.label(name)

    def facts(self) -> DatasetFacts:
        try:
            return self.found.facts()
        except UserError:  # not here: sizes are those of the models, and how many images there are decides nothing
            sizes = {name: self.model[name] for name in ("image_size", "channels", "classes")}
            return DatasetFacts(**sizes, train_images=1000, validation_images=100, test_images=100)

    def fingerprint(self) -> str:
        return str(self.identity["fingerprint"])

    def load(self) -> Splits:
        raise AssertionError("a plan loads no images")


def plan_again(manifest: Json, stages: Mapping[str, OldStage]) -> Plan:
    """Plans what a recorded command asks for, by the present code."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--method")
    parser.add_argument("--grid")
    parser.add_argument("--preset", default="digits")
    parser.add_argument("--seeds", type=int)
    parser.add_argument("--set", action="append", default=[])
    asked = parser.parse_args(manifest["command"][2:])
    methods = ",".join(manifest["methods"])  # `all` stands for the methods that there were
    request = build_request(methods, asked.grid, asked.preset, asked.seeds, asked.set, Registry(), quick=False)
    with data_from_records(request.preset, manifest, stages):
        return make_plan(request)


@contextmanager
def data_from_records(preset: Preset, manifest: Json, stages: Mapping[str, OldStage]) -> Iterator[None]:
    """Lets the planner find data as the records describe them."""
    configs = {cell["task"]: stages[cell["address"]].config["config"] for cell in manifest["cells"]}
    source = next(iter(configs.values()))
    known = {canonical(preset.data): (source["data"], source["size_base"])}
    for name, task in (preset.downstream.tasks if preset.downstream else {}).items():
        if name in configs:
            known[canonical(task.data)] = configs[name]["task"]["data"], configs[name]["target"]
    planner_dataset = planning_tasks.dataset
    planning_tasks.dataset = lambda settings: KnownData(dataset(settings), *known[canonical(settings)])
    try:
        yield
    finally:
        planning_tasks.dataset = planner_dataset


def match_stages(manifest: Json, plan: Plan, stages: Mapping[str, OldStage]) -> dict[str, str]:
    """Finds the old stage of every new one: cells by what they are, their inputs by role."""

    def key(cell: Json, target: Json) -> str:
        return canonical([target, *(cell[name] for name in CELL)])

    old_cells = {key(cell, with_family(cell["target"])): cell for cell in manifest["cells"]}
    assert len(old_cells) == len(manifest["cells"]) == len(plan.cells)
    matched: dict[str, str] = {}

    def match(new: str, old: str) -> None:
        assert matched.setdefault(new, old) == old, f"{plan.stages[new].label}: two old stages became one"
        roles = plan.stages[new].inputs
        old_roles = stages[old].config["inputs"]
        assert roles.keys() == old_roles.keys()
        for role, address in roles.items():
            match(address, old_roles[role])

    for cell in plan.cells:
        planned = planned_cell(cell, plan).model_dump(mode="json")
        match(cell.address, old_cells[key(planned, planned["target"])]["address"])
    assert matched.keys() == plan.stages.keys()
    return matched


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
