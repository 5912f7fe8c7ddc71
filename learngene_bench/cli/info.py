"""`lgbench info NAME`: a method with its options, or the text of a grid or preset."""

from __future__ import annotations

import inspect
from typing import Annotated

import typer
from rich.text import Text

from learngene_bench.cli import common
from learngene_bench.errors import unknown
from learngene_bench.presets import shipped
from learngene_bench.registry import Registered, Registry


def info(
    name: Annotated[str, typer.Argument(help="A method, grid or preset.")],
    plugin: common.PluginOption = None,
) -> None:
    """Describe a method with its options, or print a grid or preset."""
    registry = Registry(plugin or [])
    files = {**shipped("grid"), **shipped("preset")}
    console = common.console()
    if name in registry.names():
        console.print(Text(_method(name, registry.get(name))))
    elif name in files:
        print(files[name].read_text(encoding="utf-8"), end="")  # as it is, so that it can start a file of one's own
    else:
        raise unknown("method, grid or preset", name, [*registry.names(), *files])


def _method(name: str, found: Registered) -> str:
    kind = found.kind
    lines = [f"{kind.title} ({name}), {kind.group}, version {kind.version}, from {found.origin}"]
    if kind.citation:
        lines.append(kind.citation)
    if kind.__doc__:
        lines += ["", _unwrapped(inspect.cleandoc(kind.__doc__))]
    fields = kind.Options.model_fields
    if fields:
        lines += ["", "options (--set NAME.OPTION=VALUE, or NAME:OPTION=VALUE in --method):"]
    for option, field in fields.items():
        about = f"  {field.description}" if field.description else ""
        lines.append(f"  {name}.{option} = {field.get_default(call_default_factory=True)!r}{about}")
    return "\n".join(lines)


def _unwrapped(text: str) -> str:
    """Paragraphs on one line each, for the terminal to wrap at its own width."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.split("\n\n"))
