from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typesetting import needs_tex, typeset

from learngene_bench.results import load, make_tables, metric_reports, plots
from learngene_bench.results.formats import reporting
from learngene_bench.results.formats.latex import document, floats, latex
from learngene_bench.results.formats.latex_macros import macros
from learngene_bench.results.formats.latex_text import escaped
from learngene_bench.results.tables.report_table import ReportTable

HOSTILE = "=1+1 [red]|`x`*_<script>$&\\\x1b[31m\n2 \\input{/etc/passwd} ^^4d %~#{}\"'' -- Müller 中 λ ±²"

BARE = r"""\documentclass%s{article}
\usepackage{booktabs,graphicx,multirow}
\begin{document}
%s
\end{document}
"""


def both(runs: Any) -> list[ReportTable]:
    return reporting.make(load([runs.folder])).tables


def finetuned(runs: Any) -> list[ReportTable]:
    return metric_reports(make_tables(load([runs.folder])))


def beside_the_paper(runs: Any) -> list[ReportTable]:
    return [*reporting.make(load([runs.folder]), compare=True).derived]


def test_tables(example: Any, golden: Callable[[str, str], None]) -> None:
    golden("tables.tex", latex(both(example)))


@needs_tex
def test_tables_fit_into_a_bare_article_and_the_document(example: Any, budgets: Any, tmp_path: Path) -> None:
    text = latex([*both(example), *beside_the_paper(budgets)])
    for number, whole in enumerate([BARE % ("", text), document(text)]):
        (folder := tmp_path / str(number)).mkdir()
        log = typeset(folder, whole)
        assert not re.findall(r"Overfull|Missing character|Float too large|multiply defined", log)


@pytest.fixture
def three_sizes(runs: Any) -> Any:
    """A table as large as the paper's Table 1: three sizes, five depths, twelve methods."""
    methods = (
        "he",
        "mimetic",
        "timm",
        "ghn3",
        "ligo",
        "share",
        "heru-lg",
        "auto-lg",
        "telg",
        "sws",
        "wave",
        "direct-pt",
    )
    cells = [
        runs.done(runs.cell(method, depth, seed, size=size, target={"width": width}), 50 + row + depth / 2 + seed / 4)
        for row, method in enumerate(methods)
        for size, width in (("ti", 192), ("s", 384), ("b", 768))
        for depth in (4, 6, 8, 10, 12)
        for seed in range(2)
    ]
    runs.plan(cells)
    return runs


@needs_tex
@pytest.mark.parametrize(("options", "before"), [("", ""), ("[twocolumn]", r"\newcommand{\lgbenchtable}{table*}")])
def test_sizes_side_by_side_fit_the_page(three_sizes: Any, tmp_path: Path, options: str, before: str) -> None:
    text = latex(finetuned(three_sizes))
    assert r"\multicolumn{8}{c}{ti} & \multicolumn{8}{c}{s} & \multicolumn{8}{c}{b}" in text
    assert "Overfull" not in typeset(tmp_path, BARE % (options, before + text))


@needs_tex
def test_a_table_higher_than_the_page_is_shrunk(runs: Any, tmp_path: Path) -> None:
    runs.plan([runs.done(runs.cell("wave", variant=f"a={number}"), 50.0) for number in range(120)])
    log = typeset(tmp_path, BARE % ("", latex(finetuned(runs))))
    assert not re.findall(r"Overfull|Float too large", log)


@needs_tex
def test_the_paper_may_leave_out_deviations(example: Any, tmp_path: Path) -> None:
    changed = r"\newcommand{\lgbenchcell}[2]{#1\typeout{left out: #2}}"
    assert "left out: 0.3" in typeset(tmp_path, BARE % ("", changed + latex(finetuned(example))))


@needs_tex
def test_hostile_names(runs: Any, tmp_path: Path) -> None:
    names = {"title": HOSTILE, "task": HOSTILE, "size": HOSTILE, "variant": HOSTILE}
    cells = [runs.done(runs.cell("evil", **names), 50.0), runs.done(runs.cell("\\evil", **names), 60.0)]
    cells += [runs.failed(runs.cell("evil", 6, **names), HOSTILE), runs.done(runs.cell("nan", **names), float("nan"))]
    dashes = [runs.dash("evil", 8, HOSTILE, **names)]
    runs.plan(cells, dashes, setting_description=HOSTILE, grid=HOSTILE, preset=HOSTILE)
    runs.plan(cells[:1], setting_description=HOSTILE, grid="../" + HOSTILE, created="2027-01-01T00:00:00Z")
    tables = reporting.make(load([runs.folder]), compare=True, computed=reporting.COMPUTED).tables
    names_of_files = floats(tables).keys()
    assert len(names_of_files) == len(tables)
    assert all(re.fullmatch(r"[A-Za-z0-9-]+", name) for name in names_of_files)
    log = typeset(tmp_path, BARE % ("", macros(tables) + latex(tables)))
    assert not re.findall(r"Missing character|root:", log)


@needs_tex
def test_any_text_can_be_set(tmp_path: Path) -> None:
    ranges = [
        range(0x20, 0x7F),
        range(0xA0, 0x250),
        range(0x370, 0x400),
        range(0x2010, 0x2060),
        range(0x1F600, 0x1F603),
    ]
    letters = [chr(code) for codes in ranges for code in codes]
    pairs = [f"{first}{second}" for first in "-'`\"<>?!,[]*" for second in "-'`\"<>?!,[]*"]
    text = "\n\n".join(map(escaped, [*letters, *pairs]))
    assert "Missing character" not in typeset(tmp_path, BARE % ("", text))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("learn_scalers=50% & {more}", r"learn\_scalers=50\% \& \{more\}"),
        ("91.0±0.3, —", "91.0±0.3, —"),
        ("Müller, Øster, Erdős", "Müller, Øster, Erdős"),
        ("λ=0.1, 中", r"$\lambda$=0.1, [U+4E2D]"),
        ("\\end{document}", r"\textbackslash{}end\{document\}"),
    ],
)
def test_escaping(text: str, expected: str) -> None:
    assert escaped(text) == expected


def defined(text: str) -> dict[str, str]:
    lines = [line for line in text.splitlines() if not line.startswith("%")]
    found = [re.fullmatch(r"\\newcommand\{\\([A-Za-z]+)\}\{(.*)\}", line) for line in lines]
    assert all(found)
    return {line[1]: line[2] for line in found if line}


def test_a_macro_is_the_number_in_the_table_or_says_that_there_is_none(example: Any) -> None:
    found = defined(macros(both(example)))
    assert found["lgbenchDepthMiniWaveFour"] == "94.3"
    assert found["lgbenchDepthMiniWaveFourDeviation"] == "0.3"
    assert found["lgbenchDepthInitialMicroWaveFour"] == "75.0"
    assert found["lgbenchDepthMicroWaveSix"] == r"\textbf{??}"
    assert found["lgbenchDepthMicroWaveInheritanceInterpolateTwo"] == r"\textbf{??}"
    assert found["lgbenchDepthMicroLigoTwo"] == "—"
    assert "lgbenchDepthMicroWaveInheritanceInterpolateFour" not in found


@needs_tex
def test_a_name_that_would_stand_for_two_numbers_is_an_error_where_it_is_used(runs: Any, tmp_path: Path) -> None:
    runs.plan([runs.done(runs.cell(method), 50.0) for method in ("a-b", "a_b", "c")])
    text = macros(finetuned(runs))
    assert defined(text) == {"lgbenchDepthMicroCFour": "50.0"}
    assert r"% \lgbenchDepthMicroABFour is not defined, it could be: micro a-b  4; micro a_b  4" in text
    typeset(tmp_path, BARE % ("", text + r"\lgbenchDepthMicroCFour"))
    with pytest.raises(AssertionError, match="Undefined control sequence"):
        typeset(tmp_path, BARE % ("", text + r"\lgbenchDepthMicroABFour"))


def test_settings_and_protocols_have_macros_of_their_own(budgets: Any, own_budgets: Any) -> None:
    found = defined(macros(finetuned(budgets)))
    assert (found["lgbenchDepthMicroHeFour"], found["lgbenchDepthEqualBudgetMicroHeFour"]) == ("82.2", "85.2")
    assert (found["lgbenchDepthMicroHeMean"], found["lgbenchDepthMicroHeMeanBudget"]) == ("82.7", "85.7")
    own_budgets.plan([own_budgets.done(own_budgets.cell("he", version=5), 1.0, protocol=9)], protocol=9)
    two = defined(macros(finetuned(own_budgets)))
    assert len(two) == len(found) + 1
    assert "lgbenchDepthMicroHeFour" not in two


@needs_tex
def test_the_files_of_a_folder_are_a_document_and_fit_into_another(
    example: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plots, "KINDS", {})
    reporting.write(reporting.make(load([example.folder]), computed=reporting.COMPUTED), tmp_path)
    inputs = [f"\\input{{{path.relative_to(tmp_path)}}}" for path in sorted(tmp_path.glob("latex/*"))]
    assert len(inputs) > 5
    for text in ((tmp_path / "tables.tex").read_text(), BARE % ("", "\\clearpage\n".join(inputs))):
        log = typeset(tmp_path, text)
        assert not re.findall(r"Overfull|Missing character|Float too large|multiply defined", log)
