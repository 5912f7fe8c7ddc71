"""Results in Python: data frames, tables and figures of runs folders and leaderboards, for scripts and notebooks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from learngene_bench.config.typed import user_path
from learngene_bench.results.records.choice import choose
from learngene_bench.results.records.types import Results
from learngene_bench.util.errors import UserError, unknown
from learngene_bench.util.words import counted

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure

    from learngene_bench.results.plots.page import Page
    from learngene_bench.results.tables.report_table import ReportTable

Names = str | Sequence[str]
"""One name, or several."""

_PIXELS = 96
"""Pixels of one inch on a screen."""


def load(
    *folders: str | Path,
    method: Names = (),
    preset: Names = (),
    setting: Names = (),
) -> Measured:
    """Reads runs folders and leaderboards.

    Args:
        folders: each a runs folder or a leaderboard; `runs` by default.
        method: names of the methods to keep; all by default.
        preset: names of the presets to keep.
        setting: words of the settings to keep (`finetuning.epochs=7`), or the beginnings of their hashes.

    Raises:
        UserError: a folder is not there, a file in it is damaged, or nothing has one of the names.
    """
    from learngene_bench.results.records.loading import load as read

    found = read([user_path(str(folder)) for folder in folders] or [Path("runs")])
    return Measured(choose(found, names(method), names(preset), names(setting)))


def names(given: Names) -> list[str]:
    """Returns the names of one or several, also where several are one text with commas."""
    texts = [given] if isinstance(given, str) else list(given)
    return [name.strip() for text in texts for name in text.split(",") if name.strip()]


@dataclass(frozen=True)
class Measured:
    """Measured cells, as data frames, tables and figures. A notebook shows the tables.

    Attributes:
        results: the records, failures and plans, as `learngene_bench.results` takes them.
    """

    results: Results

    @cached_property
    def cells(self) -> pandas.DataFrame:
        """One row for each cell and seed, as in `cells.csv`: what it is, its state, its metrics and costs."""
        from learngene_bench.results.tables.tidy import to_frame

        return to_frame(self.results)

    @property
    def trials(self) -> pandas.DataFrame:
        """One row for each trial of a sweep at each target: its settings, its mean on validation images, if selected.

        It is `trials.csv` of `lgbench report -o FOLDER`, and has no rows without a sweep.
        """
        return self._of_sweeps("trials")

    @property
    def selected(self) -> pandas.DataFrame:
        """One row for each method and target of a sweep: what is selected, on test images, beside the default.

        It is `sweep.csv` of `lgbench report -o FOLDER`, and has no rows without a sweep.
        """
        return self._of_sweeps("sweep")

    @property
    def failures(self) -> dict[str, str]:
        """Errors of the stages that failed, by their names."""
        return {failure.label: failure.error for failure in self.results.failures.values()}

    def table(
        self, grid: str | None = None, metric: str | None = None, *, spread: bool = False, best: bool = False
    ) -> pandas.DataFrame:
        """Returns one table: a row for each method, a column for each target or task, means over the seeds.

        Args:
            grid: name of the grid; needed where there are several.
            metric: name of a metric, `top1_initial` for its value before fine-tuning. The primary one by default.
            spread: standard deviations over the seeds instead of the means.
            best: each method at its best setting of a sweep, instead of at the default.

        Raises:
            UserError: there is no such table, or there are several, as of two settings: `load` can choose.
        """
        import pandas

        tables = self._tables(grid, metric, best)
        if len(tables) > 1:
            found = "; ".join(f"{table.identity['grid']}, {table.subtitle}" for table in tables)
            raise UserError(f"{len(tables)} tables: choose one by grid, or by load(..., setting=...) ({found})")
        table = tables[0]
        places = [place for place, column in enumerate(table.columns) if column.facts]
        chosen, axis = [table.columns[place] for place in places], str(table.identity["axis"])
        columns = [(column.block, column.facts.get(axis, column.text)) for column in chosen]
        if len(set(columns)) < len(columns):  # targets that differ in more than the axis
            columns = [(column.block, column.text) for column in chosen]
        rows = [
            [row.cells[place].spread if spread else row.cells[place].value for place in places] for row in table.rows
        ]
        return pandas.DataFrame(
            rows,
            index=pandas.Index([row.label for row in table.rows], name="method"),
            columns=pandas.MultiIndex.from_tuples(columns, names=["size", axis]),
            dtype=float,
        )

    def figures(self, kind: str = "accuracy", columns: int = 2) -> list[Drawn]:
        """Draws the figures of one kind, as `lgbench plot` does; a notebook shows them.

        Args:
            kind: accuracy, curves, losses, front, targets, ranks, profile, differences, gaps or sweep.
            columns: width in columns of a two-column paper, 1 or 2.

        Raises:
            UserError: there is no such kind.
        """
        from learngene_bench.results.plots import KINDS

        if kind not in KINDS:
            raise unknown("kind of figure", kind, KINDS)
        return [Drawn(name, page) for name, page in KINDS[kind].pages(self.results, columns)]

    def write(self, output: str | Path) -> list[Path]:
        """Writes what `lgbench report -o` writes: one file, by the ending of its name, or all into a folder.

        Raises:
            UserError: no format has this ending, the file cannot be written, or a package is missing for it.
        """
        from learngene_bench.results.formats import reporting

        path = user_path(str(output))
        if path.is_dir() or not path.suffix:
            return reporting.write(reporting.make(self.results, computed=reporting.COMPUTED), path)
        reporting.write_file(reporting.make(self.results), path, reporting.by_ending(path))
        return [path]

    def _tables(
        self, grid: str | None = None, metric: str | None = None, best: bool | None = None
    ) -> Sequence[ReportTable]:
        """Returns the tables of one metric, that after fine-tuning by default.

        Args:
            best: those of each method at its best setting, or those at the default; both by default.
        """
        from learngene_bench.results.records.selection import of_grid, table_cells
        from learngene_bench.results.tables.metric_report import metric_reports
        from learngene_bench.results.tables.tabulate import make_tables

        grids = {found.name for found in table_cells(self.results)}
        if grid is not None and grid not in grids:
            raise unknown("grid of these results", grid, grids)
        if not grids:
            raise UserError("no table: no plan and no record is there")
        made = make_tables(self.results if grid is None else of_grid(self.results, grid), metric)
        found = [table for table in made if best in (None, table.source.best_of is not None)]
        if best and not found:
            raise UserError("best: there is no sweep here from which a setting was selected")
        return metric_reports(found)

    @cached_property
    def _sweep_tables(self) -> Sequence[ReportTable]:
        """The tables of what is selected and of the trials; none without a sweep."""
        from learngene_bench.results.tables.sweep_report import sweep_reports
        from learngene_bench.results.tables.tabulate import make_tables

        if not any(manifest.sweep for manifest in self.results.manifests):
            return []
        return sweep_reports(make_tables(self.results), self.results)

    def _of_sweeps(self, kind: str) -> pandas.DataFrame:
        import pandas

        tables = [table for table in self._sweep_tables if table.kind == kind]
        return pandas.DataFrame([{**table.identity, **row} for table in tables for row in table.data])

    def __repr__(self) -> str:
        done = counted(len(self.results.records), "cell")
        failed = f", {counted(len(self.failures), 'stage')} failed" if self.failures else ""
        settings = {f"{one.grid}, {one.setting_description}": None for one in self.results.manifests}
        return f"<{done}{failed}: {'; '.join(settings) or 'no plan'}>"

    def _repr_html_(self) -> str:
        from learngene_bench.results.formats.html_tables import html_tables

        return html_tables([*self._tables(), *self._sweep_tables])


@dataclass(frozen=True)
class Drawn:
    """A figure. A notebook shows it; `figure` is matplotlib's, to be changed before it is saved.

    Attributes:
        name: name of its files, without an ending.
    """

    name: str
    page: Page

    @property
    def figure(self) -> Figure:
        """The figure of matplotlib."""
        return self.page.figure

    def save(self, folder: str | Path) -> list[Path]:
        """Writes it as PNG and PDF into a folder.

        Raises:
            UserError: the folder cannot be written to.
        """
        from learngene_bench.results.plots import style

        with style.drawing():
            return self.page.save(user_path(str(folder)), self.name)

    def __repr__(self) -> str:
        return f"<figure {self.name}>"

    def _repr_png_(self) -> tuple[bytes, Mapping[str, Any]]:
        from learngene_bench.results.plots import style

        width, height = self.figure.get_size_inches()
        with style.drawing():
            return self.page.content(".png"), {"width": round(width * _PIXELS), "height": round(height * _PIXELS)}
