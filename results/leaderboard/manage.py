"""Adds records to a leaderboard, makes its tables, and checks both.

A leaderboard is a folder in git: `records.jsonl`, `plans.jsonl`, if wanted `evaluations.jsonl` and `predictions/`,
`reruns.jsonl` if any cell was computed once more, and tables made from them, which can be made again and compared byte
by byte. Files are written in place, each of them whole, re-runs, plans and records before tables; `git checkout` is the
undo. Nothing else in the folder is touched, and a folder that holds something else is no place for a new leaderboard.
One process at a time changes a leaderboard; another one waits for it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path

from learngene_bench.results.leaderboard.content import EMPTY, Content, read_leaderboard, read_runs
from learngene_bench.results.leaderboard.reruns import check_reruns
from learngene_bench.results.leaderboard.review import check_conflicts, listed, review
from learngene_bench.results.leaderboard.rules import check
from learngene_bench.results.leaderboard.tables import texts
from learngene_bench.results.records.loading import load
from learngene_bench.results.records.selection import planned_cells
from learngene_bench.results.records.types import Results
from learngene_bench.schema.leaderboard import PREDICTIONS, is_leaderboard
from learngene_bench.schema.rerun import RERUNS, Rerun
from learngene_bench.util.errors import UserError
from learngene_bench.util.files import unwritable, write_bytes
from learngene_bench.util.locks import exclusively

WAIT_SECONDS = 60.0
"""Longest wait for another process that changes the same leaderboard."""

_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


def folder_of(root: Path, name: str) -> Path:
    """Returns the folder of a leaderboard.

    Raises:
        UserError: the name is not valid.
    """
    if not _NAME.fullmatch(name):
        raise UserError(f"leaderboard {name!r}: a name is lower-case letters, digits and single hyphens, as in digits")
    return root / name


def existing(root: Path) -> list[Path]:
    """Lists the folders in a folder of leaderboards, by name.

    Raises:
        UserError: there is no such folder, or none in it.
    """
    if not root.is_dir():
        raise UserError(f"no folder {root} (--folder says where the leaderboards are)")
    found = sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    if not found:
        raise UserError(f"{root}: no leaderboard in it (--folder says where the leaderboards are)")
    return found


def add(folder: Path, runs: Path, *, allow_incomplete: bool = False, predictions: bool = False) -> list[str]:
    """Adds the records of a runs folder, and makes the tables again. Nothing is written unless all rules hold.

    Args:
        folder: the leaderboard; made if it does not exist.
        runs: the runs folder.
        allow_incomplete: accept planned cells without a result; the tables then count them.
        predictions: add what models predict for each image too, and the evaluations made after the records.

    Returns:
        What was done and what a reviewer should know, in lines.

    Raises:
        UserError: a rule is broken, planned cells are missing, or numbers conflict with those of the leaderboard.
    """
    offered = load([runs])
    if not offered.manifests:
        raise UserError(f"{runs}: no plan, so nobody can tell what is missing; `lgbench run` writes one to plans/")
    if any(manifest.is_quick for manifest in offered.manifests):
        raise UserError(f"{runs}: quick runs (--quick), whose numbers mean nothing: a leaderboard takes none")
    new = read_runs(runs, planned_cells(offered), evaluated=predictions)
    if not allow_incomplete:
        _check_complete(runs, offered, new)
    check(new)
    _make_folder(folder)
    with exclusively(folder, wait=WAIT_SECONDS):
        _check_nothing_else(folder)  # not before: another process may be writing the first files of this leaderboard
        old = _read(folder) if is_leaderboard(folder) else EMPTY
        check_conflicts(old, new)
        merged = old.merged(new)
        check(merged)
        final = merged.restricted_to_tables()
        _write(folder, final)
    return list(review(old, new, final, offered))


def add_rerun(folder: Path, rerun: Rerun) -> bool:
    """Adds to a leaderboard that somebody has computed one of its cells once more, and makes the tables again.

    Returns:
        False if the same person has told the same of this cell before; nothing is written then.

    Raises:
        UserError: a rule is broken.
    """
    with exclusively(folder, wait=WAIT_SECONDS):
        content = _read(folder)
        if rerun.finding in {known.finding for known in content.reruns}:
            return False
        merged = replace(content, reruns=(*content.reruns, rerun))
        check_reruns(merged, folder / RERUNS)
        _write(folder, merged)
    return True


def build(folder: Path) -> None:
    """Makes a leaderboard's files again from its records and plans.

    Raises:
        UserError: a record breaks a rule.
    """
    _check_is_leaderboard(folder)
    with exclusively(folder, wait=WAIT_SECONDS):
        _write(folder, _read(folder))


def difference(folder: Path) -> str | None:
    """Compares a leaderboard's files with what its records and plans give.

    Returns:
        One line on the first file that differs, by name; None if every byte is the same.

    Raises:
        UserError: a record breaks a rule.
    """
    made = dict(_files(folder, _read(folder)))
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    for name in sorted(made.keys() | {name for name in found if not name.startswith(".")}):
        path, cure = folder / name, f"(lgbench leaderboard build {folder.name})"
        if name not in made:
            return f"{path} does not belong to a leaderboard: move it elsewhere"
        if name not in found:
            return f"{path} is missing {cure}"
        if (content := path.read_bytes()) != made[name]:
            return f"{path}, line {_first_difference(content, made[name])}: not what the records give {cure}"
    return None


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(folder, error) from error


def _check_nothing_else(folder: Path) -> None:
    """Raises `UserError` if a folder holds something else than a leaderboard, or cannot be read."""
    try:
        others = [] if is_leaderboard(folder) else [p.name for p in folder.iterdir() if not p.name.startswith(".")]
    except OSError as error:
        raise unwritable(folder, error) from error
    if others:
        raise UserError(f"{folder}: no leaderboard, and not empty ({listed(sorted(others))}): choose another --name")


def _check_is_leaderboard(folder: Path) -> None:
    if not is_leaderboard(folder):
        names = ", ".join(path.name for path in existing(folder.parent) if is_leaderboard(path))
        raise UserError(f"no leaderboard {folder.name} in {folder.parent} (there: {names or 'none'})")


def _read(folder: Path) -> Content:
    _check_is_leaderboard(folder)
    content = read_leaderboard(folder)
    check(content)
    check_reruns(content, folder / RERUNS)
    return content.restricted_to_tables()


def _check_complete(runs: Path, results: Results, content: Content) -> None:
    """Raises `UserError` if a planned cell is neither done nor failed."""
    labels = {stage.address: stage.label for line in content.plans.values() for stage in line.plan.stages}
    cells = planned_cells(results)
    missing = [labels[address] for address, cell in cells.items() if results.outcome(cell) is None]
    if missing:
        raise UserError(
            f"{runs}: {len(missing)} of {len(cells)} planned cells have no result yet ({listed(missing)}): "
            "finish the run, or add what there is with --allow-incomplete"
        )


def _write(folder: Path, content: Content) -> None:
    """Writes the files that have changed; removes predictions of cells that are gone, and re-runs if none is left."""
    files = dict(_files(folder, content))
    if not content.reruns:
        (folder / RERUNS).unlink(missing_ok=True)
    for name, made in files.items():
        path = folder / name
        if not path.exists() or path.read_bytes() != made:
            path.parent.mkdir(exist_ok=True)
            write_bytes(path, made)
    for path in (folder / PREDICTIONS).glob("[!.]*.npz"):
        if f"{PREDICTIONS}/{path.name}" not in files:
            path.unlink()


def _files(folder: Path, content: Content) -> Iterator[tuple[str, bytes]]:
    """Makes every file of a leaderboard: name and content."""
    yield from content.files().items()
    for name, text in texts(folder.name, content.results(), content.evaluated).items():
        yield name, text.encode()


def _first_difference(one: bytes, other: bytes) -> int:
    """Returns the number of the first line in which two texts differ."""
    pairs = zip_longest(one.split(b"\n"), other.split(b"\n"))
    return next(number for number, (first, second) in enumerate(pairs, start=1) if first != second)
