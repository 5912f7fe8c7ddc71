"""Whole runs in real processes: the same numbers whatever the workers and kills, and nothing lost when things fail."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import time
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from forked import MAIN, Program
from PIL import Image
from safetensors.torch import load_file, save_file
from whole_runs import (
    PLUGIN,
    alive,
    children,
    lgbench_forked,
    lgbench_here,
    numbers,
    run,
    run_here,
    short_preset,
    wait_until,
    words,
)

from learngene_bench.schema.record import Failure

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def preset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return short_preset(tmp_path_factory.mktemp("preset"))


@pytest.fixture(scope="module")
def reference(preset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run in this process that nothing happened to: wave, he and direct-pt at two depths."""
    runs = tmp_path_factory.mktemp("reference") / "runs"
    run_here(preset, runs, "-m", "wave,he,direct-pt")
    return runs


@pytest.fixture(scope="module")
def of_workers(preset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same by two workers."""
    runs = tmp_path_factory.mktemp("workers") / "runs"
    run(preset, runs, "-m", "direct-pt,he,wave", "--workers", "2")
    return runs


def test_numbers_do_not_depend_on_the_executor_or_its_workers(reference: Path, of_workers: Path) -> None:
    assert numbers(of_workers) == numbers(reference)
    assert len(numbers(reference)) == 1 + 1 + 2 + 2 + 2 + 2 + 2  # teacher, gene; models and their genes; cells
    assert len(list(of_workers.glob("*/*/log.txt"))) == len(numbers(reference))
    assert not list(reference.glob("*/*/log.txt"))  # printed on the terminal


def test_a_cell_names_the_hash_of_its_gene(reference: Path) -> None:
    records = [json.loads(path.read_text()) for path in reference.glob("*/*/result.json")]
    genes = {record["address"]: record["tensors"]["sha256"] for record in records if record["kind"] == "gene"}
    cells = [record for record in records if record["kind"] == "cell"]
    assert [cell.get("gene_sha256") for cell in cells] == [genes.get(cell["inputs"].get("gene")) for cell in cells]
    assert {record["cell"]["method"] for record in cells if "gene_sha256" not in record} == {"he"}


def test_a_second_run_does_no_work(preset: Path, of_workers: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in of_workers.glob("*/*/*") if path.parent.parent.name != "report"}
    workers = (of_workers / "workers.log").stat().st_mtime_ns
    done = run(preset, of_workers, "-m", "wave,he,direct-pt", "--workers", "1")
    assert (of_workers / "workers.log").stat().st_mtime_ns == workers  # none was started
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert "WAVE" in done.stdout
    planned = words(preset, of_workers, "-m", "wave,he,direct-pt")[1:]
    assert "nothing to compute" in lgbench_here("plan", *planned).stdout


KILLS = int(os.environ.get("LGBENCH_KILLS", "8"))
"""More take a longer run to land in: LGBENCH_KILLS=50 pytest -k killed_again."""


def owners(runs: Path) -> dict[Path, str]:
    """Reads who computes which stage, or did until it was killed."""
    return {path: path.read_text() for path in runs.rglob("owner-*.json")}


def test_killed_again_and_again(preset: Path, reference: Path, tmp_path: Path) -> None:
    """SIGKILL at random moments, of the whole or of one worker: identical numbers, nothing finished done twice.

    Most runs compute in the process of the command, as workers take longer to start than to compute all that there is.
    """
    runs, untouched, chance = tmp_path / "runs", reference, random.Random(0)
    arguments = ["-m", "wave,he,direct-pt", "--seeds", str(max(1, KILLS // 8))]
    if KILLS > 8:
        untouched = tmp_path / "untouched"
        run_here(preset, untouched, *arguments)
    finished: dict[Path, int] = {}
    kills = 0
    while kills < KILLS:
        executor, before = ["--executor", "inline"] if kills % 4 else ["--workers", "2"], owners(runs)
        with Program(MAIN, argv=[*words(preset, runs, *arguments), *executor]) as process:
            wait_until(lambda process=process, before=before: process.has_ended() or owners(runs) != before, 300)
            time.sleep(chance.uniform(0, 1))
            workers = children(process.pid)
            if workers:
                with suppress(ProcessLookupError):
                    os.kill(chance.choice(workers), signal.SIGKILL)
                kills += 1
                time.sleep(chance.uniform(0.1, 1))
        kills += 1
        wait_until(lambda workers=workers: not any(alive(pid) for pid in workers))
        for path in runs.glob("*/*/result.json"):
            assert finished.setdefault(path, path.stat().st_mtime_ns) == path.stat().st_mtime_ns, kills
            json.loads(path.read_text())
    run_here(preset, runs, *arguments)
    assert all(path.stat().st_mtime_ns == written for path, written in finished.items())
    assert numbers(runs) == numbers(untouched)
    leftovers = [path for path in runs.rglob("*") if path.suffix in (".tmp", ".pt") or path.name == "progress.json"]
    assert leftovers == []
    assert not list(runs.rglob("owner-*.json")) + list(runs.rglob("failed.json"))


def test_ctrl_c_stops_everything_and_says_how_to_go_on(preset: Path, reference: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    with Program(MAIN, argv=words(preset, runs, "-m", "direct-pt", "--workers", "2")) as process:
        wait_until(lambda: any(runs.glob("ancestor/*/checkpoints/*.pt")), 300)
        workers = children(process.pid)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        _, error = process.communicate()
    assert process.returncode == 130
    assert error.splitlines()[-1] == "lgbench: stopped; run the same command again to continue"
    assert "Traceback" not in error
    wait_until(lambda: not any(alive(pid) for pid in workers))
    assert "interrupted" in lgbench_here("status", "--runs", str(runs)).stdout
    run_here(preset, runs, "-m", "direct-pt")
    expected = numbers(reference)
    assert all(value == expected[name] for name, value in numbers(runs).items())


def test_a_worker_that_dies_is_a_failure_of_its_stage_alone(preset: Path, tmp_path: Path) -> None:
    plugin = tmp_path / "deadly.py"
    plugin.write_text(PLUGIN.format(body="import os; os._exit(7)"))
    done = run(preset, tmp_path / "runs", "-m", "mine,he", "--plugin", str(plugin), "--workers", "1", status=1)
    assert "its worker ended with exit status 7" in done.stdout
    assert done.stdout.count(" -> ") == 3  # he at both depths, mine at the depth where it lives
    assert (
        "failed       mine micro depth 6 seed 0: its worker ended"
        in lgbench_here("status", "--runs", str(tmp_path / "runs")).stdout
    )
    again = run(preset, tmp_path / "runs", "-m", "mine,he", "--plugin", str(plugin), "--workers", "1", status=1)
    assert "4/4 failed mine" in again.stdout  # tried again: what killed it may be gone


def test_a_worker_whose_gpu_fails_computes_nothing_more(preset: Path, tmp_path: Path) -> None:
    """What a process asks of a GPU fails after such an error: its other stages would look like failures of methods."""
    runs, plugin = tmp_path / "runs", tmp_path / "mine.py"
    plugin.write_text(PLUGIN.format(body="import torch; raise torch.AcceleratorError('CUDA error: an assertion')"))
    arguments = ("-m", "mine,he", "--plugin", str(plugin), "--workers", "1")
    done = run(preset, runs, *arguments, status=1)
    assert "CUDA error: an assertion" in done.stdout
    assert done.stdout.count(" -> ") == 3  # he at both depths, mine at the depth where it does not raise
    (failed,) = runs.glob("cell/*/failed.json")
    failure = Failure.model_validate_json(failed.read_text())
    assert failure.died
    assert "mine.py" in failure.traceback
    assert "AcceleratorError" in (runs / "workers.log").read_text()  # the worker ended
    assert "4/4 failed mine" in run(preset, runs, *arguments, status=1).stdout  # tried again


def test_a_method_that_fails_stops_nobody_else(preset: Path, tmp_path: Path) -> None:
    runs, plugin = tmp_path / "runs", tmp_path / "mine.py"
    plugin.write_text(PLUGIN.format(body="raise ValueError('six is\\ntoo deep')"))
    plugins = ["--plugin", str(plugin)]
    arguments = ["-m", "mine,he", *plugins]
    first = run_here(preset, runs, *arguments, status=1)
    assert "mine micro depth 6 seed 0: ValueError: six is" in first.stdout
    assert "Traceback" not in first.stdout + first.stderr
    assert "ValueError: six is\ntoo deep" in json.loads(next(runs.glob("cell/*/failed.json")).read_text())["traceback"]
    table = lgbench_here("report", "--runs", str(runs)).stdout
    assert "Mine [x]" in table
    assert "0/1" in table
    again = run_here(preset, runs, *arguments, status=1)
    assert "1/4" not in again.stdout  # not tried again, not called a success either
    assert run_here(preset, runs, *arguments, "--retry-failed", status=1).stdout.count("failed") >= 2
    said = lgbench_here("logs", "mine 6", "--runs", str(runs)).stdout
    assert "ValueError: six is\ntoo deep" in said
    assert (
        "fits 4 stages, which differ in method (he or mine) and depth (4 or 6)"
        in lgbench_here("logs", "micro", "--runs", str(runs), status=2).stderr
    )
    assert "1 failed" in lgbench_here("status", "--runs", str(runs)).stdout
    assert "failed    mine micro depth 6" in lgbench_here("retry", "--runs", str(runs), *plugins, status=1).stdout
    assert "nothing of that failed" in lgbench_here("retry", "he 4", "--runs", str(runs), status=2).stderr
    plugin.write_text(PLUGIN.format(body="pass"))
    fixed = run_here(preset, runs, *arguments)
    assert "failed" not in fixed.stdout
    assert len(list(runs.glob("cell/*/result.json"))) == 2 + 1 + 2  # he; mine as it was; mine as it is


def test_weights_that_are_not_finite_are_a_failure(preset: Path, tmp_path: Path) -> None:
    plugin = tmp_path / "mine.py"
    plugin.write_text(PLUGIN.format(body="model.head.bias.data[0] = float('nan')"))
    done = run_here(preset, tmp_path / "runs", "-m", "mine", "--plugin", str(plugin), status=1)
    assert "initialize() left numbers in head.bias that are not finite" in done.stdout


@pytest.fixture
def copy(reference: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(reference, tmp_path / "copy"))


def test_a_damaged_record_is_named(preset: Path, copy: Path) -> None:
    record = next(copy.glob("cell/*/result.json"))
    record.write_bytes(record.read_bytes()[:100])
    for verb in (["report", "--runs", str(copy)], words(preset, copy, "-m", "wave,he,direct-pt")):
        error = lgbench_here(*verb, status=2).stderr
        assert str(record) in error
        assert len(error.splitlines()) == 1


def test_a_damaged_gene_is_named(preset: Path, copy: Path) -> None:
    for cell in copy.glob("cell/*"):
        shutil.rmtree(cell)
    labels = {path: json.loads((path / "config.json").read_text())["label"] for path in copy.glob("gene/*")}
    genes = [path for path, label in labels.items() if "wave" in label]
    tensors = genes[0] / "tensors.safetensors"
    content = bytearray(tensors.read_bytes())
    content[-1] ^= 1  # a number in a template, which no format check would see
    tensors.write_bytes(content)
    error = run(preset, copy, "-m", "wave", "--workers", "1", status=2).stderr
    assert str(tensors) in error
    assert len(error.splitlines()) == 1
    shutil.rmtree(genes[0])
    run_here(preset, copy, "-m", "wave")


def test_a_full_disk(preset: Path, small_disk: Path) -> None:
    """One line, status 2, no half file; what was done stays done."""
    runs = small_disk / "runs"
    error = run_here(preset, runs, "-m", "he,direct-pt", status=2).stderr
    assert len(error.splitlines()) == 1
    assert "No space left on device" in error
    assert not list(runs.rglob("*.tmp"))
    for path in runs.rglob("*.json"):
        json.loads(path.read_text())


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A tree of small grey images: class `b` is brighter than class `a`."""
    noise = random.Random(0)
    for split, count in (("train", 40), ("val", 10)):
        for name, light in (("a", 60), ("b", 160)):
            folder = tmp_path / "images" / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                picture = Image.new("L", (14, 12), light + noise.randrange(40))
                picture.save(folder / f"{number}.png")
    return tmp_path / "images"


def test_a_folder_of_images(images: Path, tmp_path: Path) -> None:
    """The same job on images of one's own, and what happens when one of them does not decode or all are gone."""
    settings = ["data.name=imagefolder", f"data.root={images}", "data.image_size=12", "data.channels=1"]
    arguments = ["-m", "wave,he", "--quick", "--executor", "inline", "--runs", str(tmp_path / "runs")]
    arguments += [part for setting in settings for part in ("--set", setting)]
    done = lgbench_here("run", *arguments)
    assert "WAVE" in done.stdout
    record = json.loads(next((tmp_path / "runs").glob("cell/*/result.json")).read_text())
    assert (record["cell"]["task"], record["cell"]["target"]["classes"]) == ("images", 2)
    assert record["evaluation"] == {"split": "test", "images": 20}
    broken = images / "train" / "a" / "0.png"
    broken.write_bytes(broken.read_bytes()[:40])
    error = lgbench_forked("run", *arguments, status=2).stderr
    assert str(broken) in error
    assert len(error.splitlines()) == 1
    shutil.rmtree(images)
    error = lgbench_forked("run", *arguments, status=2).stderr
    assert str(images) in error
    assert len(error.splitlines()) == 1


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_an_ancestor_from_a_file(preset: Path, reference: Path, tmp_path: Path, suffix: str) -> None:
    """Loaded instead of trained, the same model gives the same number; another one is refused by name."""
    labels = {path.parent: json.loads(path.read_text())["label"] for path in reference.glob("ancestor/*/config.json")}
    trained = next(folder for folder, label in labels.items() if "depth 4" in label)
    weights = tmp_path / f"mine{suffix}"
    state = load_file(trained / "tensors.safetensors")
    if suffix == ".pt":
        torch.save({"model": state}, weights)
    else:
        save_file(state, weights)
    arguments = ["-m", "direct-pt", "--set", f"ancestor.checkpoint={weights}"]
    run_here(preset, tmp_path / "runs", *arguments, "--set", "grid.depths=[4]")
    record = json.loads(next((tmp_path / "runs").glob("cell/*/result.json")).read_text())
    before = [json.loads(path.read_text()) for path in reference.glob("cell/*/result.json")]
    same = [r for r in before if (r["cell"]["method"], r["cell"]["target"]["depth"]) == ("direct-pt", 4)]
    assert (record["metrics"], record["initial_weights"]) == (same[0]["metrics"], same[0]["initial_weights"])
    error = run_here(preset, tmp_path / "runs", *arguments, "--set", "grid.depths=[6]", status=2).stderr
    assert f"{weights} is not the model that is needed: blocks.4." in error
    assert len(error.splitlines()) == 1
