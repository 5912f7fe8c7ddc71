"""A leaderboard: a folder of records that others can check, and the tables made from them.

It is a function of what it keeps: every file in it is either kept (`leaderboard_records`) or made from that
(`leaderboard_tables`), so that it can be made again and compared byte by byte. It changes as a whole: a new folder is
built beside the old one and takes its place at the end.
"""

from __future__ import annotations

import re
import shutil
from itertools import zip_longest
from pathlib import Path

from learngene_bench.results.leaderboard.records import Kept, read_kept
from learngene_bench.results.leaderboard.review import listed, refuse_contradictions, review
from learngene_bench.results.leaderboard.rules import check
from learngene_bench.results.leaderboard.tables import texts
from learngene_bench.results.records.loading import load
from learngene_bench.results.records.selection import planned_cells
from learngene_bench.results.records.types import Results
from learngene_bench.util.errors import UserError
from learngene_bench.util.files import unwritable

_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


def folder_of(root: Path, name: str) -> Path:
    """Where the leaderboard of this name lies.

    Raises:
        UserError: it is no name.
    """
    if not _NAME.fullmatch(name):
        raise UserError(f"leaderboard {name!r}: a name is lower-case letters, digits and single hyphens, as in digits")
    return root / name


def existing(root: Path) -> list[Path]:
    """All leaderboards of a folder, by name.

    Raises:
        UserError: there is no such folder.
    """
    if not root.is_dir():
        raise UserError(f"no folder {root} (--folder says where the leaderboards are)")
    return sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))


def add(folder: Path, runs: Path, *, allow_incomplete: bool = False) -> list[str]:
    """Takes the records of a runs folder in, and makes the tables anew; all of it or nothing.

    Args:
        folder: of the leaderboard; made if it is not there.
        allow_incomplete: whether planned cells may be without a result; the tables then say how many are.

    Returns:
        What was done and what a reviewer should know, in lines.

    Raises:
        UserError: a rule is broken, planned cells are missing, or the numbers contradict those that are there.
    """
    _finish_interrupted(folder)
    offered = load([runs])
    if not offered.manifests:
        raise UserError(f"{runs}: no plan, so nobody can tell what is missing; `lgbench run` writes one to plans/")
    new = read_kept(runs, planned_cells(offered))
    if not allow_incomplete:
        _check_complete(runs, offered, new)
    check(new)
    old = _read(folder) if folder.exists() else Kept({}, {})
    refuse_contradictions(old, new)
    both = old.with_all(new)
    check(both)
    final = both.only(planned_cells(load([folder, runs] if folder.exists() else [runs])))
    _write(folder, final)
    return list(review(old, new, final, offered))


def build(folder: Path) -> None:
    """Makes a leaderboard's files anew from what it keeps.

    Raises:
        UserError: it keeps what breaks a rule.
    """
    _finish_interrupted(folder)
    _write(folder, _read(folder))


def difference(folder: Path) -> str | None:
    """The first file, by name, that is not what the records give, in one line; None if every byte is.

    Raises:
        UserError: a record breaks a rule.
    """
    made = _read(folder).files() | {name: text.encode() for name, text in texts(folder.name, load([folder])).items()}
    files = [path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")]
    found = {path.relative_to(folder).as_posix(): path for path in files}
    for name in sorted(made.keys() | found.keys()):
        if name not in found:
            return f"{folder / name} is missing"
        if name not in made:
            return f"{found[name]} belongs to no cell of the tables"
        if (content := found[name].read_bytes()) != made[name]:
            return f"{found[name]}, line {_first_difference(content, made[name])}: not what the records give"
    return None


def _read(folder: Path) -> Kept:
    if not folder.is_dir():
        names = ", ".join(path.name for path in existing(folder.parent))
        raise UserError(f"no leaderboard {folder.name} in {folder.parent} (there: {names or 'none'})")
    kept = read_kept(folder, planned_cells(load([folder])))
    check(kept)
    return kept


def _check_complete(runs: Path, results: Results, kept: Kept) -> None:
    """Raises `UserError` if a planned cell is neither done nor failed."""
    labels = {stage["address"]: stage["label"] for plan in kept.plans.values() for stage in plan["stages"]}
    cells = planned_cells(results)
    missing = [labels[address] for address, cell in cells.items() if results.outcome(cell) is None]
    if missing:
        raise UserError(
            f"{runs}: {len(missing)} of {len(cells)} planned cells have no result yet ({listed(missing)}): "
            "finish the run, or add what there is with --allow-incomplete"
        )


def _write(folder: Path, kept: Kept) -> None:
    """Puts a folder with this in the place of the one that is there."""
    new, old = _beside(folder)
    try:
        for name, content in kept.files().items():
            path = new / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        for name, text in texts(folder.name, load([new])).items():
            (new / name).write_bytes(text.encode())
        if folder.exists():
            folder.rename(old)
        new.rename(folder)
    except OSError as error:
        raise unwritable(folder, error) from error
    finally:
        _finish_interrupted(folder)


def _finish_interrupted(folder: Path) -> None:
    """Clears away what `_write` leaves, also where it was killed; the folder is then the old one or the new one."""
    new, old = _beside(folder)
    if old.exists() and not folder.exists():
        old.rename(folder)
    shutil.rmtree(new, ignore_errors=True)
    shutil.rmtree(old, ignore_errors=True)


def _beside(folder: Path) -> tuple[Path, Path]:
    """Where the folder is while it is built, and for the moment in which it is replaced."""
    return folder.with_name(f".{folder.name}.new"), folder.with_name(f".{folder.name}.old")


def _first_difference(one: bytes, other: bytes) -> int:
    """The number of the first line in which two texts differ."""
    pairs = zip_longest(one.split(b"\n"), other.split(b"\n"))
    return next(number for number, (first, second) in enumerate(pairs, start=1) if first != second)
