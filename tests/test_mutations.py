"""Every mutation of every document is read as a document or refused in one line that names the file."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import hostile_files
import pytest
from hostile_runs import commands, contents, faults, make, restore, say
from mutations import changed_bytes, mutated

from learngene_bench.config.loader import load_preset
from learngene_bench.execution.slurm import submissions
from learngene_bench.runs.lease import current_lease
from learngene_bench.runs.store import StageFolder
from learngene_bench.schema.base import read
from learngene_bench.schema.leaderboard import read_plans, read_stages
from learngene_bench.schema.manifest import Manifest
from learngene_bench.schema.record import RECORDS, Failure
from learngene_bench.schema.rerun import read_reruns
from learngene_bench.schema.stage import StageFile
from learngene_bench.util.errors import UserError

MUTATIONS = 200
"""`benchmarks/hostile_files.py` tries more, through the verbs, and mutates images, archives and weights as well."""

READERS: dict[str, Callable[[Path], object]] = {
    "config.json": lambda path: read(StageFile, path),
    "result.json": lambda path: read(RECORDS[path.parent.parent.name], path),  # type: ignore[index]
    "failed.json": lambda path: read(Failure, path),
    "progress.json": lambda path: StageFolder(path.parent, "").read_progress(),
    "owner-000001.json": lambda path: current_lease(path.parent),
    "submission.json": lambda path: submissions.read(path.parents[2]),
    "records.jsonl": lambda path: read_stages(path.parent),
    "plans.jsonl": lambda path: read_plans(path.parent),
    "reruns.jsonl": lambda path: read_reruns(path.parent),
}


def refusal(act: Callable[[], object]) -> str | None:
    """The error of an act that is refused; other errors than those of the user are the suite's."""
    try:
        act()
    except UserError as error:
        return str(error)
    return None


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hostile") / "all"
    make(folder)
    return folder


def test_a_mutated_document_is_read_or_refused_in_one_line(folder: Path) -> None:
    chance, before, harmless = random.Random(0), contents(folder), []
    paths = sorted(commands(folder))
    for number in range(MUTATIONS):
        path = paths[number % len(paths)]
        path.write_bytes(mutated(before[path], chance))
        reader = READERS.get(path.name, lambda path: read(Manifest, path))
        error = refusal(lambda path=path, reader=reader: reader(path))
        assert error is None or (str(path) in error and "\n" not in error), number
        if error is None:
            harmless.append((path, path.read_bytes()))
        path.write_bytes(before[path])
    assert len(harmless) < MUTATIONS / 2
    for path, content in harmless[::8]:  # what reads as a document must not surprise those who use it
        path.write_bytes(content)
        for command in commands(folder)[path][:2]:
            said = say(command)
            assert not said.error.startswith("lgbench: unexpected"), (path, command, said.error)
            assert "\x1b" not in said.output + said.error
        restore(folder, before)


@pytest.mark.parametrize("number", range(6))
def test_the_verbs_answer_a_mutated_file_in_one_line(folder: Path, number: int) -> None:
    assert faults(folder, number, seed=0) == []


def test_mutated_images_archives_and_weights_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A few of those of the benchmark, and the whole files, so that it tests what it means to test."""
    monkeypatch.setenv("LGBENCH_CACHE", "")
    folder, chance = tmp_path / "single", random.Random(0)
    folder.mkdir()
    for name, (content, reader) in hostile_files.readers(folder).items():
        for variant in (content, changed_bytes(content, chance), changed_bytes(content, chance)):
            assert hostile_files.file_fault(folder, name, variant, reader) is None, name


def test_a_mutated_preset_is_one_line(tmp_path: Path) -> None:
    from learngene_bench.config.loader import shipped_files

    chance, text = random.Random(0), shipped_files("preset")["digits"].read_bytes()
    path = tmp_path / "mine.toml"
    for _ in range(60):
        path.write_bytes(mutated(text, chance))
        error = refusal(lambda: load_preset(str(path)))
        assert error is None or (path.name in error and "\n" not in error)
