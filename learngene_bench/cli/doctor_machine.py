"""Checks of the machine for `lgbench doctor`: cores, memory, folders, SLURM, TeX. Nothing heavy is imported."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from learngene_bench.cli.doctor_findings import Finding, fault, lacks, ok
from learngene_bench.data.decoded_cache import VARIABLE, cache_folder
from learngene_bench.util.errors import UserError
from learngene_bench.util.hardware import usable_cores
from learngene_bench.util.words import counted

MB, GB = 10**6, 10**9
RUN_NEEDS = 100 * MB
"""Free bytes that a run needs at the least: a cell of the digits leaves 1 MB, and checkpoints come on top."""
RUN_WANTS = GB
WORKER_NEEDS = GB
"""Memory of a worker process in bytes: torch, and a model of the digits (resident: 1.1 GB, a part of it shared)."""
SHARED_WANTS = GB
"""Bytes of /dev/shm below which loading processes of presets with photographs may be killed."""
SLURM_COMMANDS = ("sbatch", "squeue", "scancel", "sinfo")
TEX_PACKAGES = ("booktabs", "graphicx", "multirow")
"""Packages that the tables ask for, see `results.formats.latex`."""
SECONDS = 20
"""Time that a command of others may take."""


def machine() -> Iterator[Finding]:
    """Counts cores and memory, and says how many workers the memory holds."""
    cores = len(usable_cores())
    yield ok("cores", counted(cores, "core") + " for this process", count=cores)
    free = _free_memory()
    if free is None:
        yield lacks("memory", "unknown: the system does not say", "lgbench run --workers N limits what runs at once")
    elif free < cores * WORKER_NEEDS:
        fitting = max(1, free // WORKER_NEEDS)
        cost = f"{counted(cores, 'worker')} may be killed for lack of it: lgbench run --workers {fitting}"
        yield lacks("memory", f"{_size(free)} free", cost, free=free)
    else:
        yield ok("memory", f"{_size(free)} free", free=free)
    shared = Path("/dev/shm")
    if shared.is_dir():
        free = shutil.disk_usage(shared).free
        if free < SHARED_WANTS:
            cost = "processes that load photographs may die with 'Bus error'; a container takes --shm-size=8g"
            yield lacks("shared memory", f"{_size(free)} free", cost, free=free)
    if (sys.stdout.encoding or "").lower().replace("-", "") != "utf8":
        cost = "signs such as ± are printed as question marks; PYTHONUTF8=1 mends it"
        yield lacks("terminal", f"encoding {sys.stdout.encoding}", cost, encoding=sys.stdout.encoding)
    if shutil.which("git") is None:
        yield lacks("git", "not installed", "records made in a checkout do not name its commit")


def folders(runs: Path) -> Iterator[Finding]:
    """Writes, locks and removes a file where results, decoded images and temporary files go; asks for free space."""
    yield from _folder("runs", runs, "--runs names another folder", needed=True)
    cache = cache_folder()
    if cache is None:
        cost = f"images of data sets are decoded again by every run; {VARIABLE} names a folder"
        yield lacks("cache", "switched off, or there is no home folder", cost)
    else:
        yield from _folder("cache", cache, f"images are decoded again by every run; {VARIABLE} names another folder")
    try:
        temporary = Path(tempfile.gettempdir())
    except OSError as error:
        yield fault("temporary files", str(error), "TMPDIR names a folder for them")
    else:
        yield from _folder("temporary files", temporary, "TMPDIR names another folder", needed=True)


def _folder(subject: str, folder: Path, meaning: str, needed: bool = False) -> Iterator[Finding]:
    bad = fault if needed else lacks
    existing = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    place = f"{folder}" if existing == folder else f"{folder}, to be made in {existing.resolve()}"
    if not existing.is_dir():
        yield bad(subject, f"{existing} is no folder", meaning, path=str(folder))
        return
    try:
        locks = _write_and_lock(existing)
        free = shutil.disk_usage(existing).free
    except OSError as error:
        yield bad(subject, f"{place}: {error.strerror or error}", meaning, path=str(folder))
        return
    values = {"path": str(folder), "free": free, "locks": locks}
    if free < RUN_NEEDS:
        yield bad(subject, f"{place}: {_size(free)} free", meaning, **values)
    elif free < RUN_WANTS:
        cost = "a run that finds the disk full stops, and continues when there is room"
        yield lacks(subject, f"{place}: {_size(free)} free", cost, **values)
    elif not locks:
        cost = "two commands that change one runs folder at the same time are not kept apart"
        yield lacks(subject, f"{place}: the file system has no locks", cost, **values)
    else:
        yield ok(subject, f"{place}: {_size(free)} free", **values)


def _write_and_lock(folder: Path) -> bool:
    """Writes a file that has gone when this returns; returns False if the file system has no locks.

    Raises:
        OSError: the folder cannot be written to, or the disk is full.
    """
    with tempfile.TemporaryFile(dir=folder) as stream:
        stream.write(b"lgbench doctor")
        stream.flush()
        os.fsync(stream.fileno())
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
    return True


def slurm() -> Iterator[Finding]:
    """Looks for SLURM's commands, and asks its controller for the partitions."""
    missing = [name for name in SLURM_COMMANDS if shutil.which(name) is None]
    cost = "--executor slurm works where they are, on a login node; local and inline work everywhere"
    if len(missing) == len(SLURM_COMMANDS):
        yield lacks("SLURM", "not installed", cost)
    elif missing:
        yield lacks("SLURM", f"without {', '.join(missing)}", cost, missing=missing)
    else:
        answer, partitions = _ask("sinfo", "-h", "-o", "%R")
        names = sorted(set(partitions.split()))
        if answer:
            yield ok("SLURM", f"partitions: {', '.join(names) or 'none'}", partitions=names)
        else:
            yield lacks("SLURM", "its commands are here, but no controller answers", cost)


def site() -> Iterator[Finding]:
    """Reads the user's defaults for executors as a run would."""
    from learngene_bench.config.toml_file import read_toml
    from learngene_bench.execution.executors import make_executor, site_file

    path = site_file()
    if not path.exists():
        return
    try:
        tables = read_toml(path)
        for table in tables:
            make_executor(table, {})
    except UserError as error:
        yield fault("site file", str(error), f"correct {path}, or move it away", path=str(path))
    else:
        yield ok("site file", f"{path}: {', '.join(tables) or 'empty'}", path=str(path))


def tex() -> Iterator[Finding]:
    """Looks for pdflatex, and for the packages that tables ask for."""
    cost = "tables are written as LaTeX all the same; only turning them into a PDF needs it"
    if shutil.which("pdflatex") is None:
        yield lacks("TeX", "no pdflatex", cost)
        return
    missing = [name for name in TEX_PACKAGES if not _ask("kpsewhich", f"{name}.sty")[0]]
    if missing:
        yield lacks("TeX", f"pdflatex, without the packages {', '.join(missing)}", cost, missing=missing)
    else:
        yield ok("TeX", f"pdflatex, with {', '.join(TEX_PACKAGES)}")


def _ask(*command: str) -> tuple[bool, str]:
    """Returns if a command ended well, and what it printed."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.TimeoutExpired):
        return False, ""
    return done.returncode == 0, done.stdout


def _free_memory() -> int | None:
    """Returns the bytes that this process may still take: of the machine, and of its container or job."""
    found = []
    try:
        available = re.search(r"^MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text(), re.MULTILINE)
        found += [int(available[1]) * 1024] if available else []
        most = Path("/sys/fs/cgroup/memory.max").read_text().strip()
        if most != "max":
            found.append(int(most) - int(Path("/sys/fs/cgroup/memory.current").read_text()))
    except (OSError, ValueError):
        pass
    return max(0, min(found)) if found else None


def _size(count: float) -> str:
    """Returns a number of bytes as people say it: 29 MB, 5.7 GB."""
    return f"{count / GB:.1f} GB" if count >= GB else f"{count / MB:.0f} MB"
