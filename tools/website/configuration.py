"""Pages of the settings: the keys of presets and grids, options of data sets and executors, the shipped files."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

import fields

from learngene_bench.cli.info import SECTIONS
from learngene_bench.config.loader import FileKind, shipped_files, title_of
from learngene_bench.config.preset import Downstream, DownstreamTask, Preset, Size
from learngene_bench.config.recipe import RECIPES, Recipe
from learngene_bench.config.section import Section
from learngene_bench.contracts.dataset import DATASETS
from learngene_bench.contracts.executor import EXECUTORS
from learngene_bench.util.entry_points import Plugins

HEAD = """# Configuration

Every setting of a preset and a grid. `--set SECTION.KEY=VALUE` changes one on the command line. How settings are
merged, and how to write a file of your own: [grids, presets, data sets](../../guides/tasks.md). `lgbench info SECTION`
prints the same in a terminal.

## The whole preset

"""
RECIPE = f"""There are several recipes, by name: {", ".join(f"`{name}`" for name in RECIPES)}, and those that methods
declare for themselves. In a preset's file a recipe is `[recipes.NAME]`, on the command line `--set NAME.KEY=VALUE`.

"""
TABLES = {"sizes.NAME": Size, "downstream": Downstream, "downstream.tasks.NAME": DownstreamTask}
"""Sections of a preset that `lgbench info` does not know by a name."""

SECTION = re.compile(rf"\b({'|'.join({kind.__name__ for kind in (*SECTIONS.values(), *TABLES.values())})})\b")
"""Names of the types of sections, which a reader need not know."""


def pages() -> Iterator[tuple[str, str, str]]:
    """Yields title, file name and text of each page."""
    sections = {name: kind for name, kind in SECTIONS.items() if kind is not Recipe}
    parts = [HEAD, _about(Preset), table(Preset), "## Recipes\n\n", RECIPE, _about(Recipe), table(Recipe)]
    for name, kind in {**sections, **TABLES}.items():
        parts += [f"## `[{name}]`\n\n", _about(kind), table(kind)]
    yield "Settings", "index.md", "".join(parts)
    where = "`[data]` of a preset, or `--set data.name=NAME --set data.OPTION=VALUE`."
    yield "Data sets", "data-sets.md", _plugins(f"# Options of data sets\n\n{where}\n\n", DATASETS)
    where = "`lgbench run --executor NAME --OPTION VALUE`, or in `~/.config/lgbench/site.toml` below `[NAME]`."
    yield "Executors", "executors.md", _plugins(f"# Options of executors\n\n{where}\n\n", EXECUTORS)
    yield "Shipped presets", "presets.md", _files("preset", "# Shipped presets")
    yield "Shipped grids", "grids.md", _files("grid", "# Shipped grids")


def table(kind: type[Section], prefix: str = "") -> str:
    """Makes a table of the settings of a section, and of the sections in it that are nowhere by themselves."""
    rows = "".join(_rows(kind, prefix))
    return f"| setting | type | meaning |\n|---|---|---|\n{rows}\n" if rows else "There are none.\n\n"


def _rows(kind: type[Section], prefix: str) -> Iterator[str]:
    for name, field in kind.model_fields.items():
        inner: Any = field.annotation
        if inspect.isclass(inner) and issubclass(inner, Section) and inner not in SECTIONS.values():
            yield from _rows(inner, f"{prefix}{name}.")
            continue
        needed = field.is_required()
        default = "Required." if needed else fields.default(field.get_default(call_default_factory=True))
        words = SECTION.sub("settings", fields.type_words(kind, name).replace("|", "\\|"))
        meaning = f"{fields.sentence(field.description or '')} {default}".strip()
        yield f"| `{prefix}{name}` | {words} | {meaning} |\n"


def _about(kind: type) -> str:
    return f"{inspect.cleandoc(kind.__doc__ or '')}\n\n"


def _plugins(head: str, announced: Plugins[Any]) -> str:
    parts = [head]
    for name in announced.names():
        kind = announced.get(name)
        parts += [f"## `{name}`\n\n", _about(kind), table(kind.Options)]
    return "".join(parts)


def _files(kind: FileKind, title: str) -> str:
    parts = [f"{title}\n\nAs `lgbench info NAME` prints them, to start a file of your own from.\n\n"]
    for name, path in shipped_files(kind).items():
        text = path.read_text(encoding="utf-8").rstrip()
        parts.append(f"## `{name}`\n\n{title_of(path)}\n\n```toml\n{text}\n```\n\n")
    return "".join(parts)
