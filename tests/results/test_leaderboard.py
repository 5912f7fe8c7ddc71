"""A leaderboard: what it takes in, what it refuses, and that it is a function of its records, byte by byte."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import records
from recorded_runs import RecordedRuns, recorded

from learngene_bench.baselines.he import He
from learngene_bench.cli.main import run_command
from learngene_bench.planning import stages as planned_stages
from learngene_bench.results import load
from learngene_bench.results.leaderboard import manage
from learngene_bench.results.tables import tidy
from learngene_bench.runs import manifest
from learngene_bench.schema.base import read
from learngene_bench.schema.manifest import Manifest
from learngene_bench.schema.stage import Execution
from learngene_bench.util.errors import UserError
from learngene_bench.version import PROTOCOL

REPOSITORY = Path(__file__).parents[2]
FILES = {"records.jsonl", "plans.jsonl", "README.md", "cells.csv", "tables.tex"}


def contents(folder: Path) -> dict[str, bytes]:
    """All files of a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def lines(board: Path) -> list[dict[str, Any]]:
    """All stages that a leaderboard holds."""
    return [json.loads(line) for line in (board / "records.jsonl").read_text().splitlines()]


def lgbench(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    status = run_command(["leaderboard", *arguments])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


@pytest.fixture(scope="session")
def _offered(tmp_path_factory: pytest.TempPathFactory) -> RecordedRuns:
    return recorded(tmp_path_factory.mktemp("offered") / "runs")


@pytest.fixture
def offered(_offered: RecordedRuns, tmp_path: Path) -> RecordedRuns:
    """WAVE and He-Init at two depths, two seeds; tests may change the files."""
    shutil.copytree(_offered.folder, tmp_path / "offered")
    return RecordedRuns(tmp_path / "offered", _offered.plan)


@pytest.fixture
def board(tmp_path: Path) -> Path:
    return tmp_path / "leaderboards" / "digits"


def test_the_committed_leaderboards_are_what_their_records_give(capsys: pytest.CaptureFixture[str]) -> None:
    status, text, error = lgbench(capsys, "check", "--folder", str(REPOSITORY / "results" / "leaderboards"))
    assert (status, error) == (0, ""), text


def test_a_leaderboard_reports_what_the_runs_folder_does(offered: RecordedRuns, board: Path) -> None:
    for gene in offered.stages("gene"):
        offered.file(gene, "tensors.safetensors").write_bytes(bytes(4096))
    said = manage.add(board, offered.folder)
    assert said == ["records added: 8; already there with the same numbers: 0"]
    rows = tidy.rows(load([board]))
    assert rows == tidy.rows(load([offered.folder]))
    assert {row["stored_bytes"] for row in rows} == {0, 4096}
    assert contents(board).keys() == FILES
    stages = lines(board)
    assert [stage["record"] for stage in stages] == [
        json.loads(offered.file(offered.plan.stages[stage["address"]]).read_text()) for stage in stages
    ]
    order = [("ancestor", "gene", "cell").index(stage["kind"]) for stage in stages]
    assert order == sorted(order)
    assert len(stages) == len(offered.plan.stages)
    assert "WAVE" in (board / "README.md").read_text()


def test_what_only_one_machine_understands_stays_there(offered: RecordedRuns, board: Path) -> None:
    here = "/home/ada"
    failed = offered.stages("cell")[0]
    for stage in offered.plan.stages.values():
        data = {"name": "digits", "folder": f"{here}/data"}
        execution = {"data": data, "files": {"f" * 64: f"{here}/weights"}}
        offered.change(
            offered.file(stage, "config.json"), lambda config, new=execution: config["execution"].update(new)
        )
        for name in ("log.txt", "tensors.safetensors", "owner-000001.json"):
            offered.file(stage, name).write_text(here)
    offered.file(failed).unlink()
    offered.runs.stage_dir(failed).fail(failed.label, "ValueError: no", f'File "{here}/mine.py", line 3')
    assert manage.add(board, offered.folder)[1:] == [f"failed, as the tables say: 1 ({failed.label})"]
    assert [name for name, content in contents(board).items() if here.encode() in content] == []
    assert str(offered.folder).encode() not in b"".join(contents(board).values())
    assert "ValueError: no" in (board / "README.md").read_text()


def test_places_that_stay_in_records_are_said(offered: RecordedRuns, board: Path) -> None:
    command = ["lgbench", "run", "--runs", "/home/ada/runs", "--plugin=~/mine.py", "--set", "x=a/b"]
    for stage in offered.stages("cell"):
        offered.change(offered.file(stage), lambda record: record["provenance"].update(command=command))
    said = manage.add(board, offered.folder)
    assert said[-1] == "paths of a machine that are published, as in commands: /home/ada/runs, ~/mine.py"


def test_the_origin_of_numbers_is_said(offered: RecordedRuns, board: Path) -> None:
    first, second, *_ = offered.stages("cell")
    offered.change(offered.file(first), lambda record: record["provenance"]["git"].update(dirty=True))
    offered.change(offered.file(second), lambda record: record["provenance"]["git"].update(commit=None, dirty=None))
    assert manage.add(board, offered.folder)[1:] == [
        "computed by an installed package, of unknown commit: 1",
        "computed by commit c0ffeec0 with uncommitted changes: 1",
    ]
    table = [line for line in (board / "README.md").read_text().splitlines() if "processor" in line]
    assert [line.split(" | ")[:2] for line in table] == [
        ["| 6", "c0ffeec0"],
        ["| 1", "c0ffeec0 with uncommitted changes"],
        ["| 1", "installed package"],
    ]
    assert all(r"a \| \<processor\>, Linux x86\_64" in line for line in table)


def test_whoever_comes_first_it_ends_the_same(tmp_path: Path) -> None:
    one = recorded(tmp_path / "one", "he")
    other = recorded(tmp_path / "other", "wave", created="2026-11-21T12:00:00Z")
    for number, order in enumerate(((one, other), (other, one), (other, one, one, other))):
        for runs in order:
            manage.add(tmp_path / str(number) / "digits", runs.folder)
    first, second, third = (contents(tmp_path / str(number)) for number in range(3))
    assert first == second == third
    assert len(load([tmp_path / "0" / "digits"]).records) == 8


def edit(change: Callable[[dict[str, Any]], object], kind: str = "cell", name: str = "result.json") -> Any:
    """A change of the first stage's file."""

    def damage(offered: RecordedRuns) -> Path:
        path = offered.file(offered.stages(kind)[0], name)
        offered.change(path, change)
        return path

    return damage


def set_in(*keys: Any, to: Any) -> Callable[[dict[str, Any]], None]:
    def change(content: Any) -> None:
        for key in keys[:-1]:
            content = content[key]
        content[keys[-1]] = to

    return change


def metrics_and_curve(accuracy: float) -> Callable[[dict[str, Any]], None]:
    def change(record: dict[str, Any]) -> None:
        record["metrics"]["top1"] = record["curve"][-1]["metrics"]["top1"] = accuracy

    return change


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
    """In the record and in the plan, whose name is changed with it."""
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


def test_what_is_missing_is_named(offered: RecordedRuns, board: Path, capsys: pytest.CaptureFixture[str]) -> None:
    unfinished = offered.stages("cell")[:2]
    for stage in unfinished:
        offered.file(stage).unlink()
    arguments = ("add", "--runs", str(offered.folder), "--name", "digits", "--folder", str(board.parent))
    status, _, error = lgbench(capsys, *arguments)
    assert status == 2
    assert f"2 of 8 planned cells have no result yet ({unfinished[0].label}, {unfinished[1].label})" in error
    assert not board.parent.exists()
    assert lgbench(capsys, *arguments, "--allow-incomplete")[0] == 0
    assert "| 0/2 |" in (board / "README.md").read_text()


def test_a_failed_input_is_a_failure_of_all_that_need_it(offered: RecordedRuns, board: Path) -> None:
    teacher = offered.stages("ancestor")[0]
    for stage in offered.plan.stages.values():
        if stage.kind != "cell" or "gene" in stage.inputs:
            shutil.rmtree(offered.runs.stage_dir(stage).path)
    execution = Execution(command=("lgbench",), checkpoint_seconds=5.0, data={})
    offered.runs.write_config(teacher, execution)
    offered.runs.stage_dir(teacher).fail(teacher.label, "ValueError: no convergence", "")
    manage.add(board, offered.folder)
    assert "ValueError: no convergence" in (board / "README.md").read_text()
    assert manage.difference(board) is None
    again = recorded(board.parent / "again")
    assert manage.add(board, again.folder)[0] == "records added: 4; already there with the same numbers: 4"
    assert "no convergence" not in (board / "README.md").read_text()
    assert all(stage["failure"] is None for stage in lines(board))


def test_one_configuration_with_two_results_is_refused_with_both(
    offered: RecordedRuns, tmp_path: Path, board: Path
) -> None:
    manage.add(board, offered.folder)
    before = contents(board.parent)
    for stage in offered.stages("cell")[:3]:
        offered.change(offered.file(stage), metrics_and_curve(90.0))
    with pytest.raises(UserError) as error:
        manage.add(board, offered.folder)
    message = str(error.value)
    assert "Top-1 accuracy 90 (as initialized 10) in" in message
    assert "Top-1 accuracy 83." in message
    assert "different metrics, learning curves); 2 more cells have two results as well" in message
    assert contents(board.parent) == before


def test_a_gene_computed_elsewhere_is_no_contradiction(offered: RecordedRuns, tmp_path: Path, board: Path) -> None:
    """Another method on another machine begins with the same teacher, computed there: its bits differ."""
    manage.add(board, offered.folder)
    other = recorded(tmp_path / "other", "wave:inheritance=interpolate")
    teacher = other.stages("ancestor")[0]
    other.change(other.file(teacher), set_in("tensors", "sha256", to="e" * 64))
    said = manage.add(board, other.folder)
    assert said[0] == "records added: 4; already there with the same numbers: 0"
    assert said[1].startswith("with other weights than in the leaderboard")
    assert teacher.label in said[1]
    (kept,) = (stage for stage in lines(board) if stage["address"] == teacher.address)
    assert kept["record"] == json.loads(offered.file(teacher).read_text())


def test_a_newer_version_of_a_method_takes_the_place_of_the_older(
    offered: RecordedRuns, tmp_path: Path, board: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(He, "version", 2)
    newer = recorded(tmp_path / "newer", "he", created="2027-01-01T00:00:00Z")
    for first, second in ((offered, newer), (newer, offered)):
        shutil.rmtree(board, ignore_errors=True)
        manage.add(board, first.folder)
        said = manage.add(board, second.folder)
        what = "replaced by newer ones" if first is offered else "left out, as the leaderboard has newer ones"
        assert [line for line in said if line.startswith(f"{what}: 4 (")]
        versions = [stage["config"]["config"]["method"] for stage in lines(board) if stage["kind"] == "cell"]
        assert {method["version"] for method in versions if method["name"] == "he"} == {2}
        assert len(versions) == 8
        assert manage.difference(board) is None


def test_records_that_no_plan_asks_for_are_left_out_and_said(
    offered: RecordedRuns, tmp_path: Path, board: Path
) -> None:
    other = recorded(tmp_path / "other", "timm", seeds=1)
    stray = other.runs.stage_dir(other.stages("cell")[0]).path
    shutil.copytree(stray, offered.folder / "cell" / stray.name)
    assert f"left out, as no plan asks for them: 1 ({stray.name})" in manage.add(board, offered.folder)
    assert stray.name not in (board / "records.jsonl").read_text()
    shutil.rmtree(offered.folder / "plans")
    with pytest.raises(UserError, match="no plan, so nobody can tell what is missing"):
        manage.add(board, offered.folder)


def test_a_full_disk_leaves_whole_files(
    offered: RecordedRuns, tmp_path: Path, board: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manage.add(board, recorded(tmp_path / "before", "timm").folder)
    before = contents(board.parent)

    def full(path: Path, content: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(UserError, match="No space left on device"):
        manage.add(board, offered.folder)
    assert contents(board.parent) == before


def test_files_that_have_not_changed_are_not_written(offered: RecordedRuns, board: Path) -> None:
    manage.add(board, offered.folder)
    before = {path: path.stat().st_ino for path in board.iterdir()}
    manage.build(board)
    manage.add(board, offered.folder)
    assert {path: path.stat().st_ino for path in board.iterdir()} == before


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


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda board: (board / "README.md").write_text((board / "README.md").read_text() + "and more\n"), "README.md"),
        (
            lambda board: (board / "cells.csv").write_text((board / "cells.csv").read_text().replace(",he,", ",hf,")),
            "cells.csv, line 6",
        ),
        (lambda board: (board / "tables.tex").unlink(), "tables.tex is missing"),
    ],
)
def test_check_names_the_first_file_that_differs(
    offered: RecordedRuns, board: Path, capsys: pytest.CaptureFixture[str], change: Callable[[Path], object], named: str
) -> None:
    manage.add(board, offered.folder)
    whole = contents(board)
    assert lgbench(capsys, "check", "--folder", str(board.parent))[:2] == (0, f"{board}: as its records\n")
    change(board)
    status, text, _ = lgbench(capsys, "check", "--folder", str(board.parent))
    assert (status, text.count("\n")) == (1, 1)
    assert named in text
    assert lgbench(capsys, "build", "digits", "--folder", str(board.parent))[:2] == (0, f"{board}\n")
    assert contents(board) == whole


def test_a_file_of_something_else_is_named(
    offered: RecordedRuns, board: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manage.add(board, offered.folder)
    (board / "notes.txt").touch()
    status, text, _ = lgbench(capsys, "check", "--folder", str(board.parent))
    assert (status, text.count("\n")) == (1, 1)
    assert f"{board / 'notes.txt'} does not belong to a leaderboard" in text


def test_check_refuses_a_record_that_was_made_better(
    offered: RecordedRuns, board: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manage.add(board, offered.folder)
    stages = lines(board)
    stages[-1]["record"]["metrics"]["top1"] = 99.0
    (board / "records.jsonl").write_text("".join(json.dumps(stage) + "\n" for stage in stages))
    status, _, error = lgbench(capsys, "check", "--folder", str(board.parent))
    assert status == 2
    assert f"{board / 'records.jsonl'} ({stages[-1]['config']['label']})" in error


def test_a_changed_configuration_is_refused(
    offered: RecordedRuns, board: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manage.add(board, offered.folder)
    path = board / "records.jsonl"
    path.write_text(path.read_text().replace('"seed":1', '"seed":2', 1))
    status, _, error = lgbench(capsys, "check", "--folder", str(board.parent))
    assert status == 2
    assert "is damaged" in error
    assert "changed since it was written" in error


def test_the_same_bytes_in_another_environment_and_nothing_heavy(offered: RecordedRuns, board: Path) -> None:
    manage.add(board, offered.folder)
    code = (
        "import sys; sys.argv = ['lgbench', 'leaderboard', 'check', '--folder', sys.argv[1]]\n"
        "from learngene_bench.cli.main import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code\n"
        "print({'torch', 'numpy', 'scipy', 'pandas', 'matplotlib'} & set(sys.modules))"
    )
    for seed, zone, locale in (("1", "Asia/Tokyo", "C"), ("2", "America/New_York", "C.UTF-8")):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "TZ": zone, "LC_ALL": locale, "COLUMNS": "40"}
        command = [sys.executable, "-c", code, str(board.parent)]
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        assert (done.stdout, done.stderr) == (f"{board}: as its records\nset()\n", "")


@pytest.mark.parametrize("name", ["", "..", "../x", "a/b", "A", ".x", "-x", "x-", "a b", "a\n", "é"])
def test_names_never_leave_the_folder(
    offered: RecordedRuns, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    before = contents(tmp_path)
    status, _, error = lgbench(
        capsys, "add", "--runs", str(offered.folder), f"--name={name}", "--folder", str(tmp_path / "boards")
    )
    assert status == 2
    assert "a name is lower-case letters, digits and single hyphens" in error
    assert contents(tmp_path) == before


def test_what_is_not_there_is_said(tmp_path: Path, board: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = str(board.parent)
    assert lgbench(capsys, "check", "--folder", root)[::2] == (
        2,
        f"lgbench: no folder {root} (--folder says where the leaderboards are)\n",
    )
    board.parent.mkdir()
    assert lgbench(capsys, "check", "--folder", root) == (0, "", "")
    assert lgbench(capsys, "build", "digits", "--folder", root)[::2] == (
        2,
        f"lgbench: no leaderboard digits in {root} (there: none)\n",
    )
    assert (
        "no runs folder"
        in lgbench(capsys, "add", "--runs", str(tmp_path / "none"), "--name", "digits", "--folder", root)[2]
    )
