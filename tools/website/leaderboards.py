"""The leaderboards as pages: the tables, and beside them a page that sorts, filters and opens records."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import learngene_bench
from learngene_bench.results.formats import reporting


def add_pages(folder: Path, boards: Path) -> None:
    """Writes the page of records of each leaderboard beside its tables, and a link to it into these."""
    for records in sorted(boards.glob("*/records.jsonl")):
        name = records.parent.name
        found = learngene_bench.load(records.parent).results
        page = replace(reporting.make(found, computed=reporting.WHERE_MEASURED), title=f"Leaderboard {name}")
        file = f"{name}-records.html"
        (folder / file).write_text(reporting.FORMATS["html"](page), encoding="utf-8")
        tables = folder / f"{name}.md"
        title, _, rest = tables.read_text(encoding="utf-8").partition("\n")
        link = f"**[Sort and filter these tables, and open every record]({file})**"
        tables.write_text(f"{title}\n\n{link}\n{rest}", encoding="utf-8")
