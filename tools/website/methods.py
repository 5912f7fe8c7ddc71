"""A page for each method: its equation, what it needs and makes, its own description, its options."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator

from learngene_bench.planning.capabilities import capabilities
from learngene_bench.plugins.registry import Registry
from website.configuration import table
from website.layout import ROOT

EQUATIONS = ROOT / "docs" / "equations.md"


def equations() -> dict[str, str]:
    """Returns the section of each method on the page of equations."""
    text = EQUATIONS.read_text(encoding="utf-8")
    found = re.findall(r"^### `([\w-]+)`\n\n(.*?)(?=^##|\Z)", text, re.MULTILINE | re.DOTALL)
    return {name: section.strip() for name, section in found}


def pages() -> Iterator[tuple[str, str, str]]:
    """Yields title, file name and text of each page."""
    registry, known = Registry(), equations()
    groups: dict[str, list[str]] = {}
    for name in registry.names():
        groups.setdefault(registry.get(name).kind.group, []).append(name)
    for group in ("direct", "transfer", "learngene", "pre-training"):
        for name in groups.pop(group):
            yield name, f"{name}.md", page(name, registry, known[name])
    assert not groups, f"methods of another group: {groups}"


def page(name: str, registry: Registry, equation: str) -> str:
    """Makes the page of one method."""
    found = registry.get(name)
    kind, able = found.kind, capabilities(found.create({}))
    families = "any" if kind.families is None else ", ".join(f"`{family}`" for family in kind.families)
    facts = {
        "name": f"`{name}`",
        "group": kind.group,
        "needs": able.needs_text,
        "makes": able.makes_text,
        "families of models": families,
        "version": str(kind.version),
        "source": kind.citation,
    }
    rows = "".join(f"| {key} | {value} |\n" for key, value in facts.items() if value)
    recipes = "".join(
        f"Recipe of its own: `{recipe}` (`--set {recipe}.epochs=5`), which is `{fallback}` where a preset has none.\n\n"
        for recipe, fallback in kind.recipe_fallbacks.items()
    )
    return (
        f"# {kind.title}\n\n| | |\n|---|---|\n{rows}\n## Equation\n\n{equation}\n\nThe symbols: "
        f"[equations](../../equations.md).\n\n## Description\n\n{described(kind)}\n\n## Options\n\n"
        f"`--set {name}.OPTION=VALUE`, or `{name}:OPTION=VALUE` in `--method` for a row of its own.\n\n"
        f"{table(kind.Options)}{recipes}"
    )


def described(kind: type) -> str:
    """Returns the docstring of a class; what begins on a line of its own becomes a paragraph, pages become links."""
    text = re.sub(
        r"(?<!\n)\n(Faithful|Choices? of this suite|Different|Differs)", r"\n\n\1", inspect.cleandoc(kind.__doc__ or "")
    )
    return re.sub(r"\bdocs/([\w-]+)\.md\b", r"[\1](../../\1.md)", text)
