"""All that is handed out works elsewhere: wheel, sdist, containers, the release, completion, the choice of torch."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
import yaml

import learngene_bench
from learngene_bench.cli.main import run_command
from learngene_bench.config.loader import shipped_files

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
RECIPES = {"Dockerfile": r"^RUN (.*)$", "apptainer.def": r"^    ((?:uv )?pip .*)$"}
"""Files that build containers, and their lines that run something there."""


def build(source: Path, folder: Path, kind: str) -> Path:
    """Builds a wheel or an sdist with setuptools, as pip and uv do in an environment of their own."""
    code = f"import sys; from setuptools import build_meta; build_meta.build_{kind}(sys.argv[1])"
    folder.mkdir(parents=True)
    done = subprocess.run([sys.executable, "-c", code, str(folder)], cwd=source, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (made,) = folder.iterdir()
    return made


def copied(recipe: str) -> list[str]:
    """Returns the files and folders of the repository that a container is built from."""
    text = (ROOT / recipe).read_text()
    if recipe == "Dockerfile":
        return [name for line in re.findall(r"^COPY (.*)$", text, re.MULTILINE) for name in line.split()[:-1]]
    (section,) = re.findall(r"^%files\n(.*?)\n\n", text, re.DOTALL | re.MULTILINE)
    return [line.split()[0] for line in section.splitlines()]


def copy_of(names: list[str], folder: Path) -> Path:
    """Copies files and folders of the repository, without what Python and git do not need."""
    folder.mkdir()
    ignored = shutil.ignore_patterns("__pycache__", "leaderboards", "*.egg-info", "build")
    for name in names:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=ignored)
        else:
            shutil.copyfile(ROOT / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that a container installs: of nothing but the files that it copies."""
    folder = tmp_path_factory.mktemp("dist")
    return build(copy_of(copied("Dockerfile"), folder / "source"), folder / "wheel", "wheel")


def content(wheel: Path) -> dict[str, bytes]:
    with ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist() if not name.endswith("RECORD")}


@pytest.mark.slow
def test_a_wheel_of_the_sdist_is_the_wheel(wheel: Path, tmp_path: Path) -> None:
    sdist = build(copy_of(copied("Dockerfile"), tmp_path / "source"), tmp_path / "sdist", "sdist")
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    again = build(tmp_path / sdist.name.removesuffix(".tar.gz"), tmp_path / "wheel", "wheel")
    assert content(again) == content(wheel)


@pytest.mark.slow
@pytest.mark.parametrize("installer", ["pip", "uv"])
def test_the_wheel_works_in_an_empty_environment(wheel: Path, installer: str, tmp_path: Path) -> None:
    if installer == "uv" and shutil.which("uv") is None:
        pytest.skip("no uv here")
    environment = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    python = environment / "bin" / "python"
    install = {
        "pip": [
            sys.executable,
            "-m",
            "pip",
            "--python",
            python,
            "install",
            "--quiet",
            "--no-index",
            "--no-deps",
            wheel,
        ],
        "uv": ["uv", "pip", "install", "--quiet", "--python", python, "--offline", "--no-deps", wheel],
    }
    subprocess.run(install[installer], check=True)
    # What it depends on comes from here; a path in a .pth file is read without the .pth files in it.
    (packages,) = environment.glob("lib/python*/site-packages")
    (packages / "here.pth").write_text("\n".join(path for path in sys.path if path.endswith("site-packages")))
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}

    def lgbench(*words: str) -> str:
        command = [environment / "bin" / "lgbench", *words]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=clean)
        assert done.returncode == 0, done.stderr
        return done.stdout

    place = [python, "-P", "-c", "import learngene_bench; print(learngene_bench.__file__)"]
    assert subprocess.run(place, capture_output=True, text=True, env=clean).stdout.startswith(str(environment))
    assert lgbench("--version").split()[1] == learngene_bench.__version__
    listed = json.loads(lgbench("list", "--format", "json"))
    assert {entry["name"] for entry in listed["presets"]} == set(shipped_files("preset"))
    report = ["report", "--runs", str(ROOT / "results" / "leaderboards" / "tiny-imagenet-laptop")]
    lgbench(*report, "--compare", "published", "--format", "html", "-o", "page.html")
    assert "arXiv 2406.17503" in (tmp_path / "page.html").read_text()


def steps(recipe: str) -> Iterator[list[str]]:
    """Yields the words of every command that a container's recipe runs."""
    for line in re.findall(RECIPES[recipe], (ROOT / recipe).read_text(), re.MULTILINE):
        for command in line.split("&&"):
            yield shlex.split(re.sub(r"\$\{TORCH\}|\{\{ torch \}\}", "cpu", command))


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_container_is_built_of_what_there_is(recipe: str) -> None:
    assert [name for name in copied(recipe) if not (ROOT / name).exists()] == []
    assert set(copied(recipe)) == set(copied("Dockerfile"))
    (install,) = (words for words in steps(recipe) if words[:3] == ["uv", "pip", "install"])
    assert install[install.index("--constraint") + 1] in copied(recipe)
    (extra,) = re.findall(r"^\.\[(\w+)\]$", install[-1])
    assert extra in PROJECT["optional-dependencies"]
    version = re.search(r"python:(\d+\.\d+)-slim", (ROOT / recipe).read_text())
    assert version
    assert f"Programming Language :: Python :: {version[1]}" in PROJECT["classifiers"]


def test_docker_is_given_what_it_copies() -> None:
    allowed = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    assert sorted(allowed) == sorted(copied("Dockerfile"))


def test_the_release_has_the_version_that_the_package_has() -> None:
    release: Any = yaml.safe_load((ROOT / ".github" / "workflows" / "release.yml").read_text())
    commands = [step["run"] for job in release["jobs"].values() for step in job["steps"] if "run" in step]
    tag = next(command for command in commands if "GITHUB_REF_NAME" in command)
    run = ["bash", "-euo", "pipefail", "-c", tag]
    # The changelog gets the heading of a version with its release.
    here = f"v{PROJECT['version']}"
    for name, status in ((here, 0), ("v0.0.1", 1)):
        environment = {
            **os.environ,
            "GITHUB_REF_NAME": name,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        }
        assert subprocess.run(run, cwd=ROOT, env=environment).returncode == status, name
    assert f"\nversion: {PROJECT['version']}\n" in (ROOT / "CITATION.cff").read_text()
    assert "bash .ci/run" in commands
    assert release["jobs"]["publish"]["needs"] == "build"
    assert release["jobs"]["build"]["needs"] == "check"


@pytest.mark.parametrize(
    ("backend", "works", "called"),
    [
        ("cpu", True, ["uv pip install --python .venv/bin/python --torch-backend cpu"]),
        ("cpu", False, ["uv pip install --python .venv/bin/python --torch-backend cpu", "python -m pip install"]),
        ("none", True, ["python -m pip install"]),
    ],
)
def test_make_installs_by_uv_or_by_pip(tmp_path: Path, backend: str, works: bool, called: list[str]) -> None:
    """Programs in the places of uv and of the environment's Python write down how they are called."""
    (tmp_path / "tools").mkdir()
    shutil.copy(ROOT / "tools" / "install", tmp_path / "tools")
    for program, status in {"uv": 0 if works else 2, ".venv/bin/python": 0}.items():
        path = tmp_path / program
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f'#!/bin/sh\necho "{path.name} $*" >> {tmp_path}/calls\nexit {status}\n')
        path.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "UV_TORCH_BACKEND": backend}
    subprocess.run([tmp_path / "tools" / "install"], env=environment, check=True)
    calls = (tmp_path / "calls").read_text().splitlines()
    assert len(calls) == len(called)
    for call, beginning in zip(calls, called, strict=True):
        assert call.startswith(beginning)
        assert call.endswith("--constraint constraints.txt --editable .[dev,docs]")


def test_the_shell_completes_verbs(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("_LGBENCH_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", "lgbench do")
    monkeypatch.setenv("COMP_CWORD", "1")
    with pytest.raises(SystemExit):
        run_command([])
    assert capsys.readouterr().out.split() == ["doctor"]
