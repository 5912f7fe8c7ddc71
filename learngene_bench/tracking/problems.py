"""Problems of trackers, a line each, from the processes that track to the terminal of the run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from learngene_bench.schema.base import printable
from learngene_bench.util.files import open_log, read_bytes

_SUFFIX = ".problems"
_MOST = 300
"""Letters of a problem that are kept."""


def report_problem(folder: Path, tracker: str, label: str, text: str) -> None:
    """Adds a line to the problems of a tracker; a disk that takes none is no further problem."""
    with suppress(Exception), open_log(folder / f"{tracker}{_SUFFIX}") as stream:
        stream.write(f"{printable(label)}: {printable(text)[:_MOST]}\n")


def reported_problems(folder: Path) -> dict[Path, list[str]]:
    """Returns the problems that a folder of trackings holds, by file: one for each tracker that had any."""
    files = sorted(folder.glob(f"*{_SUFFIX}")) if folder.is_dir() else []
    return {path: lines for path in files if (lines := _lines(path))}


class Problems:
    """The problems that are reported from now on in a folder of trackings."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.seen = {path: len(lines) for path, lines in reported_problems(folder).items()}
        self.told: set[str] = set()

    def new(self) -> Iterator[tuple[str, str]]:
        """Yields the first new problem of each tracker that had none, as (name of the tracker, text)."""
        for path, every in reported_problems(self.folder).items():
            lines = every[self.seen.get(path, 0) :]
            if lines and path.stem not in self.told:
                self.told.add(path.stem)
                yield path.stem, lines[0]


def _lines(path: Path) -> list[str]:
    try:
        return [printable(line) for line in read_bytes(path).decode("utf-8", "replace").splitlines()]
    except OSError:
        return []
