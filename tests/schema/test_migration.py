"""Records of protocol 1 were taken along to protocol 2 by tools/migrate_protocol_1.py: the same numbers."""

from __future__ import annotations

import io
import subprocess
import tarfile
from pathlib import Path

import migrate_protocol_1
import pytest

from learngene_bench.planning.planner import make_plan
from learngene_bench.planning.request import build_request
from learngene_bench.plugins.registry import Registry
from learngene_bench.schema.leaderboard import PLANS, RECORDS, read_plans, read_stages
from learngene_bench.schema.record import CellRecord

BOARDS = Path(__file__).parents[2] / "results" / "leaderboards"
OLD = Path(__file__).parent / "golden" / "protocol-1.tsv"
"""The numbers of each cell of protocol 1: beginning of its address, top-1 as initialized and after fine-tuning."""


def test_every_record_has_the_accuracies_of_protocol_1() -> None:
    found = {}
    for board in ("digits", "tiny-imagenet-laptop"):
        for stage in read_stages(BOARDS / board).values():
            if isinstance(stage.record, CellRecord) and stage.record.migrated_from:
                record = stage.record
                values = record.initial_metrics["top1"], record.metrics["top1"]
                assert values == (record.curve[0].metrics["top1"], record.curve[-1].metrics["top1"])  # type: ignore[index]
                found[record.migrated_from[:20]] = values
    lines = [line.split("\t") for line in OLD.read_text(encoding="utf-8").splitlines()]
    assert len(lines) == 351
    assert found == {address: (float(before), float(after)) for address, before, after in lines}


def test_migrated_records_of_the_digits_are_those_that_the_command_plans_today() -> None:
    plan = make_plan(build_request("all", "depth", "digits", 3, [], Registry(), quick=False))
    stages = read_stages(BOARDS / "digits")
    assert len(plan.cells) == 207
    assert plan.stages.keys() == stages.keys()
    for address, stage in plan.stages.items():
        recorded = stages[address].config
        assert recorded is not None
        assert (recorded.label, recorded.config, recorded.inputs) == (stage.label, stage.config, stage.inputs)
    assert {line.plan.setting for line in read_plans(BOARDS / "digits").values()} == {plan.setting}


@pytest.mark.parametrize("board", ["digits", "tiny-imagenet-laptop"])
def test_migrated_records_say_where_they_come_from(board: str) -> None:
    for stage in read_stages(BOARDS / board).values():
        assert stage.record is not None
        assert stage.record.provenance.git.commit
        assert stage.record.migrated_from != stage.address


PROTOCOL_1 = "551db0b"
"""Last commit whose leaderboards are of protocol 1."""


@pytest.mark.slow
def test_the_script_gives_the_committed_records(tmp_path: Path) -> None:
    """Needs the history of the repository; elsewhere the accuracies above stand for all."""
    root = BOARDS.parents[1]
    archive = ["git", "-C", str(root), "archive", PROTOCOL_1, "results/leaderboards"]
    found = subprocess.run(archive, capture_output=True, check=False)
    if found.returncode:
        pytest.skip("the history of the repository is not here")
    with tarfile.open(fileobj=io.BytesIO(found.stdout)) as files:
        files.extractall(tmp_path, filter="data")
    for board in ("digits", "tiny-imagenet-laptop"):
        migrate_protocol_1.main(tmp_path / "results" / "leaderboards" / board, tmp_path / board)
        for name in (RECORDS, PLANS):
            lines = (tmp_path / board / name).read_text(encoding="utf-8").splitlines()
            assert set(lines) <= set((BOARDS / board / name).read_text(encoding="utf-8").splitlines())


def test_the_script_refuses_other_numbers() -> None:
    stage = next(stage for stage in read_stages(BOARDS / "digits").values() if isinstance(stage.record, CellRecord))
    assert isinstance(stage.record, CellRecord)
    old = stage.record.model_dump(mode="json")
    migrate_protocol_1.check_numbers({**old, "address": stage.record.migrated_from}, stage.record)
    old["cost"]["initialize"]["seconds"] += 1e-9
    with pytest.raises(AssertionError, match="not the same numbers"):
        migrate_protocol_1.check_numbers(old, stage.record)
