"""`lgbench info NAME`: a method or data set with its options, or the text of a grid or preset."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Annotated

import typer
from rich.text import Text

from learngene_bench.cli import common
from learngene_bench.config.loader import local_files, shipped_files
from learngene_bench.config.section import Section
from learngene_bench.contracts.dataset import DATASETS
from learngene_bench.plugins.registry import Registered, Registry
from learngene_bench.util.errors import unknown


def info(
    name: Annotated[str, typer.Argument(help="A method, grid, preset or data set.")],
    plugin: common.PluginOption = None,
) -> None:
    """Describe a method or data set with its options, or print a grid or preset."""
    registry = Registry(plugin or [])
    files = {**local_files("grid"), **local_files("preset"), **shipped_files("grid"), **shipped_files("preset")}
    console = common.console()
    if name in registry.names():
        console.print(Text(_method(name, registry.get(name))))
    elif name in files:
        print(files[name].read_text(encoding="utf-8"), end="")  # as it is, so that it can start a file of one's own
    elif name in DATASETS.names():
        console.print(Text(_dataset(name)))
    else:
        raise unknown("method, grid, preset or data set", name, [*registry.names(), *files, *DATASETS.names()])


def _method(name: str, found: Registered) -> str:
    kind = found.kind
    lines = [f"{kind.title} ({name}), {kind.group}, version {kind.version}, from {found.origin}"]
    if kind.citation:
        lines.append(kind.citation)
    lines += _described(kind)
    if kind.Options.model_fields:
        lines += ["", "options (--set NAME.OPTION=VALUE, or NAME:OPTION=VALUE in --method):"]
    return "\n".join([*lines, *_options(kind.Options, name)])


def _dataset(name: str) -> str:
    kind = DATASETS.get(name)
    lines = [name, *_described(kind), "", f"options (--set data.name={name} --set data.OPTION=VALUE):"]
    return "\n".join([*lines, *_options(kind.Options, "data")])


def _described(kind: type) -> list[str]:
    return ["", _unwrapped(inspect.cleandoc(kind.__doc__))] if kind.__doc__ else []


def _options(options: type[Section], section: str) -> Iterator[str]:
    """A line for each option: its default, and what it is."""
    for option, field in options.model_fields.items():
        about = f"  {field.description}" if field.description else ""
        default = "required" if field.is_required() else repr(field.get_default(call_default_factory=True))
        yield f"  {section}.{option} = {default}{about}"


def _unwrapped(text: str) -> str:
    """Puts every paragraph on one line, for the terminal to wrap at its own width."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.split("\n\n"))
