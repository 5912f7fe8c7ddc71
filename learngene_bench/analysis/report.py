"""The result of an analysis: a picture, its numbers as CSV, and a few lines for the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from learngene_bench.results.formats.csv import csv_text
from learngene_bench.results.plots.page import Page
from learngene_bench.util.files import write_bytes


@dataclass(frozen=True)
class Analysis:
    """One analysis of some models.

    Attributes:
        page: the picture.
        rows: rows of the CSV, all with the same keys; None where there is no number.
        summary: rows of a table for the terminal, the header first.
    """

    name: str
    page: Page
    rows: tuple[Mapping[str, Any], ...]
    summary: tuple[tuple[str, ...], ...]

    def write(self, folder: Path) -> list[Path]:
        """Writes NAME.png, NAME.pdf and NAME.csv. All are made before the first is written.

        Raises:
            UserError: the folder cannot be written to.
        """
        contents = {suffix: self.page.content(suffix) for suffix in (".png", ".pdf")}
        contents[".csv"] = csv_text(self.rows, list(self.rows[0])).encode()
        for suffix, content in contents.items():
            write_bytes(folder / f"{self.name}{suffix}", content)
        return [folder / f"{self.name}{suffix}" for suffix in contents]


def rounded(value: float | None, digits: int = 2) -> str:
    """Formats a number for people; None is a dash."""
    if value is None:
        return "—"
    return f"{round(value, digits) + 0.0:.{digits}f}"  # no negative zero
