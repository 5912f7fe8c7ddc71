"""Renders all tables as one HTML page that stands alone, with every record behind its numbers.

The page is a static document that can be read and printed as it is. Its script sorts and filters the tables, compares
two rows, and opens records, which the page holds as plain JSON. It asks nothing of a network, and its content security
policy lets nothing run but the script that lies in `page/`.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from pathlib import Path

from learngene_bench.results.formats.csv import csv
from learngene_bench.results.formats.html_records import PageRecords
from learngene_bench.results.formats.latex import floats
from learngene_bench.results.formats.picture import HEIGHT, LEFT, WIDTH, picture
from learngene_bench.results.records.types import Results
from learngene_bench.results.tables.metric_table import WAYS
from learngene_bench.results.tables.report_table import ReportTable, group_title
from learngene_bench.schema.constants import FOLDER_DIGITS

_PAGE = Path(__file__).parent / "page"
_SCRIPTS = ("leaderboard.js", "records.js", "statistics.js", "comparison.js", "address.js")
"""Files of the script, in the order in which they are joined to one module."""


def html(tables: Sequence[ReportTable], results: Results, title: str = "Results") -> str:
    """Returns the page; the same records give the same bytes.

    Args:
        tables: the tables from top to bottom.
        results: the records behind their numbers.
        title: heading of the page.

    Raises:
        UserError: a record's file has gone since it was read, or is damaged.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    latex = floats(tables)
    sections = dict(zip(latex, tables, strict=True))
    files = {f"{name}.tex": text for name, text in latex.items()}
    files |= {f"{name}.csv": csv([table]) for name, table in sections.items()}
    style = (_PAGE / "leaderboard.css").read_text(encoding="utf-8")
    script = "\n".join((_PAGE / name).read_text(encoding="utf-8") for name in _SCRIPTS)
    records = PageRecords(results, tables)
    environment = Environment(
        loader=FileSystemLoader(_PAGE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.policies["json.dumps_kwargs"] = {"ensure_ascii": False, "separators": (",", ":")}
    return environment.get_template("leaderboard.html.jinja").render(
        title=title,
        sections=sections,
        choices=_choices(tables, results),
        ways=WAYS,
        group_title=group_title,
        picture=picture,
        width=WIDTH,
        height=HEIGHT,
        left=LEFT,
        positions=records.positions,
        data=lambda: {**records.content(), "files": files},  # after the tables, which say what records they need
        policy=_policy(script, style),
        style=style,
        script=script,
    )


def _choices(tables: Sequence[ReportTable], results: Results) -> dict[str, dict[str, str]]:
    """Returns what the page can be filtered by: titles by value, of each kind that leaves a choice."""
    facts = [column.facts for table in tables for column in table.columns]
    settings = {str(table.identity["setting"]): table.subtitle for table in tables if "setting" in table.identity}
    groups = {row.group: group_title(row.group) for table in tables for row in table.rows}
    found = {name: {str(fact[name]): str(fact[name]) for fact in facts if name in fact} for name in ("task", "size")}
    seeds = {str(count): f"at least {count}" for count in _seed_counts(tables, results)}
    every = {"setting": settings} | found | {"seeds": seeds, "group": groups}
    return {name: titles for name, titles in every.items() if len(titles) > 1}


def _seed_counts(tables: Sequence[ReportTable], results: Results) -> list[int]:
    """Returns the numbers of seeds that numbers of metrics are of, ascending."""
    cells = [cell.addresses for table in tables if table.kind == "metric" for row in table.rows for cell in row.cells]
    counts = {sum(address[:FOLDER_DIGITS] in results.records for address in addresses) for addresses in cells}
    return sorted(counts - {0})


def _policy(script: str, style: str) -> str:
    """Returns a content security policy: nothing is fetched, and nothing runs or styles but these two."""
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (script, style)]
    return (
        "default-src 'none'; base-uri 'none'; form-action 'none'; img-src data:; "
        f"script-src 'sha256-{hashes[0]}'; style-src 'sha256-{hashes[1]}'"
    )
