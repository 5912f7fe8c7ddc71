r"""Renders tables as LaTeX in the layout of the WAVE paper's: groups, Epoch once, model sizes side by side.

Each is a float for `\input`, which asks for no more than booktabs, graphicx and multirow, and shrinks what is larger
than the page. A paper may change two things before the `\input`:

    \newcommand{\lgbenchtable}{table*}            over both columns of the page
    \newcommand{\lgbenchcell}[2]{#1}              means without their deviations
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import count, groupby

from learngene_bench.results.formats.latex_text import escaped
from learngene_bench.results.formats.layout import wrap_label
from learngene_bench.results.tables.report_table import Block, ReportCell, ReportColumn, ReportTable, group_title

PACKAGES = "booktabs,graphicx,multirow"

_BESIDE = r"#1\,{\scriptsize$\pm$#2}"
_BELOW = r"\begin{tabular}[t]{@{}r@{}}#1\\[-3pt]{\scriptsize$\pm$#2}\end{tabular}"
_MOST_BESIDE = 5
"""Up to so many means in a row have their deviation beside them, more have it below."""

_LABEL_WIDTH = 24

_FIT = (
    r"\ifdim\wd0>\linewidth\sbox0{\resizebox{\linewidth}{!}{\usebox0}}\fi",
    r"\ifdim\dimexpr\ht0+\dp0\relax>.7\textheight\sbox0{\resizebox*{!}{.7\textheight}{\usebox0}}\fi",
)

_HIGHLIGHTS = {"": "%s", "best": r"\textbf{%s}", "second": r"\underline{%s}"}


def latex(tables: Sequence[ReportTable]) -> str:
    r"""Returns the tables as floats one below the other, for `\input` or to be pasted."""
    return "\n".join([f"% In the preamble: \\usepackage{{{PACKAGES}}}\n", *floats(tables).values()])


def document(body: str) -> str:
    r"""Returns a document around floats, or around the `\input` of their files."""
    return (
        "\\documentclass{article}\n"
        "\\usepackage[landscape,margin=15mm]{geometry}\n"
        f"\\usepackage{{{PACKAGES}}}\n"
        "\\begin{document}\n"
        f"{body}"
        "\\end{document}\n"
    )


def floats(tables: Sequence[ReportTable]) -> dict[str, str]:
    """Returns each table by a name for its file and label, such as `tab:depth-top1-5d1e5d1e-protocol1`."""
    found: dict[str, str] = {}
    for table in tables:
        # Names of grids and sizes that are different may be alike in letters.
        candidates = (f"{table.name}-{number}" if number > 1 else table.name for number in count(1))
        name = next(name for name in candidates if name not in found)
        found[name] = "\n".join(_float(table, name)) + "\n"
    return found


def _float(table: ReportTable, name: str) -> Iterator[str]:
    """The lines of a float: the tabular, shrunk if it is wider than the text or leaves no room for the notes below."""
    yield r"\providecommand{\lgbenchtable}{table}"
    yield r"\begin{\lgbenchtable}[tp]"
    yield r"\centering\small\setlength{\tabcolsep}{4pt}"
    yield rf"\caption{{{escaped(f'{table.title}: {table.subtitle}.')}}}"
    yield rf"\label{{tab:{name}}}"
    yield r"\sbox0{%"
    if table.rows:
        yield from _tabular(table, Block("", table.columns, table.rows))
    yield r"}"
    yield from _FIT
    yield r"\usebox0\par\smallskip"
    yield r"\begin{minipage}{\linewidth}\footnotesize\raggedright"
    yield from (rf"{escaped(note)}\par" for note in [*table.conclusions, *table.legend_sentence(), *table.notes])
    yield from (rf"\textsuperscript{{{n}}} {escaped(note)}\par" for n, note in enumerate(table.footnotes, start=1))
    yield r"\end{minipage}"
    yield r"\end{\lgbenchtable}"


def _tabular(table: ReportTable, shown: Block) -> Iterator[str]:
    """The lines of a tabular: columns for groups, labels, and numbers."""
    if any(cell.spread_text for row in shown.rows for cell in row.cells):
        means = sum(column.priority == 0 for column in shown.columns)
        yield rf"\providecommand{{\lgbenchcell}}[2]{{{_BESIDE if means <= _MOST_BESIDE else _BELOW}}}"
    yield rf"\begin{{tabular}}{{@{{}}ll{'r' * len(shown.columns)}@{{}}}}"
    yield r"\toprule"
    yield from _headings(shown.columns, lambda column: (column.block, column.block))
    yield from _headings(shown.columns, lambda column: (column.span, column.block))
    corner = rf"\multicolumn{{2}}{{@{{}}l}}{{{escaped(table.corner)}}}"
    yield rf"{' & '.join([corner, *(escaped(column.label) for column in shown.columns)])} \\"
    for group, rows in shown.groups():
        yield r"\midrule"
        for position, row in enumerate(rows):
            title = rf"\multirow[t]{{{len(rows)}}}{{*}}{{{group_title(group)}}}" if position == 0 else ""
            label = _label(row.label) + _references(row.footnotes)
            yield rf"{' & '.join([title, label, *map(_cell, row.cells)])} \\"
    yield r"\bottomrule"
    yield r"\end{tabular}%"


def _headings(columns: Sequence[ReportColumn], heading: Callable[[ReportColumn], tuple[str, str]]) -> Iterator[str]:
    """A line of headings that neighbours share, with rules below; no line if there are none.

    Args:
        heading: returns the heading of a column, and what else neighbours must have in common to share it.
    """
    if not any(heading(column)[0] for column in columns):
        return
    cells, rules, last = [r"\multicolumn{2}{@{}l}{}"], [], 2
    for (title, _), neighbours in groupby(columns, key=heading):
        width = len(list(neighbours))
        first, last = last + 1, last + width
        cells += [rf"\multicolumn{{{width}}}{{c}}{{{escaped(title)}}}"] if title else [""] * width
        rules += [rf"\cmidrule(lr){{{first}-{last}}}"] if title else []
    yield rf"{' & '.join(cells)} \\"
    yield "".join(rules)


def _cell(cell: ReportCell) -> str:
    value = _HIGHLIGHTS[cell.highlight] % escaped(cell.text)
    if cell.spread_text:
        value = rf"\lgbenchcell{{{value}}}{{{escaped(cell.spread_text)}}}"
    return value + _references(cell.footnotes)


def _references(footnotes: Sequence[int]) -> str:
    return rf"\textsuperscript{{{','.join(map(str, footnotes))}}}" if footnotes else ""


def _label(name: str) -> str:
    lines = [escaped(line) for line in wrap_label(name, _LABEL_WIDTH)]
    if len(lines) < 2:
        return "".join(lines)
    # The braces keep a bracket at the beginning of a line from being read as an argument of the line's end.
    return r"\begin{tabular}[t]{@{}l@{}}" + r"\\{}".join(lines) + r"\end{tabular}"
