"""`lgbench rerun`: a record comes out the same once more, and whatever is not the same is said."""

from __future__ import annotations

import copy
import json
import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from recorded_runs import RecordedRuns, recorded
from whole_runs import PLUGIN, run_here, short_preset

from learngene_bench.baselines.he import He
from learngene_bench.cli.main import run_command
from learngene_bench.execution import rerun as rerun_module
from learngene_bench.execution.rerun import RerunPlan, parse_local_paths
from learngene_bench.plugins.registry import Registry
from learngene_bench.results.leaderboard import manage
from learngene_bench.results.records.repetition import compare
from learngene_bench.runs.leaderboard import open_runs
from learngene_bench.schema.leaderboard import read_stages
from learngene_bench.schema.record import CellRecord
from learngene_bench.schema.rerun import read_reruns
from learngene_bench.util.errors import UserError
from learngene_bench.util.files import file_hash
from learngene_bench.version import PROTOCOL


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")


def rerun(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    status = run_command(["rerun", *map(str, arguments)])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """WAVE and a plugin's method at one depth, trained for a few steps."""
    folder = tmp_path_factory.mktemp("rerun")
    (folder / "mine.py").write_text(PLUGIN.format(body="model.head.bias.data.fill_(0.01)"))
    arguments = ["-m", "wave,mine", "--plugin", str(folder / "mine.py"), "--executor", "inline"]
    run_here(short_preset(folder), folder / "runs", *arguments, "--set", "grid.depths=[6]")
    return folder / "runs"


@pytest.mark.slow
def test_a_record_of_a_leaderboard_comes_out_the_same(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Teacher, gene and cell are computed again from configurations alone."""
    board = tmp_path / "leaderboards" / "quick"
    assert "of mine, in a file of its own without which nobody can repeat them: 1" in manage.add(board, runs)
    status, text, error = rerun(capsys, "wave", "--runs", board, "--workers", 1, "--by", "Ada")
    assert (status, error) == (0, "")
    (told,) = read_reruns(board)
    assert (told.by, told.outcome, told.obstacles) == ("Ada", "same", ())
    assert manage.difference(board) is None
    lines = [line for line in text.splitlines() if line.rstrip().endswith("same")]
    assert len(lines) == 11  # teacher, gene, three metrics before and after, curve, weights before and after
    assert "All numbers are the same." in text
    (folder,) = Path("reruns").iterdir()
    assert len(list(folder.glob("*/*/result.json"))) == 3
    assert rerun(capsys, "wave", "--runs", board)[::2] == (
        2,
        f"lgbench: {folder} holds this cell already: move it away, or name another folder with --output "
        "(--by NAME writes what it holds into the leaderboard)\n",
    )
    assert "--keep-inputs: " in rerun(capsys, "wave", "--runs", board, "--keep-inputs", "-o", "kept")[2]
    assert not Path("kept").exists() or not list(Path("kept").glob("*/*"))


@pytest.mark.slow
def test_a_record_that_was_changed_does_not_come_out(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copied = tmp_path / "copied"
    shutil.copytree(runs, copied)
    (path,) = (path for path in copied.glob("cell/*/result.json") if '"method": "wave"' in path.read_text())
    record = json.loads(path.read_text())
    record["metrics"]["top1"] += 100 / 1440
    record["curve"][-1]["metrics"]["top1"] += 100 / 1440
    path.write_text(json.dumps(record))
    status, text, _ = rerun(capsys, "wave", "--runs", copied, "--keep-inputs", "--workers", 1)
    assert status == 1
    # The metric, and the largest distance of the learning curves; a narrow terminal breaks the lines.
    assert re.findall(r"\S*0\.0694", text) == ["-0.0694", "0.0694"]
    assert "The numbers differ, and should not" in " ".join(text.split())
    (folder,) = Path("reruns").iterdir()
    assert [stage.parent.parent.name for stage in sorted(folder.glob("*/*/log.txt"))] == ["cell"]
    assert not (folder / "ancestor").exists()


@pytest.mark.slow
def test_a_method_of_a_file_needs_that_file(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plugin = runs.with_name("mine.py")
    assert f"--plugin FILE with SHA-256 {file_hash(plugin)}" in rerun(capsys, "mine", "--runs", runs)[2]
    other = tmp_path / "mine.py"
    other.write_text(plugin.read_text() + "\n")
    assert "recorded with another mine than this" in rerun(capsys, "mine", "--runs", runs, "--plugin", other)[2]
    assert rerun(capsys, "mine", "--runs", runs, "--plugin", plugin, "--workers", 1)[0] == 0


FAILS_ELSEWHERE = """import os
            if os.environ.get("ELSEWHERE") == "fails":
                raise FloatingPointError("no number here")
            if os.environ.get("ELSEWHERE") == "dies":
                os.kill(os.getpid(), 9)"""


@pytest.mark.slow
def test_a_rerun_that_fails_is_told_and_one_whose_process_died_is_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    plugin, board = tmp_path / "mine.py", tmp_path / "leaderboards" / "mine"
    plugin.write_text(PLUGIN.format(body=FAILS_ELSEWHERE))
    arguments = ["-m", "mine", "--plugin", str(plugin), "--set", "grid.depths=[6]"]
    run_here(short_preset(tmp_path), tmp_path / "runs", *arguments)
    manage.add(board, tmp_path / "runs")
    again = ("mine", "--runs", board, "--plugin", plugin, "--workers", 1, "--by", "Ada")
    monkeypatch.setenv("ELSEWHERE", "dies")
    status, text, _ = rerun(capsys, *again)
    assert (status, read_reruns(board)) == (1, [])
    assert "the process died, which says nothing of the record" in text
    monkeypatch.setenv("ELSEWHERE", "fails")
    assert rerun(capsys, *again)[0] == 1
    (told,) = read_reruns(board)
    assert (told.outcome, told.repeated, told.seconds) == ("failed", None, None)
    assert told.failure.endswith("FloatingPointError: no number here")
    assert "| Ada | failed |" in (board / "README.md").read_text()
    monkeypatch.setenv("ELSEWHERE", "")
    assert rerun(capsys, *again)[0] == 0
    assert [one.outcome for one in read_reruns(board)] == ["failed", "same"]
    assert manage.difference(board) is None


@pytest.fixture
def offered(tmp_path: Path) -> RecordedRuns:
    return recorded(tmp_path / "runs", "wave,he", seeds=1)


def test_what_cannot_be_repeated_is_one_line(
    offered: RecordedRuns, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*arguments: str) -> str:
        status, text, error = rerun(capsys, *arguments)
        assert (status, text, error.count("\n")) == (2, "", 1)
        return error

    he, gene = offered.stages("cell")[-1], offered.stages("gene")[0]
    assert "'he' fits 2 cells, which differ in depth (4 or 6)" in refused("he")
    assert "no cell fits 'sws': unknown word 'sws' (valid: " in refused("sws")
    assert "reruns: no cells here" in refused("he", "--runs", "reruns")
    assert "only data.KEY=VALUE" in refused("he depth 6", "--set", "finetuning.epochs=3")
    assert "--checkpoint none.pt: No such file" in refused("he depth 6", "--checkpoint", "none.pt")
    with monkeypatch.context() as patch:
        patch.setattr(rerun_module, "PROTOCOL", 9)
        assert f"under protocol {PROTOCOL}, this is 9: the code that computed it is commit c0ffee" in refused(
            "he depth 6"
        )
    with monkeypatch.context() as patch:
        patch.setattr(He, "version", 2)
        assert "recorded with version 1 of he, this is 2" in refused("he depth 6")
    assert "--set data.noise: part of the record" in refused("he depth 6", "--set", "data.noise=0.1")
    offered.file(gene, "config.json").unlink()
    assert "config.json is missing: it says how this" in refused("wave depth 6")
    offered.file(he).unlink()
    assert "not done (waiting), so there is no record or model of it yet" in refused("he depth 6")
    assert not Path("reruns").exists()


def test_data_and_weights_are_found_where_they_lie_here(tmp_path: Path) -> None:
    for number, name in enumerate(["train/ant", "train/bee", "val/ant", "val/bee"] * 3):
        path = tmp_path / "images" / name / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (12, 12), number).save(path)
    weights = tmp_path / "weights.safetensors"
    weights.write_bytes(b"weights")
    data = ["data.name=imagefolder", f"data.root={tmp_path / 'images'}", "data.image_size=12", "data.channels=1"]
    offered = recorded(tmp_path / "runs", "wave", *data, f"teacher.checkpoint={weights}", seeds=1)
    board = tmp_path / "boards" / "mine"
    manage.add(board, offered.folder)
    executions = [stage.config.execution for stage in read_stages(board).values() if stage.config]
    assert not any("root" in execution.data or execution.files for execution in executions)
    shutil.move(tmp_path / "images", tmp_path / "moved")

    def check(*settings: str, checkpoints: Sequence[Path] = ()) -> None:
        paths = parse_local_paths(settings, checkpoints)
        address = offered.stages("cell")[0].address
        RerunPlan(open_runs(board), address, paths, ["lgbench"], keep_inputs=False).check(Registry())

    with pytest.raises(UserError, match=r"root is missing .--set data.KEY=VALUE says where"):
        check()
    with pytest.raises(UserError, match=r"images"):
        check(f"data.root={tmp_path / 'images'}")
    with pytest.raises(UserError, match=f"--checkpoint FILE with SHA-256 {file_hash(weights)}"):
        check(f"data.root={tmp_path / 'moved'}")
    check(f"data.root={tmp_path / 'moved'}", checkpoints=[weights])
    (tmp_path / "moved/train/ant/99.png").write_bytes((tmp_path / "moved/train/ant/0.png").read_bytes())
    with pytest.raises(UserError, match="recorded on other data"):
        check(f"data.root={tmp_path / 'moved'}", checkpoints=[weights])


def parsed(record: dict[str, Any]) -> CellRecord:
    return CellRecord.model_validate_json(json.dumps(record))


def set_in(*keys: Any, to: Any) -> Callable[[dict[str, Any]], None]:
    def change(content: Any) -> None:
        for key in keys[:-1]:
            content = content[key]
        content[keys[-1]] = to

    return change


@pytest.mark.parametrize(
    ("change", "unlike"),
    [
        (set_in("provenance", "finished", to="2030-01-01T00:00:00Z"), []),
        (set_in("cost", "finetune", "seconds", to=99.0), []),
        (set_in("metrics", "top1", to=50.0), ["Top-1 accuracy after fine-tuning"]),
        (set_in("curve", 1, "loss", to=1.5), ["learning curve"]),
        (lambda record: record["curve"].pop(), ["learning curve"]),
        (set_in("initial_weights", "sha256", to="0" * 64), ["initial weights"]),
        (set_in("cost", "finetune", "iterations", to=96), ["iterations to finetune"]),
    ],
)
def test_what_counts_as_the_same_numbers(
    offered: RecordedRuns, change: Callable[[dict[str, Any]], object], unlike: list[str]
) -> None:
    record = json.loads(offered.file(offered.stages("cell")[0]).read_text())
    record["cost"] = copy.deepcopy(record["cost"])
    other = copy.deepcopy(record)
    change(other)
    repetition = compare(*map(parsed, (record, other)))
    assert [value.name for value in repetition.numbers if not value.same] == unlike
    assert repetition.same == (not unlike)


@pytest.mark.parametrize(
    ("change", "obstacles"),
    [
        (set_in("hardware", "cores", to=64), ()),
        (set_in("versions", "python", to="3.13.0"), ()),
        (set_in("versions", "torch", to="2.16.0"), ("other torch",)),
        (set_in("hardware", "cpu", to="another"), ("other cpu",)),
        (set_in("hardware", "device", to="cuda"), ("GPUs do not add in one order", "other device")),
        (set_in("code", "sha256", to="0" * 64), ("other code of the suite",)),
    ],
)
def test_when_the_same_bits_are_to_be_expected(
    offered: RecordedRuns, change: Callable[[dict[str, Any]], object], obstacles: tuple[str, ...]
) -> None:
    record = json.loads(offered.file(offered.stages("cell")[0]).read_text())
    record["provenance"]["code"] = {"sha256": "c" * 64}
    other = copy.deepcopy(record)
    change(other["provenance"])
    assert compare(parsed(other), parsed(record)).obstacles == obstacles
    assert compare(parsed(record), parsed(record)).obstacles == ()
