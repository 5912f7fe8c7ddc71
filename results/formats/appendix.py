r"""Writes all that some results allow as one LaTeX document: an appendix for a paper.

`appendix.tex` needs booktabs, geometry, graphicx and multirow, and two runs of pdflatex. Beside it lie its figures, as
PDF, and `references.bib` for the paper's own bibliography. Tables are not floats here, so that they stay in their
sections. Every table of `reporting.COMPUTED` is in it: `SECTIONS` gives those that it knows a heading and an order.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from learngene_bench.results import plots
from learngene_bench.results.formats.bibtex import Reference, entries, references
from learngene_bench.results.formats.latex import PACKAGES, floats
from learngene_bench.results.formats.latex_text import escaped
from learngene_bench.results.formats.reporting import COMPUTED
from learngene_bench.results.records.origins import Origins, UsedRecipe, origins
from learngene_bench.results.records.types import Results
from learngene_bench.results.tables.metric_report import metric_reports
from learngene_bench.results.tables.metric_table import MetricTable
from learngene_bench.results.tables.numbers import plural
from learngene_bench.results.tables.report_table import ReportTable, group_title
from learngene_bench.results.tables.tabulate import make_tables
from learngene_bench.schema.subject import PlannedCell
from learngene_bench.util.errors import UserError
from learngene_bench.util.files import write_text

NAME = "appendix.tex"


@dataclass(frozen=True)
class Section:
    """A part of the appendix.

    Attributes:
        title: its heading.
        reading: how to read its tables, in sentences.
    """

    title: str
    reading: str = ""


DEFAULT = Section(
    "Results at the default",
    "Every method at the settings of the preset. First after fine-tuning, then as initialized, before any of it.",
)
BEST = Section(
    "Results at the best of a sweep",
    "Every method at the setting that its own trials select on validation images, of equally many trials each.",
)
EQUAL = Section(
    "Results at equal budget",
    "Every method trains on the same number of images for a target: those of its initialization are taken off its "
    "fine-tuning.",
)

SECTIONS: Mapping[str, Section] = {
    "sweep": Section("Trials of the sweep", "What was tried on validation images, and how wide the best region is."),
    "horizon": Section(
        "Longer fine-tuning", "What remains of each gap when targets are fine-tuned for longer, from the same weights."
    ),
    "data-size": Section("Fewer images", "What becomes of each gap on parts of the training images, in equal steps."),
    "instinct": Section(
        "First epochs", "Accuracy before and early in fine-tuning, and how soon a reference is reached."
    ),
    "growth": Section(
        "Growth and selection", "Which targets keep the function of the source model, and what that saves."
    ),
    "cost": Section("Costs", "What genes and targets cost, and how that is shared by many targets."),
    "compute": Section("Compute", "Accuracy over all that was spent, in operations or seconds."),
    "statistics": Section(
        "What can be concluded", "Intervals, ranks and tests. Each table says what its seeds and targets cannot show."
    ),
    "variance": Section("Variance", "How much of the spread is of the gene, of the target, and of both together."),
    "predictions": Section("Predictions", "What models answer image by image: agreement, calibration, shifted images."),
}
"""Sections of computed tables in their order, by the names of `reporting.COMPUTED`; others follow under their names."""

_PREAMBLE = rf"""\documentclass{{article}}
\usepackage[margin=20mm]{{geometry}}
\usepackage{{{PACKAGES}}}
% Tables stand where they are read. Without these two definitions they float, as in tables.tex.
\makeatletter
\newenvironment{{lgbenchinplace}}[1][]{{\par\bigskip\noindent\begin{{minipage}}{{\linewidth}}\def\@captype{{table}}}}
  {{\end{{minipage}}\par\bigskip}}
\makeatother
\newcommand{{\lgbenchtable}}{{lgbenchinplace}}
\newcommand{{\lgbenchfigure}}[1]{{\sbox0{{\includegraphics{{#1}}}}%
  \ifdim\wd0>\linewidth\sbox0{{\resizebox{{\linewidth}}{{!}}{{\usebox0}}}}\fi
  \ifdim\ht0>.85\textheight\sbox0{{\resizebox{{!}}{{.85\textheight}}{{\usebox0}}}}\fi
  \usebox0\par}}
\raggedbottom
\sloppy
"""

_BREAKS = ",=/.:_-"
"""Letters after which a long word may be broken."""


def write_appendix(
    results: Results, folders: Sequence[Path], output: Path, citations: Mapping[str, str], title: str = "Results"
) -> list[Path]:
    """Writes the appendix, its figures and its bibliography.

    Args:
        results: what was read of the folders, or a choice of it.
        folders: runs folders and leaderboards.
        output: folder to write to.
        citations: publication of each method that is known here, by its name.

    Returns:
        The files.

    Raises:
        UserError: there is no record, or the folder cannot be written to.
    """
    if not results.records:
        raise UserError("nothing for an appendix: no finished cell; `lgbench status` says what is missing")
    figures = {kind: draw(results, output / "figures", 2) for kind, draw in plots.KINDS.items()}
    drawn = {
        kind: [path.relative_to(output) for path in paths if path.suffix == ".pdf"] for kind, paths in figures.items()
    }
    cited = references({method: text for method, text in citations.items() if method in _methods(results)})
    text = appendix(results, origins(results, folders), drawn, cited, title)
    write_text(output / NAME, text)
    written = [output / NAME, *(path for paths in figures.values() for path in paths)]
    if cited:
        write_text(output / "references.bib", "\n".join(reference.bibtex for reference in entries(cited)))
        written.insert(1, output / "references.bib")
    return written


def appendix(
    results: Results,
    found: Origins,
    figures: Mapping[str, Sequence[Path]],
    cited: Mapping[str, Sequence[Reference]],
    title: str = "Results",
) -> str:
    """Returns the document.

    Args:
        results: the results that all of it is made from.
        found: how they came about.
        figures: files of each kind of figure, relative to the document.
        cited: publications by method.
    """
    after = make_tables(results)
    sections = [*_metric_sections(after, make_tables(results, initial=True)), *_computed_sections(after, results)]
    filled = {section: tables for section, tables in sections if tables}
    texts = iter(floats([table for tables in filled.values() for table in tables]).values())
    parts = [
        _PREAMBLE,
        rf"\title{{{escaped(title)}: appendix}}",
        r"\author{}\date{}",
        r"\begin{document}",
        r"\maketitle",
        *_setting(results),
        *_data(found),
        *_recipes(found.recipes),
        *_method_list(results, cited),
    ]
    for section, tables in filled.items():
        parts += [rf"\section{{{escaped(section.title)}}}", escaped(section.reading), r"\par\nopagebreak"]
        parts += [next(texts) for _ in tables]
    parts += [*_figures(figures), *_origin(found, len(results.records)), *_absent(filled)]
    publications = entries(cited)
    if publications:
        parts += [r"\begin{thebibliography}{99}", *(each.item for each in publications), r"\end{thebibliography}"]
    return "\n".join([*parts, r"\end{document}", ""])


def _metric_sections(
    after: Sequence[MetricTable], before: Sequence[MetricTable]
) -> Iterator[tuple[Section, list[ReportTable]]]:
    kinds: tuple[tuple[Section, Callable[[MetricTable], bool]], ...] = (
        (DEFAULT, lambda table: table.source.best_of is None and table.equal_budget is None),
        (BEST, lambda table: table.source.best_of is not None),
        (EQUAL, lambda table: table.source.best_of is None and table.equal_budget is not None),
    )
    for section, belongs in kinds:
        yield section, metric_reports([table for table in (*after, *before) if belongs(table)])


def _computed_sections(after: Sequence[MetricTable], results: Results) -> Iterator[tuple[Section, list[ReportTable]]]:
    order = list(SECTIONS)
    for name in sorted(COMPUTED, key=lambda name: order.index(name) if name in order else len(order)):
        yield SECTIONS.get(name, Section(group_title(name))), COMPUTED[name](after, results)


def _absent(filled: Mapping[Section, Sequence[ReportTable]]) -> Iterator[str]:
    """Names the sections that these records do not allow, so that nobody looks for them."""
    known = [BEST, EQUAL, *(SECTIONS.get(name, Section(group_title(name))) for name in COMPUTED)]
    if lacking := [section.title for section in known if section not in filled]:
        yield r"\section{Not in this appendix}"
        yield escaped(f"The records have nothing for: {', '.join(lacking)}.")


def _setting(results: Results) -> Iterator[str]:
    yield r"\section{Setting}"
    yield (
        "Numbers of two settings, grids or protocols never stand in one table. The setting describes the preset and "
        "what differs from it."
    )
    yield r"\begin{itemize}\raggedright"
    lines: dict[str, set[str]] = {}
    for manifest in results.manifests:
        words = f"{manifest.setting_description} (setting {manifest.setting[:8]}, protocol {manifest.protocol})"
        seeds = plural(len({cell.seed for cell in manifest.cells}), "seed")
        if manifest.crossed:
            seeds = f"seeds of genes x targets {manifest.crossed.text}"
        lines.setdefault(words, set()).add(f"grid {manifest.grid}, {seeds}")
    for record in results.records.values():
        if not results.manifests:
            result = record.result
            words = f"{result.setting_description} (setting {result.setting[:8]}, protocol {result.protocol})"
            lines.setdefault(words, set())
    for words, grids in lines.items():
        yield rf"\item {breakable(': '.join(filter(None, [words, '; '.join(sorted(grids))])))}"
    yield r"\end{itemize}"
    yield "Targets:"
    yield r"\begin{itemize}\raggedright"
    cells = [record.cell for record in results.records.values()]
    for size in dict.fromkeys(cell.size for cell in cells):
        own = [cell for cell in cells if cell.size == size]
        names = dict.fromkeys(name for cell in own for name in cell.target)
        found = {name: {str(cell.target[name]) for cell in own if cell.target.get(name) is not None} for name in names}
        values = {name: sorted(texts, key=_by_number) for name, texts in found.items() if texts}
        counts = sorted({cell.parameters.model for cell in own})
        parameters = " to ".join(f"{count:,}" for count in dict.fromkeys((counts[0], counts[-1])))
        about = ", ".join(f"{name} {' '.join(texts)}" for name, texts in values.items())
        yield rf"\item {breakable(f'{size}: {about}; {parameters} parameters')}"
    yield r"\end{itemize}"


def _by_number(text: str) -> tuple[float, str]:
    return (float(text), "") if text.replace(".", "", 1).isdigit() else (0.0, text)


def _data(found: Origins) -> Iterator[str]:
    yield r"\section{Data}"
    yield r"\begin{itemize}\raggedright"
    for name, about in found.data.items():
        words = ", ".join(f"{key}={value}" for key, value in about.items() if value is not None)
        yield rf"\item {breakable(f'{name}: {words}')}"
    yield r"\end{itemize}"
    measured = "; ".join(f"{name}: {' or '.join(map(str, counts))} images" for name, counts in found.measured.items())
    yield breakable(f"Measured on: {measured}. No method, and no selection of a setting, sees test images.")


def _recipes(recipes: Sequence[UsedRecipe]) -> Iterator[str]:
    """Lists the recipes: of each name what all have in common, then what only some have."""
    if not recipes:
        return
    yield r"\section{Recipes}"
    yield "Settings as they were applied, one name for one training. What is zero or not set is left out."
    yield r"\begin{description}\raggedright"
    for name in dict.fromkeys(recipe.name for recipe in recipes):
        own = [recipe for recipe in recipes if recipe.name == name]
        common = {key: value for key, value in own[0].settings.items() if all(_has(r, key, value) for r in own)}
        yield rf"\item[{escaped(name)}] {breakable(_pairs(common))}."
        for recipe in own:
            rest = _pairs({key: value for key, value in recipe.settings.items() if key not in common})
            used = f"for {', '.join(recipe.used_for)}" if recipe.used_for else ""
            if words := ": ".join(filter(None, [used, rest])):
                yield rf"\par {breakable(words)}."
    yield r"\end{description}"


def _has(recipe: UsedRecipe, key: str, value: object) -> bool:
    return key in recipe.settings and recipe.settings[key] == value


def _pairs(settings: Mapping[str, object]) -> str:
    return ", ".join(f"{key}={value}" for key, value in settings.items())


def _methods(results: Results) -> dict[str, list[PlannedCell]]:
    """Returns the finished cells by method."""
    found: dict[str, list[PlannedCell]] = {}
    for record in results.records.values():
        found.setdefault(record.cell.method, []).append(record.planned())
    return found


def _method_list(results: Results, cited: Mapping[str, Sequence[Reference]]) -> Iterator[str]:
    yield r"\section{Methods}"
    yield r"\begin{description}\raggedright"
    for method, cells in sorted(_methods(results).items(), key=lambda item: (item[1][0].group, item[1][0].title)):
        versions = " and ".join(sorted({cell.version for cell in cells}))
        variants = sorted({cell.variant or "defaults" for cell in cells})
        keys = ",".join(reference.key for reference in cited.get(method, ()))
        cite = rf"~\cite{{{keys}}}" if keys else ""
        words = breakable(f"{method}, version {versions}, {cells[0].group}, options: {'; '.join(variants)}")
        titles = ", ".join(dict.fromkeys(cell.title for cell in sorted(cells, key=lambda cell: cell.variant)))
        yield rf"\item[{escaped(titles)}] {words}{cite}."
    yield r"\end{description}"


def _figures(figures: Mapping[str, Sequence[Path]]) -> Iterator[str]:
    if not any(figures.values()):
        return
    yield r"\section{Figures}"
    yield r"The title of a figure says what it shows, the lines below it how to read it.\par\nopagebreak"
    for kind, paths in figures.items():
        for path in paths:
            yield r"\par\bigskip\noindent\begin{minipage}{\linewidth}\centering"
            yield rf"\lgbenchfigure{{{path.as_posix()}}}"
            yield rf"\smallskip{{\footnotesize {escaped(f'{group_title(kind)}: {path.stem}.pdf')}\par}}"
            yield r"\end{minipage}"


def _origin(found: Origins, records: int) -> Iterator[str]:
    yield r"\section{Commands, versions, machines}"
    yield escaped(f"{records:,} records, computed from {found.first} to {found.last}. Number of records, then origin:")
    yield r"\begin{itemize}\raggedright"
    for parts, count in found.machines.items():
        yield rf"\item {count:,}: {breakable('; '.join(parts))}"
    for command, count in found.commands.items():
        yield rf"\item {count:,}: \texttt{{{breakable(shlex.join(command))}}}"
    yield r"\end{itemize}"


def breakable(text: str) -> str:
    """Returns a text for LaTeX whose long words may be broken at marks."""
    return "".join(f"{escaped(letter)}\\allowbreak{{}}" if letter in _BREAKS else escaped(letter) for letter in text)
