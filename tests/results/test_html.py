from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from learngene_bench.results import comparison_sheets, comparisons, load, make_tables
from learngene_bench.results.formats.html import html


def page_of(runs: Any) -> str:
    results = load([runs.folder])
    made = make_tables(results)
    return html([*made, *make_tables(results, "top1_initial"), *comparison_sheets(comparisons(made))], results)


def test_tables(example: Any, golden: Callable[[str, str], None]) -> None:
    golden("leaderboard.html", re.findall(r"<body>.*</main>\n", page_of(example), re.DOTALL)[0])


def test_the_same_records_give_the_same_bytes(example: Any) -> None:
    code = (
        "from learngene_bench.results import load, make_tables; from learngene_bench.results.formats.html import html;"
        "from pathlib import Path; import sys;"
        "found = load([Path(sys.argv[1])]); sys.stdout.buffer.write(html(make_tables(found), found).encode())"
    )
    command = [sys.executable, "-c", code, str(example.folder)]
    once, again = (
        subprocess.run(command, env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, check=True).stdout
        for seed in ("1", "2")
    )
    assert once == again


def test_it_refers_to_nothing_outside(budgets: Any) -> None:
    page = page_of(budgets)
    addresses = re.findall(r"\b(?:href|src|srcset|action|poster)=\"([^\"]*)\"", page)
    assert {address for address in addresses if not address.startswith("#")} == {"data:,"}
    assert "url(" not in page
    (policy,) = re.findall(r"http-equiv=\"Content-Security-Policy\" content=\"([^\"]*)\"", page)
    assert policy.startswith("default-src &#39;none&#39;;")
    assert "unsafe" not in policy
    assert "@import" not in page
