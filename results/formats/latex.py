r"""Tables as LaTeX in the layout of the WAVE paper's: groups, Epoch once, sizes side by side with their Para.

Each is a float for `\input`, which asks for no more than booktabs, graphicx and multirow, and shrinks what is larger
than the page. Two things are the paper's to change, before the `\input`:

    \newcommand{\lgbenchtable}{table*}            over both columns of the page
    \newcommand{\lgbenchcell}[2]{#1}              means without their deviations
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import count

from learngene_bench.results.formats.latex_text import escaped
from learngene_bench.results.tables import wording
from learngene_bench.results.tables.sheet import Heading, Sheet
from learngene_bench.results.tables.table import Entry, Row, Table

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

Span = tuple[str, Sequence[str]]
"""What stands above neighbouring columns together ("" for nothing), and above each of them; LaTeX already."""


def latex(items: Sequence[Table | Sheet]) -> str:
    r"""The tables as floats one below the other, for `\input` or to be pasted."""
    return "\n".join([f"% In the preamble: \\usepackage{{{PACKAGES}}}\n", *floats(items).values()])


def document(body: str) -> str:
    r"""A document around floats, or around the `\input` of their files."""
    return (
        "\\documentclass{article}\n"
        "\\usepackage[landscape,margin=15mm]{geometry}\n"
        f"\\usepackage{{{PACKAGES}}}\n"
        "\\begin{document}\n"
        f"{body}"
        "\\end{document}\n"
    )


def floats(items: Sequence[Table | Sheet]) -> dict[str, str]:
    """Each table by a name, which can be that of its file and is in its label: `tab:depth-top1-5d1e5d1e-protocol1`."""
    found: dict[str, str] = {}
    for item in items:
        # Names of grids and sizes that are different may be alike in letters.
        candidates = (f"{item.slug}-{number}" if number > 1 else item.slug for number in count(1))
        name = next(name for name in candidates if name not in found)
        lines = _table(item, name) if isinstance(item, Table) else _sheet(item, name)
        found[name] = "\n".join(lines) + "\n"
    return found


def _table(table: Table, name: str) -> Iterator[str]:
    sizes, means = table.sizes(), wording.mean_titles(table)
    init = _initializing_trains(table)
    spans: list[Span] = [("", ["Epoch"])]
    for size, indices in sizes.items():
        labels = [table.columns[index].label for index in indices]
        title = size if table.axis == "task" else f"{size}, {table.axis}"
        spans.append(
            (escaped(title), ["Para.", *(["Init."] if init else []), *map(escaped, labels), *map(_stacked, means)])
        )
    groups = {
        group: [(row.label, list(_cells(row, sizes, init))) for row in rows]
        for group, rows in table.groups(range(len(table.columns))).items()
    }
    in_a_row = sum(len(indices) + len(means) for indices in sizes.values())
    cell = rf"\providecommand{{\lgbenchcell}}[2]{{{_BESIDE if in_a_row <= _MOST_BESIDE else _BELOW}}}"
    tabular = [cell, *_tabular(Heading("", "Method"), spans, groups)]
    notes = [*wording.notes(table, "Bold", "underlined", init), *wording.footnotes(table)]
    yield from _float(name, f"{table.title}: {table.subtitle}.", tabular, notes)


def _initializing_trains(table: Table) -> bool:
    """Whether any method does, or may: a column of zeros would say nothing."""
    every = [costs for row in table.rows for costs in row.costs.values()]
    return any(costs.expected and costs.initialize_iterations != 0 for costs in every)


def _cells(row: Row, sizes: Mapping[str, range], init: bool) -> Iterator[str]:
    yield escaped(wording.epochs(row))
    for size, indices in sizes.items():
        costs = row.costs[size]
        yield escaped(wording.parameters(costs))
        if init:
            yield escaped(wording.initialize(costs, costs.initialize_iterations))
        yield from (_entry(row.entries[index]) for index in indices)
        yield from (escaped(wording.mean(mean) + wording.superscripts(mean)) for mean in row.means.get(size, ()))


def _entry(entry: Entry) -> str:
    value = escaped(wording.value(entry))
    if entry.mark == "best":
        value = rf"\textbf{{{value}}}"
    elif entry.mark == "second":
        value = rf"\underline{{{value}}}"
    if entry.standard_deviation is not None:
        value = rf"\lgbenchcell{{{value}}}{{{wording.printed(entry.standard_deviation)}}}"
    return value + escaped(wording.superscripts(entry))


def _sheet(sheet: Sheet, name: str) -> Iterator[str]:
    spans = [
        (escaped(sheet.headings[indices[0]].span), [escaped(sheet.headings[index].label) for index in indices])
        for indices in sheet.spans()
    ]
    groups = {
        group: [(line.label, list(map(escaped, line.cells))) for line in lines] for group, lines in sheet.groups()
    }
    tabular = _tabular(sheet.corner, spans, groups) if groups else []
    notes = [*sheet.findings, *sheet.notes, *wording.numbered(sheet.footnotes)]
    yield from _float(name, f"{sheet.title}: {sheet.subtitle}.", tabular, notes)


def _float(name: str, caption: str, tabular: Iterable[str], notes: Iterable[str]) -> Iterator[str]:
    """A float's lines: the tabular, shrunk if it is wider than the text or leaves no room for the notes below it."""
    yield r"\providecommand{\lgbenchtable}{table}"
    yield r"\begin{\lgbenchtable}[tp]"
    yield r"\centering\small\setlength{\tabcolsep}{4pt}"
    yield rf"\caption{{{escaped(caption)}}}"
    yield rf"\label{{tab:{name}}}"
    yield r"\sbox0{%"
    yield from tabular
    yield r"}"
    yield from _FIT
    yield r"\usebox0\par\smallskip"
    yield r"\begin{minipage}{\linewidth}\footnotesize\raggedright"
    yield from (rf"{escaped(note)}\par" for note in notes)
    yield r"\end{minipage}"
    yield r"\end{\lgbenchtable}"


def _tabular(
    corner: Heading, spans: Sequence[Span], groups: Mapping[str, Sequence[tuple[str, list[str]]]]
) -> Iterator[str]:
    """A tabular's lines: columns for groups, labels, and what the spans hold.

    Args:
        groups: by name, labels with their cells, which are LaTeX already.
    """
    yield rf"\begin{{tabular}}{{@{{}}ll{'r' * sum(len(labels) for _, labels in spans)}@{{}}}}"
    yield r"\toprule"
    above, below, rules, last = [_corner(corner.span)], [_corner(corner.label)], [], 2
    for span, labels in spans:
        first, last = last + 1, last + len(labels)
        above += [rf"\multicolumn{{{len(labels)}}}{{c}}{{{span}}}"] if span else [""] * len(labels)
        below += labels
        rules += [rf"\cmidrule(lr){{{first}-{last}}}"] if span else []
    if rules:
        yield rf"{' & '.join(above)} \\"
        yield "".join(rules)
    yield rf"{' & '.join(below)} \\"
    for group, rows in groups.items():
        yield r"\midrule"
        for position, (label, cells) in enumerate(rows):
            title = rf"\multirow[t]{{{len(rows)}}}{{*}}{{{wording.GROUP_TITLES[group]}}}" if position == 0 else ""
            yield rf"{' & '.join([title, _label(label), *cells])} \\"
    yield r"\bottomrule"
    yield r"\end{tabular}%"


def _stacked(title: str) -> str:
    """A header of several words, the last one below the others."""
    return r"\begin{tabular}[b]{@{}r@{}}" + r"\\{}".join(map(escaped, title.rsplit(" ", 1))) + r"\end{tabular}"


def _corner(text: str) -> str:
    return rf"\multicolumn{{2}}{{@{{}}l}}{{{escaped(text)}}}"


def _label(name: str) -> str:
    lines = [escaped(line) for line in wording.wrapped(name, _LABEL_WIDTH)]
    if len(lines) < 2:
        return "".join(lines)
    # The braces keep a bracket at the beginning of a line from being read as an argument of the line's end.
    return r"\begin{tabular}[t]{@{}l@{}}" + r"\\{}".join(lines) + r"\end{tabular}"
