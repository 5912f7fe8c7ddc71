"""A leaderboard: what it takes in, what it refuses, and that it is a function of its records, byte by byte."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from recorded_runs import RecordedRuns, recorded

from learngene_bench.baselines.he import He
from learngene_bench.cli.main import run_command
from learngene_bench.planning import planner
from learngene_bench.results import load
from learngene_bench.results.leaderboard import manage
from learngene_bench.results.tables import tidy
from learngene_bench.runs import manifest
from learngene_bench.util.errors import UserError

REPOSITORY = Path(__file__).parents[2]


def contents(folder: Path) -> dict[str, bytes]:
    """All files of a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


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
    kept = contents(board)
    records = {name for name in contents(offered.folder) if name.endswith("result.json")}
    assert all(kept[name] == (offered.folder / name).read_bytes() for name in records)
    made = {
        name for name in kept if not re.match(r"(plans/|(cell|gene|ancestor)/[0-9a-f]{20}/(config|result).json)", name)
    }
    assert made == {"README.md", "cells.csv", "tables.tex"}
    assert "WAVE" in kept["README.md"].decode()


def test_what_only_one_machine_understands_stays_there(offered: RecordedRuns, board: Path) -> None:
    here = "/home/ada"
    failed = offered.stages("cell")[0]
    for stage in offered.plan.stages.values():
        execution = {"data": {"name": "digits", "root": f"{here}/data"}, "files": {"f" * 64: f"{here}/weights"}}
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
    assert said[-1].endswith("and will be read: /home/ada/runs, ~/mine.py")


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
        record["metrics"]["top1"] = record["curve"][-1]["top1"] = accuracy

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
        (edit(set_in("schema_version", to=2)), "has schema version 2"),
        (edit(set_in("protocol", to=2), kind="ancestor"), "'protocol' is another than in config.json"),
        (edit(set_in("inputs", "gene", to="1" * 64)), "'inputs' are others than in config.json"),
        (edit(set_in("metrics", "top1", to=math.nan)), "'metrics.top1' is nan, not a percentage"),
        (edit(metrics_and_curve(100.5)), "'metrics.top1' is 100.5, not a percentage"),
        (edit(set_in("metrics", "top1", to=99.0)), "'metrics.top1' is 99.0, but the learning curve ends with 83."),
        (edit(metrics_and_curve(99.99)), "the accuracy 99.99 is not that of any number of 1440 images"),
        (edit(set_in("curve", 1, "loss", to=math.inf)), "the learning curve has the loss inf"),
        (edit(set_in("curve", to=[])), "there is no learning curve"),
        (edit(set_in("evaluation", "images", to=720)), "was measured on 720 test images"),
        (edit(set_in("evaluation", "split", to="validation")), "measured on validation images"),
        (edit(set_in("initial_weights", "sha256", to="ABC")), "'initial_weights.sha256' is no SHA-256"),
        (edit(set_in("tensors", "sha256", to="0" * 63), kind="gene"), "'tensors.sha256' is no SHA-256"),
        (edit(set_in("parameters", "model", to=1)), "'parameters.model' is not "),
        (edit(set_in("cell", "method", to="sws")), "planned"),
        (edit(lambda record: record.pop("provenance")), "lacks 'provenance'"),
        (edit(set_in("provenance", "command", to=[])), "'provenance.command' is empty"),
        (edit(set_in("provenance", "versions", to={"python": "3.11"})), "'provenance.versions' lacks 'torch'"),
        (edit(set_in("provenance", "git", "commit", to="main")), "'provenance.git.commit' is no commit"),
        (edit(set_in("provenance", "started", to="yesterday")), "'provenance.started' is no time"),
        (edit(set_in("provenance", "data", "noise", to=0.0)), "'provenance.data' is another than in config.json"),
        (other_plan, "changed since it was written"),
        (no_gene, "there is no record of its input"),
        (no_config, "without it nobody can repeat the record"),
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


def test_a_leaderboard_has_one_protocol(
    offered: RecordedRuns, tmp_path: Path, board: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manage.add(board, offered.folder)
    for module in (planner, manifest):
        monkeypatch.setattr(module, "PROTOCOL", 2)
    later = recorded(tmp_path / "later", "timm")
    with pytest.raises(UserError, match=r"is of protocol 1, .* is of protocol 2: a leaderboard has one protocol"):
        manage.add(board, later.folder)


def test_what_is_missing_is_named(offered: RecordedRuns, board: Path, capsys: pytest.CaptureFixture[str]) -> None:
    unfinished = offered.stages("cell")[:2]
    for stage in unfinished:
        offered.file(stage).unlink()
    arguments = ("add", str(offered.folder), "--name", "digits", "--folder", str(board.parent))
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
    offered.runs.enter(teacher, {"data": {}})
    offered.runs.stage_dir(teacher).fail(teacher.label, "ValueError: no convergence", "")
    manage.add(board, offered.folder)
    assert "ValueError: no convergence" in (board / "README.md").read_text()
    assert manage.difference(board) is None
    again = recorded(board.parent / "again")
    assert manage.add(board, again.folder)[0] == "records added: 4; already there with the same numbers: 4"
    assert "no convergence" not in (board / "README.md").read_text()
    assert not list(board.glob("*/*/failed.json"))


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
    assert "top-1 90 (as initialized 10) in" in message
    assert "top-1 83." in message
    assert "different accuracies, learning curves); so have 2 more cells" in message
    assert contents(board.parent) == before


def test_a_gene_computed_elsewhere_is_no_contradiction(offered: RecordedRuns, tmp_path: Path, board: Path) -> None:
    """Another method on another machine begins with the same teacher, computed there: its bits differ."""
    manage.add(board, offered.folder)
    other = recorded(tmp_path / "other", "wave:inheritance=interpolate")
    teacher = other.stages("ancestor")[0]
    other.change(other.file(teacher), set_in("tensors", "sha256", to="e" * 64))
    said = manage.add(board, other.folder)
    assert said[0] == "records added: 4; already there with the same numbers: 0"
    assert said[1].startswith("of other weights than in the leaderboard")
    assert teacher.label in said[1]
    kept = board / other.file(teacher).relative_to(other.folder)
    assert kept.read_bytes() == offered.file(teacher).read_bytes()


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
        versions = [json.loads(path.read_text())["config"]["method"] for path in board.glob("cell/*/config.json")]
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
    assert stray.name not in str(list(board.rglob("*")))
    shutil.rmtree(offered.folder / "plans")
    with pytest.raises(UserError, match="no plan, so nobody can tell what is missing"):
        manage.add(board, offered.folder)


KILL = """
import os, sys
from pathlib import Path
from learngene_bench.results.leaderboard import manage
moment = int(sys.argv[1])
def killed(kind, original):
    def call(*arguments, **options):
        global moment
        moment -= 1
        if moment == 0:
            os._exit(9)
        return original(*arguments, **options)
    return call
Path.write_bytes = killed("write", Path.write_bytes)
Path.rename = killed("rename", Path.rename)
manage.shutil.rmtree = killed("remove", manage.shutil.rmtree)
manage.add(Path(sys.argv[2]), Path(sys.argv[3]))
print(moment)
"""


def test_killed_at_any_moment_it_is_the_old_one_or_the_new_one(
    offered: RecordedRuns, tmp_path: Path, board: Path
) -> None:
    manage.add(board, recorded(tmp_path / "before", "timm").folder)
    before = contents(board)
    manage.add(tmp_path / "whole" / "digits", tmp_path / "before")
    manage.add(tmp_path / "whole" / "digits", offered.folder)
    after = contents(tmp_path / "whole" / "digits")

    def add(moment: int) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", KILL, str(moment), str(board), str(offered.folder)]
        return subprocess.run(command, capture_output=True, text=True)

    steps = 10_000 - int(add(10_000).stdout)
    assert contents(board) == after
    for moment in (1, 3, 4, steps // 2, *range(steps - 4, steps + 1)):
        shutil.rmtree(board)
        manage.add(board, tmp_path / "before")
        assert add(moment).returncode == 9
        assert not board.exists() or contents(board) in (before, after)
        manage.add(board, offered.folder)
        assert contents(board) == after
        assert [path.name for path in board.parent.iterdir()] == ["digits"]


def test_a_full_disk_leaves_the_old_one(
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


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda board: (board / "README.md").write_text((board / "README.md").read_text() + "and more\n"), "README.md"),
        (
            lambda board: (board / "cells.csv").write_text((board / "cells.csv").read_text().replace(",he,", ",hf,")),
            "cells.csv, line 6",
        ),
        (lambda board: (board / "tables.tex").unlink(), "tables.tex is missing"),
        (lambda board: (board / "cell" / "notes.txt").write_text(""), "notes.txt belongs to no cell of the tables"),
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


def test_check_refuses_a_record_that_was_made_better(
    offered: RecordedRuns, board: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manage.add(board, offered.folder)
    record = next(board.glob("cell/*/result.json"))
    offered.change(record, set_in("metrics", "top1", to=99.0))
    status, _, error = lgbench(capsys, "check", "--folder", str(board.parent))
    assert status == 2
    assert str(record) in error


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
        capsys, "add", str(offered.folder), f"--name={name}", "--folder", str(tmp_path / "boards")
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
    assert "no runs folder" in lgbench(capsys, "add", str(tmp_path / "none"), "--name", "digits", "--folder", root)[2]
