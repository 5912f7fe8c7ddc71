"""Records that break a rule are kept out of a leaderboard, whatever their metrics are."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import records
from boards import contents, metrics_and_curve, set_in
from recorded_runs import RecordedRuns, recorded

from learngene_bench.cli.main import run_command
from learngene_bench.planning import stages as planned_stages
from learngene_bench.results.leaderboard import manage
from learngene_bench.runs import manifest
from learngene_bench.schema.base import read
from learngene_bench.schema.manifest import Manifest
from learngene_bench.util.errors import UserError
from learngene_bench.version import PROTOCOL


def edit(change: Callable[[dict[str, Any]], object], kind: str = "cell", name: str = "result.json") -> Any:
    """A change of the first stage's file."""

    def damage(offered: RecordedRuns) -> Path:
        path = offered.file(offered.stages(kind)[0], name)
        offered.change(path, change)
        return path

    return damage


def other_plan(offered: RecordedRuns) -> Path:
    (path,) = (offered.folder / "plans").iterdir()
    offered.change(path, lambda plan: plan["cells"].pop())
    return path


def no_gene(offered: RecordedRuns) -> Path:
    gene = offered.stages("gene")[0]
    shutil.rmtree(offered.runs.stage_dir(gene).path)
    return offered.file(next(stage for stage in offered.stages("cell") if stage.inputs.get("gene") == gene.address))


def no_config(offered: RecordedRuns) -> Path:
    path = offered.file(offered.stages("cell")[0], "config.json")
    path.unlink()
    return path


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (edit(set_in("config", "seed", to=7), name="config.json"), "changed since it was written"),
        (edit(set_in("address", to="0" * 64), kind="gene"), f"'address' is {'0' * 64}, not "),
        (edit(set_in("schema_version", to=99)), "has schema version 99"),
        (edit(set_in("protocol", to=99), kind="ancestor"), "'record.protocol' is not that of the configuration"),
        (edit(set_in("inputs", "gene", to="1" * 64)), "'record.inputs' are not those of the configuration"),
        (edit(set_in("metrics", "top1", to=math.nan)), "'metrics.top1' is nan, not a number from 0 to 100"),
        (edit(metrics_and_curve(100.5)), "'metrics.top1' is 100.5, not a number from 0 to 100"),
        (edit(set_in("metrics", "top1", to=90.0)), "'metrics.top1' is 90.0, but the learning curve ends with 83."),
        (edit(metrics_and_curve(99.99)), "99.99, which is not the percentage of any number of 1440 images"),
        (edit(set_in("initial_metrics", to={})), "'initial_metrics' are not those that 'metric_specs' describe"),
        (edit(set_in("curve", 1, "loss", to=math.inf)), "the learning curve has the loss inf"),
        (
            edit(set_in("curve", 1, "metrics", "made_up", to=1.0)),
            "the learning curve has a metric that nothing describes",
        ),
        (edit(set_in("curve", to=[])), "there is no learning curve"),
        (edit(set_in("evaluation", "images", to=720)), "was measured on 720 test images"),
        (edit(set_in("evaluation", "split", to="validation")), "measured on validation images"),
        (edit(set_in("metric_specs", "top1", "title", to="Top 1")), "describe the metric 'top1' differently"),
        (edit(set_in("initial_weights", "sha256", to="ABC")), "'initial_weights.sha256'"),
        (edit(set_in("tensors", "sha256", to="0" * 63), kind="gene"), "'tensors.sha256'"),
        (edit(set_in("cell", "parameters", "model", to=1)), "'cell.parameters.model' is 1, not "),
        (edit(set_in("cell", "method", to="sws")), "planned"),
        (edit(lambda record: record.pop("provenance")), "lacks 'provenance'"),
        (edit(set_in("provenance", "command", to=[])), "'provenance.command' is empty"),
        (edit(set_in("provenance", "versions", to={"python": "3.11"})), "'provenance.versions' lacks 'torch'"),
        (edit(set_in("provenance", "git", "commit", to="main")), "'provenance.git.commit'"),
        (edit(set_in("provenance", "started", to="yesterday")), "'provenance.started'"),
        (edit(set_in("provenance", "data", "noise", to=0.0)), "'provenance.data' is not that of the configuration"),
        (other_plan, "changed since it was written"),
        (no_gene, "there is no record of its input"),
        (no_config, "without which nobody can repeat the record"),
    ],
)
def test_what_breaks_a_rule_is_refused_by_name(
    offered: RecordedRuns, tmp_path: Path, board: Path, damage: Callable[[RecordedRuns], Path], reason: str
) -> None:
    manage.add(board, recorded(tmp_path / "before", "timm").folder)
    before = contents(board.parent)
    path = damage(offered)
    with pytest.raises(UserError) as error:
        manage.add(board, offered.folder)
    message = str(error.value)
    assert str(path if path.parent.name == "plans" else path.parent) in message
    assert reason in message
    assert "\n" not in message
    assert contents(board.parent) == before


def test_parameters_that_no_such_model_has_are_refused(offered: RecordedRuns, board: Path) -> None:
    """The number is changed in the record and in the plan, and the plan's name with it."""
    cell = offered.stages("cell")[0]
    offered.change(offered.file(cell), set_in("cell", "parameters", "model", to=1))
    (path,) = (offered.folder / "plans").iterdir()

    def change(plan: dict[str, Any]) -> None:
        (planned,) = (found for found in plan["cells"] if found["address"] == cell.address)
        planned["parameters"]["model"] = 1

    offered.change(path, change)
    path.rename(path.with_name(read(Manifest, path).file_name))
    with pytest.raises(UserError, match=r"'cell\.parameters\.model' is 1, not \d+, as many as this model has"):
        manage.add(board, offered.folder)


def test_a_leaderboard_has_one_protocol(
    offered: RecordedRuns, tmp_path: Path, board: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manage.add(board, offered.folder)
    for module in (planned_stages, manifest, records):
        monkeypatch.setattr(module, "PROTOCOL", PROTOCOL + 1)
    later = recorded(tmp_path / "later", "timm")
    with pytest.raises(UserError, match=r"is of protocol \d+, .* is of protocol \d+: a leaderboard has one protocol"):
        manage.add(board, later.folder)


def add_metrics(record: dict[str, Any], top5: float = 95.0, spread: float = 2.25) -> None:
    """Adds a percentage of images, and a metric that no installed package knows."""
    record["metric_specs"]["top5"] = {**record["metric_specs"]["top1"], "name": "top5", "title": "Top-5 accuracy"}
    record["metric_specs"]["spread"] = {
        "name": "spread", "title": "Spread of logits", "unit": "nat", "bounds": [0.0, None],
        "higher_is_better": False, "decimals": 2, "counts_images": False,
    }  # fmt: skip
    for values in (record["metrics"], record["initial_metrics"], *(point["metrics"] for point in record["curve"])):
        values |= {"top5": top5, "spread": spread}


def test_other_metrics_are_added_checked_and_printed(
    offered: RecordedRuns, board: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for stage in offered.stages("cell"):
        offered.change(offered.file(stage), add_metrics)
    assert manage.add(board, offered.folder) == ["records added: 8; already there with the same numbers: 0"]
    assert manage.difference(board) is None
    for metric, title, value in (("top5", "Top-5 accuracy (%) after", "95.0"), ("spread", "Spread of logits", "2.25")):
        assert run_command(["report", "--runs", str(board), "--metric", metric]) == 0
        text = capsys.readouterr().out
        assert title in text
        assert value in text


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"top5": 95.01}, "'initial_metrics.top5' is 95.01, which is not the percentage of any number of 1440 images"),
        ({"top5": 101.0}, "'initial_metrics.top5' is 101.0, not a number from 0 to 100"),
        ({"spread": -1.0}, "'initial_metrics.spread' is -1.0, not a number from 0"),
    ],
)
def test_other_metrics_keep_to_their_own_description(
    offered: RecordedRuns, board: Path, values: dict[str, float], reason: str
) -> None:
    offered.change(offered.file(offered.stages("cell")[0]), lambda record: add_metrics(record, **values))
    with pytest.raises(UserError) as error:
        manage.add(board, offered.folder)
    assert reason in str(error.value)


def test_a_record_of_more_metrics_replaces_one_of_fewer(offered: RecordedRuns, tmp_path: Path, board: Path) -> None:
    other = tmp_path / "other" / "digits"
    shutil.copytree(offered.folder, tmp_path / "more")
    more = RecordedRuns(tmp_path / "more", offered.plan)
    for stage in more.stages("cell"):
        more.change(more.file(stage), add_metrics)
    manage.add(board, offered.folder)
    said = manage.add(board, more.folder)
    assert said[0] == "records added: 0; already there with the same numbers: 8"
    assert said[1].startswith("replaced by records of more metrics: 8 (")
    manage.add(other, more.folder)
    manage.add(other, offered.folder)
    assert contents(board) == contents(other)
