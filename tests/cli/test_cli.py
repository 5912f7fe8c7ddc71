"""A user who makes a mistake sees one line that names the valid choices or the file, exit status 2."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from learngene_bench.cli.main import run_command


def lgbench(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    status = run_command(list(arguments))
    captured = capsys.readouterr()
    return status, captured.out, captured.err


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "-m", "wav"], "unknown method 'wav': did you mean 'wave'? (valid: "),
        (["run", "-m", "he,,"], None),
        (["run", "-m", ","], "--method is empty (valid: all, "),
        (["run", "-m", "he", "-g", "dept"], "unknown grid 'dept': did you mean 'depth'? (valid: "),
        (["run", "-m", "he", "-g", "mine.toml"], "grid file not found: mine.toml"),
        (["run", "-m", "he", "-p", "digit"], "unknown preset 'digit': did you mean 'digits'? (valid: "),
        (
            ["run", "-m", "he", "--set", "finetuning.epoch=3"],
            "unknown key 'finetuning.epoch': did you mean 'finetuning.epochs'",
        ),
        (
            ["run", "-m", "he", "--set", "finetunin.epochs=3"],
            "unknown section of --set 'finetunin': did you mean 'finetuning'",
        ),
        (
            ["run", "-m", "he", "--set", "finetuning.epochs=many"],
            "--set: finetuning.epochs: input should be a number, not 'many'",
        ),
        (
            ["run", "-m", "he", "--set", "finetuning=3"],
            "--set: finetuning: this is a section with keys of its own, not 3",
        ),
        (["run", "-m", "he", "--set", "compute.device=tpu"], "input should be 'auto', 'cpu' or 'cuda', not 'tpu'"),
        (["run", "-m", "he", "--set", "data.nosie=1"], "unknown key 'nosie': did you mean 'noise'?"),
        (["run", "-m", "he", "--set", "data.name=mnist"], "unknown data set 'mnist' (valid: ade20k, camvid, "),
        (["run", "-m", "he", "--set", "wave.inheritence=x"], "unknown key 'inheritence': did you mean 'inheritance'?"),
        (["run", "-m", "wave:inheritance=x"], "inheritance: input should be 'padding' or 'interpolate', not 'x'"),
        (["run", "-m", "he", "--set", "depth"], "--set 'depth': expected key=value"),
        (["run", "-m", "he", "--set", "grid.depths=[0]"], "impossible model: depth is 0"),
        (["run", "-m", "he", "--set", 'grid.sizes=["ti"]'], "unknown size of preset 'digits' 'ti' (valid: micro)"),
        (["run", "-m", "he", "--set", "sizes.micro.width=50"], "width 50 is not a multiple of the head dimension 16"),
        (["run", "-m", "he", "--set", "model.patch_size=5"], "patch size 5 does not divide image size 12"),
        (["run", "-m", "he", "--seeds", "0"], "--seeds"),
        (["run", "-m", "he", "--plugin", "mine.py"], "plugin file mine.py: No such file or directory"),
        (["run", "--mehtod", "he"], "No such option: --mehtod"),
        (["rum"], "No such command 'rum'."),
        (["run", "-m", "he", "--partition", "gpu"], "--partition goes with --executor slurm"),
        (["run", "-m", "he", "--dry-run"], "--dry-run goes with --executor slurm"),
        (["run", "-m", "he", "--executor", "slurm", "--time", "soon"], "a time is written like 24:00:00 or 1-12:00"),
        (
            ["run", "-m", "he", "--executor", "slurm", "--dry-run", "--nodes", "2"],
            "--nodes 2 needs --processes-per-model",
        ),
        (["run", "-m", "he", "--executor", "slurm", "--set-slurm", "x"], "--set-slurm 'x': expected key=value"),
        (["retry"], "runs: no runs here"),
        (["cancel"], "runs: no runs here"),
        (["logs", "wave"], "runs: no runs here"),
        (["info", "wav"], "unknown method, grid, preset, data set or section 'wav': did you mean 'wave'?"),
        (["list", "method"], "unknown kind 'method': did you mean 'methods'?"),
        (["status"], "runs: no runs here"),
        (["report", "--runs", "elsewhere"], "no runs folder elsewhere"),
        (["report", "elsewhere", "here"], "elsewhere: the runs folder is an option: --runs elsewhere --runs here"),
        (["plot", "accuracy", "elsewhere"], "elsewhere: the runs folder is an option: --runs elsewhere"),
        (["leaderboard", "add", "mine", "--name", "digits"], "mine: the runs folder is an option: --runs mine"),
        (["rerun", "wave depth 6", "results/digits"], "results/digits: the runs folder is an option: --runs results/d"),
        (["run", "-m", "he", "--executor", "pbs"], "unknown executor 'pbs' (valid: inline, local, slurm)"),
        (["run", "-m", "he", "--executor", "inline", "--workers", "2"], "--workers goes with --executor local"),
        (["run", "-m", "he", "--executor", "slurm", "--workers", "2"], "--workers goes with --executor local"),
        (
            ["run", "-m", "he", "--executor", "inline", "--per-gpu", "2"],
            "--per-gpu goes with --executor local or slurm",
        ),
        (["plan", "-m", "wave:foo"], "--method wave: 'foo': expected key=value, as in --method NAME:OPTION=VALUE"),
        (["run", "-m", "he", "--workers", "0"], "--executor local: workers: input should be greater than or equal to"),
        (
            ["run", "-m", "he", "--workers", "two"],
            "--executor local: workers: input should be a whole number, not 'two'",
        ),
        (["report", "--format", "xls"], "Invalid value for '--format': 'xls' is not one of 'table', 'csv', "),
        (
            ["run", "-m", "he", "--trials", "many"],
            "Invalid value for '--trials': input should be a whole number, not 'many'",
        ),
    ],
)
def test_mistakes(capsys: pytest.CaptureFixture[str], arguments: list[str], message: str | None) -> None:
    if message is None:
        arguments = ["plan", *arguments[1:]]
    status, _, error = lgbench(capsys, *arguments)
    if message is None:
        assert (status, error) == (0, "")
        return
    assert status == 2
    assert message in error
    assert len(error.splitlines()) == 1
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name = ", "mine.toml: not valid TOML: "),
        ("\xff", "mine.toml: not UTF-8 but another encoding (line 1): save the file as UTF-8"),
        ('name = "x"', "mine.toml: title, axis and depths are missing"),
        (
            'name = []\ntitle = "x"\naxis = "depth"\ndepths = [4]',
            "name: input should be a text, not []",
        ),
        ('name = "x"\ntitle = "x"\naxis = "depth"\ndepths = "4"', "mine.toml: depths: input should be a list"),
        (
            'name = "x"\ntitle = "x"\naxis = "deep"\ndepths = [4]',
            "mine.toml: axis: input should be 'depth', 'width', 'depth and width', 'task', 'horizon' or 'share'",
        ),
    ],
)
def test_mistakes_in_a_file(capsys: pytest.CaptureFixture[str], text: str, message: str) -> None:
    Path("mine.toml").write_bytes(text.encode("latin-1"))
    status, _, error = lgbench(capsys, "plan", "-m", "he", "--grid", "mine.toml")
    assert (status, message in error, len(error.splitlines())) == (2, True, 1), error


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import nowhere", "plugin mine.py, line 1: ModuleNotFoundError: No module named 'nowhere'"),
        ("x = 1\nx / 0", "plugin mine.py, line 2: ZeroDivisionError"),
        ("def f(:", "plugin mine.py: SyntaxError: invalid syntax"),
        ("x = 1", "plugin mine.py: defines no Initializer"),
        ("raise SystemExit(3)", "plugin mine.py, line 1: SystemExit: 3"),
        (
            "from learngene_bench.contracts.initializer import Initializer\n"
            "class Mine(Initializer):\n    def initialize(self, *a): ...",
            "plugin mine.py: class Mine needs a name and a title",
        ),
        (
            "from learngene_bench.contracts.initializer import Initializer\n"
            "class Mine(Initializer):\n    name, title, group = 'mine', 'Mine', 'mine'\n"
            "    def initialize(self, *a): ...",
            "unknown group of plugin mine.py, class Mine, 'mine' (valid: direct, learngene,",
        ),
        (
            "from learngene_bench.contracts.initializer import Initializer\n"
            "class Mine(Initializer):\n    name, title = 'teacher', 'Mine'\n    def initialize(self, *a): ...",
            "plugin mine.py: name 'teacher' is taken",
        ),
    ],
)
def test_mistakes_in_a_plugin(capsys: pytest.CaptureFixture[str], text: str, message: str) -> None:
    Path("mine.py").write_text(text)
    status, _, error = lgbench(capsys, "plan", "-m", "he", "--plugin", "mine.py")
    assert (status, message in error, len(error.splitlines())) == (2, True, 1), error


def test_debug_shows_the_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    _, _, error = lgbench(capsys, "plan", "-m", "wav", "--debug")
    assert "Traceback" in error
    assert error.splitlines()[-1].startswith("lgbench: unknown method")


def test_a_runs_folder_that_cannot_be_made(capsys: pytest.CaptureFixture[str]) -> None:
    Path("file").write_text("mine")
    status, _, error = lgbench(capsys, "run", "-m", "he", "--runs", "file/runs")
    assert (status, len(error.splitlines())) == (2, 1)
    assert "file/runs: not a folder of runs, but a file" in error
    assert Path("file").read_text() == "mine"


def test_plan_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = lgbench(capsys, "plan", "-m", "wave,direct-pt", "--seeds", "2", "--format", "json")
    plan = json.loads(out)
    assert status == 0
    assert len(plan["cells"]) == 20
    assert {cell["state"] for cell in plan["cells"]} == {"waiting"}
    assert plan["estimate"]["stages"] == len(plan["stages"])


def test_a_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    code = "from learngene_bench.cli.main import main; main()"
    command = f"{sys.executable} -c '{code}' info wave | head -n 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=tmp_path)
    assert done.stderr == ""


def test_terminals_as_narrow_as_40_columns(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    _, out, _ = lgbench(capsys, "plan", "-m", "all")
    assert max(len(line.rstrip()) for line in out.splitlines()) <= 40
    for name in ("wave", "he", "timm", "direct-pt"):
        assert name in out


def test_info_says_what_can_be_set(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["info", "finetuning"]) == 0
    text = capsys.readouterr().out
    assert "finetuning.learning_rate = required" in text
    assert "finetuning.augmentation.shift = 0" in text
    assert "evaluate_every" in text
    assert "meta_batch_size" not in text
    assert run_command(["info", "ghn3"]) == 0
    assert "recipe of its own: hypernetwork" in capsys.readouterr().out


@pytest.mark.parametrize(("kind", "name"), [("executors", "inline"), ("families", "vit"), ("metrics", "nll")])
def test_everything_that_is_plugged_in_is_listed(kind: str, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["list", kind]) == 0
    assert name in capsys.readouterr().out


def test_output_that_cannot_be_written_is_no_success() -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "learngene_bench", "--version"], stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert (done.returncode, done.stderr) == (
        2,
        "lgbench: the output cannot be written: No space left on device\n",
    )
