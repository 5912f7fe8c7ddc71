"""`lgbench info NAME`: a method, data set or section with its settings, or the text of a grid or preset."""

from __future__ import annotations

import inspect
import sys
import textwrap
from collections.abc import Collection, Container, Iterator
from enum import StrEnum
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from learngene_bench.cli import common
from learngene_bench.config.grid import Grid
from learngene_bench.config.loader import FileKind, local_files, shipped_files
from learngene_bench.config.preset import AncestorSource, BaseInitialization, Compute, Teacher
from learngene_bench.config.recipe import RECIPES, Recipe
from learngene_bench.config.section import Section
from learngene_bench.contracts.dataset import DATASETS
from learngene_bench.plugins.registry import Registered, Registry
from learngene_bench.util.errors import unknown

SECTIONS: dict[str, type[Section]] = {
    **dict.fromkeys(RECIPES, Recipe),
    "base": BaseInitialization,
    "teacher": Teacher,
    "ancestor": AncestorSource,
    "compute": Compute,
    "grid": Grid,
}
"""Sections of presets and grids whose settings are the same for all."""
INDENT = "  "
"""Beginning of a line of an option."""


class Kind(StrEnum):
    METHOD = "method"
    GRID = "grid"
    PRESET = "preset"
    DATASET = "dataset"
    SECTION = "section"

    @property
    def words(self) -> str:
        """The kind in a sentence."""
        return {"dataset": "data set", "section": "section of settings"}.get(self.value, self.value)


def info(
    name: Annotated[str, typer.Argument(help="A method, grid, preset, data set or section of settings.")],
    kind: Annotated[
        Kind | None,
        typer.Option("--kind", help="Kind of thing, where several have one name, as digits."),
    ] = None,
    plugin: common.PluginOption = None,
) -> None:
    """Describe a method, data set or section with its settings, or print a grid or preset."""
    registry = Registry(plugin or [])
    known: dict[Kind, Collection[str]] = {
        Kind.METHOD: registry.names(),
        Kind.GRID: {**local_files("grid"), **shipped_files("grid")},
        Kind.PRESET: {**local_files("preset"), **shipped_files("preset")},
        Kind.DATASET: DATASETS.names(),
        Kind.SECTION: SECTIONS,
    }
    found = [one for one, names in known.items() if name in names and kind in (None, one)]
    if not found:
        what = kind.words if kind else "method, grid, preset, data set or section"
        raise unknown(what, name, {other for one, names in known.items() if kind in (None, one) for other in names})
    _print(found[0], name, registry)
    for other in found[1:]:  # on the error stream, as the text of a preset may go to a file
        print(f"{name} is also a {other.words}: lgbench info {name} --kind {other}", file=sys.stderr)


def _print(kind: Kind, name: str, registry: Registry) -> None:
    console = common.console()
    if kind is Kind.METHOD:
        _print_lines(_method(name, registry.get(name)), console)
    elif kind is Kind.DATASET:
        _print_lines(_dataset(name), console)
    elif kind is Kind.SECTION:
        _print_lines(_section(name), console)
    else:
        file: FileKind = "grid" if kind is Kind.GRID else "preset"
        path = {**local_files(file), **shipped_files(file)}[name]
        print(path.read_text(encoding="utf-8"), end="")  # as it is, so that it can start a file of one's own


def _method(name: str, found: Registered) -> str:
    kind = found.kind
    lines = [f"{kind.title} ({name}), {kind.group}, version {kind.version}, from {found.origin}"]
    if kind.citation:
        lines.append(kind.citation)
    lines += _described(kind)
    if kind.Options.model_fields:
        lines += ["", "options (--set NAME.OPTION=VALUE, or NAME:OPTION=VALUE in --method):"]
    lines += _options(kind.Options, name)
    for recipe, fallback in kind.recipe_fallbacks.items():
        lines += ["", f"recipe of its own: {recipe} (--set {recipe}.epochs=5; {fallback} where a preset has none)"]
    return "\n".join(lines)


def _dataset(name: str) -> str:
    kind = DATASETS.get(name)
    lines = [name, *_described(kind), "", f"options (--set data.name={name} --set data.OPTION=VALUE):"]
    return "\n".join([*lines, *_options(kind.Options, "data")])


def _section(name: str) -> str:
    kind = SECTIONS[name]
    unused = Recipe.unused_by(name) if kind is Recipe else ()
    lines = [name, *_described(kind), "", f"settings (--set {name}.KEY=VALUE):"]
    return "\n".join([*lines, *_options(kind, name, unused)])


def _described(kind: type) -> list[str]:
    return ["", _unwrapped(inspect.cleandoc(kind.__doc__))] if kind.__doc__ else []


def _options(options: type[Section], section: str, unused: Container[str] = ()) -> Iterator[str]:
    """Yields a line for each option: its default, and its meaning; a section inside by its own lines."""
    for option, field in options.model_fields.items():
        if option in unused:
            continue
        inner = field.annotation
        if inspect.isclass(inner) and issubclass(inner, Section):
            yield from _options(inner, f"{section}.{option}")
            continue
        about = f"  {field.description}" if field.description else ""
        default = "required" if field.is_required() else repr(field.get_default(call_default_factory=True))
        yield f"{INDENT}{section}.{option} = {default}{about}"


def _print_lines(text: str, console: Console) -> None:
    """Prints a text; a line that begins with spaces goes on below with more of them where it is too long."""
    for line in text.splitlines():
        if line.startswith(INDENT):
            line = textwrap.fill(
                line, console.width, subsequent_indent=3 * INDENT, break_long_words=False, break_on_hyphens=False
            )
        console.print(Text(line))


def _unwrapped(text: str) -> str:
    """Puts paragraphs on one line each, for the terminal to wrap at its own width."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.split("\n\n"))
