"""Kills verbs that write, at random moments, and compares what they leave in the end with what they leave undisturbed.

    python benchmarks/kills.py [--kills 50] [--seed 0] [--jobs 2] [--verb report]

Each verb is killed (SIGKILL to its process group) again and again, and then runs to its end. A kill counts only if it
met the verb at work: with its process alive, after the undisturbed one had first written (of a verb that writes at its
end: in the second half of its time), and with work left that is not done yet. Moments are drawn in CPU time of the
verb, so that a busy machine does not move them. A verb that ended before its kill, or was killed when all was written,
is compared, and the next kill meets a new one. The claims under test: the final files are the same bytes as without
kills (of what is computed: the same numbers, as records hold times), and no file is left behind, also no temporary one
elsewhere.
A run of four cells is made first, for the verbs that read one.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

LGBENCH = [sys.executable, "-c", "from learngene_bench.cli.main import main; main()"]
METHODS = ["-m", "he,timm", "--workers", "1", "--set", "grid.depths=[4,5]", "--set", "finetuning.epochs=1"]
CLOCK = {"provenance", "cost", "seconds", "created", "address"}
"""Keys of documents whose values are of the clock, or follow from it."""
POLL, LIMIT = 0.01, 900.0
"""Seconds between two looks at a verb; seconds after which it hangs."""
TRIES = 20
"""Starts of a verb for each kill that is to meet it."""

Kept = dict[str, Any]


class Fault(Exception):
    """A claim that does not hold."""


@dataclass(frozen=True)
class Verb:
    """A verb that writes.

    Attributes:
        command: its command line, in a folder in which it writes all that it writes.
        ready: makes what it needs in that folder.
        kept: what of its files must be the same.
        again: makes the folder ready for another start, for verbs that replace nothing.
    """

    command: list[str]
    ready: Callable[[Path], object] = lambda folder: None
    kept: Callable[[Path], Kept] = lambda folder: every_byte(folder)
    again: Callable[[Path], object] = lambda folder: None


def lgbench(*arguments: str) -> list[str]:
    return [*LGBENCH, *arguments]


def every_byte(folder: Path) -> Kept:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def numbers(folder: Path) -> Kept:
    """All files by name; of documents with results, what does not depend on the clock; of tensors, the bytes."""
    found: Kept = {}
    for path in folder.rglob("*"):
        if path.is_file():
            name = str(path.relative_to(folder))
            found[name] = None
            if path.name == "result.json" or (path.parent.name == "evaluations" and path.suffix == ".json"):
                found[name] = {k: value for k, value in json.loads(path.read_text()).items() if k not in CLOCK}
            elif path.suffix == ".safetensors":
                found[name] = path.read_bytes()
    return found


def verbs(place: Path, url: str) -> dict[str, Verb]:
    """Every verb that writes, by a name.

    Args:
        place: folder with a finished run, `runs`; runs that a leaderboard takes, `offered`; an archive and a gene.
        url: where the archive can be downloaded.
    """
    here, offered = ["--runs", str(place / "runs")], ["--runs", str(place / "offered")]
    board = ["--name", "one", "--folder", "boards"]

    def built(folder: Path) -> None:
        finish(folder, lgbench("leaderboard", "add", *board, *offered))
        for name in ("README.md", "cells.csv", "tables.tex"):
            (folder / "boards" / "one" / name).write_text("old")

    def copied(folder: Path) -> None:
        shutil.copytree(place / "runs", folder / "runs")

    def failed(folder: Path) -> None:
        from learngene_bench.runs.store import Runs, stage_of

        copied(folder)
        for path in sorted((folder / "runs" / "cell").iterdir()):
            stage = Runs(folder / "runs").folder("cell", json.loads((path / "config.json").read_text())["address"])
            config = stage.read_config()
            stage.result.unlink()
            stage.model.unlink()
            stage.fail(stage_of(config).label, "ValueError: no", "Traceback")

    def without(name: str) -> Callable[[Path], object]:
        return lambda folder: (folder / name).unlink(missing_ok=True)

    def not_repeated(folder: Path) -> None:
        if list((folder / "again").glob("cell/*/result.json")):
            shutil.rmtree(folder / "again")

    archive = place / "served" / "images.zip"
    digest = hashlib.md5(archive.read_bytes()).hexdigest()
    fetch = (
        "from pathlib import Path; from learngene_bench.tasks.datasets.archives import Archive, silent; "
        f"Archive({url + archive.name!r}, 'md5:{digest}', 'images.zip', 'images', 'images').fetch(Path('data'), silent)"
    )
    new = ["new", "mine-too", "-o", "mine.py"]
    return {
        "run": Verb(lgbench("run", *METHODS, "--runs", "runs"), kept=numbers),
        "retry": Verb(lgbench("retry", "--runs", "runs", "--workers", "1"), failed, numbers),
        "rerun": Verb(
            lgbench("rerun", "he 4", *here, "-o", "again", "--workers", "1"), kept=numbers, again=not_repeated
        ),
        "evaluate": Verb(lgbench("evaluate", "he 4", "--runs", "runs", "--shift", "rotated"), copied, numbers),
        "report": Verb(lgbench("report", *here, "-o", "report")),
        "appendix": Verb(lgbench("report", "--appendix", *here, "-o", "appendix")),
        "plot": Verb(lgbench("plot", "curves", *here, "-o", "plots")),
        "analyze": Verb(lgbench("analyze", "copies", "he 4", *here, "-o", "analysis")),
        "export": Verb(lgbench("export", "he", "4", *here, "-o", "model.safetensors")),
        "export --initial": Verb(lgbench("export", "he", "4", *here, "--initial", "-o", "model.safetensors")),
        "new": Verb(lgbench(*new), again=without("mine.py")),
        "gene convert": Verb(
            lgbench("gene", "convert-ghn3", str(place / "ghn3.pt"), "--trust", "-o", "gene.safetensors"),
            again=without("gene.safetensors"),
        ),
        "data prepare": Verb([sys.executable, "-c", fetch]),
        "leaderboard add": Verb(lgbench("leaderboard", "add", *board, *offered)),
        "leaderboard build": Verb(lgbench("leaderboard", "build", "one", "--folder", "boards"), built),
    }


def started(folder: Path, command: list[str]) -> subprocess.Popen[bytes]:
    """Starts a command in a folder, with a folder of temporary files of its own beside it."""
    temporary = folder.with_name(f"{folder.name}-temporary")
    for each in (folder, temporary):
        each.mkdir(parents=True, exist_ok=True)
    return subprocess.Popen(
        command,
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
        env={**os.environ, "TMPDIR": str(temporary)},
    )


def finish(folder: Path, command: list[str]) -> None:
    check(started(folder, command))


def state(folder: Path) -> dict[Path, tuple[int, int]]:
    """Sizes and times of the files of a folder."""
    found = {}
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):  # a temporary file that has just got its name
            about = path.lstat()
            found[path] = (about.st_size, about.st_mtime_ns)
    return found


def members(session: int) -> list[list[str]]:
    """The fields of /proc/PID/stat, from the third on, of the processes of a session that have not ended."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = path.read_text().rpartition(")")[2].split()
            if int(fields[3]) == session and fields[0] != "Z":
                found.append(fields)
    return found


def spent(session: int) -> float:
    """CPU seconds of the processes of a session, and of their children that have ended."""
    ticks = sum(int(field) for fields in members(session) for field in fields[11:15])
    return ticks / os.sysconf("SC_CLK_TCK")


def timed(folder: Path, command: list[str]) -> tuple[float, float]:
    """Runs a command undisturbed; returns its CPU seconds until it first changes a file, and in all."""
    before, first, last = state(folder), None, 0.0
    process = started(folder, command)
    while process.poll() is None:
        last = max(last, spent(process.pid))
        if first is None and state(folder) != before:
            first = last
        time.sleep(POLL)
    check(process)
    return last if first is None else first, last


def killed(process: subprocess.Popen[bytes], seconds: float) -> bool:
    """Kills a process and its group after so much CPU time, and waits for what it has started.

    Returns:
        False if it has ended before.
    """
    began = time.monotonic()
    while process.poll() is None and spent(process.pid) < seconds:
        time.sleep(POLL)
        if time.monotonic() - began > LIMIT:
            os.killpg(process.pid, signal.SIGKILL)
            raise Fault(f"{process.args}: not done after {LIMIT} s")
    if process.poll() is not None:
        check(process)
        return False
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    while members(process.pid):  # workers end by themselves
        time.sleep(POLL)
        if time.monotonic() - began > LIMIT:
            raise Fault(f"{process.args}: outlived by processes that it had started")
    return True


def check(process: subprocess.Popen[bytes]) -> None:
    """Waits for a process. Raises `Fault` if it ends with another status than 0."""
    _, error = process.communicate()
    if process.returncode:
        raise Fault(f"{process.args}: {error.decode()}")


def tried(name: str, verb: Verb, kills: int, chance: random.Random, place: Path) -> int:
    """Runs a verb undisturbed and disturbed until that many kills have met it at work; returns the number of starts.

    Raises:
        Fault: the files differ, one is left behind, or kills do not meet the verb.
    """
    calm = place / "calm"
    calm.mkdir(parents=True)
    verb.ready(calm)
    first, duration = timed(calm, verb.command)
    expected = verb.kept(calm)
    met = starts = compared = 0
    while met < kills:
        disturbed = place / f"disturbed-{compared}"
        disturbed.mkdir()
        verb.ready(disturbed)
        while met < kills:
            starts += 1
            if starts > kills * TRIES:
                raise Fault(f"{name}: only {met} of {starts} kills met it at work")
            verb.again(disturbed)
            alive = killed(started(disturbed, verb.command), chance.uniform(min(first, duration / 2), duration))
            if not alive or settled(verb, disturbed) == expected:
                break
            met += 1
        finish_and_compare(name, verb, disturbed, expected, met)
        compared += 1
    print(
        f"{name:18} {met:3} kills met it at work in {starts} starts ({first:.2f} to {duration:.2f} CPU s): "
        f"{compared} times the same, nothing left",
        flush=True,
    )
    return starts


def settled(verb: Verb, folder: Path) -> Kept | None:
    """Returns what is kept after a kill; None where a file is not whole, which is right while work is left."""
    with suppress(ValueError, KeyError):
        return verb.kept(folder)
    return None


def finish_and_compare(name: str, verb: Verb, folder: Path, expected: Kept, met: int) -> None:
    """Runs a verb to its end, and compares what it leaves."""
    verb.again(folder)
    if settled(verb, folder) != expected:
        finish(folder, verb.command)
    found = verb.kept(folder)
    if expected != found:
        unlike = sorted(path for path in expected.keys() | found.keys() if expected.get(path, 0) != found.get(path, 0))
        raise Fault(f"{name}: not the same after {met} kills: {', '.join(unlike)} (kept in {folder})")
    temporary = folder.with_name(f"{folder.name}-temporary")
    calm = folder.with_name("calm-temporary")
    if left := {path.name for path in temporary.iterdir()} - {path.name for path in calm.iterdir()}:
        raise Fault(f"{name}: left in the folder of temporary files: {', '.join(sorted(left))}")


def prepare(place: Path) -> None:
    """Makes what the verbs read."""
    import joblib
    from ghn3_models import SMALL
    from recorded_runs import recorded

    from learngene_bench.baselines.ghn3.network import Hypernetwork

    recorded(place / "offered", "he,timm")
    finish(place, lgbench("run", *METHODS, "--runs", "runs"))
    (place / "served").mkdir()
    noise = random.Random(0)
    with zipfile.ZipFile(place / "served" / "images.zip", "w") as archive:
        for number in range(4000):
            archive.writestr(f"images/{number % 40}/{number}.png", noise.randbytes(8000))
    joblib.dump(dict(Hypernetwork(SMALL).state_dict()), place / "ghn3.pt")


class Quiet(SimpleHTTPRequestHandler):
    """Serves a folder without a line for every request."""

    def log_message(self, format: str, *arguments: object) -> None:
        pass


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="verbs at the same time")
    parser.add_argument("--verb", help="one verb alone")
    options = parser.parse_args()
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    place = Path(tempfile.mkdtemp(prefix="lgbench-kills-"))
    prepare(place)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(place / "served")))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    every = verbs(place, f"http://127.0.0.1:{server.server_port}/")
    chosen = {name: verb for name, verb in every.items() if options.verb in (None, name)}
    if not chosen:
        parser.error(f"--verb is one of {', '.join(every)}")
    began, kills = time.monotonic(), options.kills

    def one(number: int, name: str) -> int:
        share = kills // len(chosen) + (number < kills % len(chosen))
        chance = random.Random(f"{options.seed} {name}")
        return tried(name, chosen[name], share, chance, place / name.replace(" ", "-"))

    with ThreadPoolExecutor(options.jobs) as threads:
        starts = sum(threads.map(one, range(len(chosen)), chosen))
    shutil.rmtree(place)
    seconds = time.monotonic() - began
    print(f"{kills} kills met {len(chosen)} verbs at work, in {starts} starts and {seconds:.0f} s")


if __name__ == "__main__":
    main()
