"""The documentation is true: links lead somewhere, commands exist with these options, settings are settings."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from string import Template
from typing import Any

import include_examples
import pytest
import typer

from learngene_bench.cli.main import app
from learngene_bench.util.errors import UserError

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    path
    for pattern in (
        "*.md",
        "docs/*.md",
        "docs/*/*.md",
        "tasks/*.md",
        "methods/*.md",
        "baselines/*.md",
        "results/*.md",
        "tests/*/*.md",
        "benchmarks/*.md",
    )
    for path in ROOT.glob(pattern)
)


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def commands(page: Path) -> Iterator[list[str]]:
    """Yields the words of every lgbench command in the page's shell blocks."""
    for block in re.findall(r"^```sh\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE):
        text, variables = "", {}
        for line in block.replace("\\\n", " ").splitlines():
            text += line
            try:
                words = shlex.split(Template(text).safe_substitute(variables), comments=True)
            except ValueError:  # a quotation that the next line continues
                continue
            text = ""
            if len(words) == 1 and "=" in words[0]:
                name, _, variables[name] = words[0].partition("=")
            while "&&" in words:
                words = words[words.index("&&") + 1 :]
            if words[:1] == ["lgbench"] and "queue" not in words:  # an executor of the page, with options of its own
                yield words[1:]


def anchors(page: Path) -> set[str]:
    """Returns the anchors of a page's headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 90


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    wrong = []
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        file, _, anchor = target.partition("#")
        if "://" in target:
            continue
        path = page if not file else (page.parent / file).resolve()
        if not path.exists() or (anchor and path.suffix == ".md" and anchor not in anchors(path)):
            wrong.append(target)
    assert wrong == []


def test_every_page_is_in_the_index() -> None:
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    pages = [page for pattern in ("*.md", "*.ipynb") for page in (ROOT / "docs").rglob(pattern)]
    names = [page.relative_to(ROOT / "docs").as_posix() for page in pages]
    assert [name for name in names if f"]({name})" not in index and name != "README.md"] == []


def parse(words: list[str]) -> Any:
    """Parses a command as the command line would, without running it: the context of click, or None for a help text.

    Raises:
        Exception: There is no such command, option or choice.
    """
    if "--help" in words:
        return None
    verb: Any = typer.main.get_command(app)
    while hasattr(verb, "commands"):
        if not words or words[0] not in verb.commands:
            raise LookupError(f"no command {' '.join(words[:1])!r} of {verb.name or 'lgbench'}")
        verb, words = verb.commands[words[0]], words[1:]
    return verb.make_context(verb.name, list(words))


@pytest.mark.parametrize("page", [page for page in PAGES if list(commands(page))], ids=name_of)
def test_commands_have_these_options(page: Path) -> None:
    wrong = []
    for words in commands(page):
        try:
            parse(words)
        except Exception as error:  # of click, wherever typer keeps it
            wrong.append(f"{shlex.join(words)}: {getattr(error, 'format_message', error.__str__)()}")
    assert wrong == []


@pytest.mark.parametrize("page", [page for page in PAGES if list(commands(page))], ids=name_of)
def test_what_would_be_run_can_be_planned(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands that need no file of the reader's: their names and settings must exist."""
    monkeypatch.chdir(tmp_path)
    planned = {option.name: option.opts[0] for option in parse(["plan"]).command.params}
    for words in commands(page):
        if words[0] not in ("run", "plan") or any(
            re.search(r"\$|\.(py|toml|safetensors|pth)|data\b.*name|model\.family", w) for w in words
        ):
            continue
        arguments = []
        for name, value in parse(words).params.items():
            if name in planned and name != "help" and value not in (None, False):
                values = value if isinstance(value, list | tuple) else [value]
                arguments += [planned[name]] if value is True else [w for v in values for w in (planned[name], str(v))]
        try:
            app(["plan", *arguments, "--format", "json"], standalone_mode=False)
        except UserError as error:
            pytest.fail(f"{shlex.join(words)}: {error}")


def names_in(file: Path) -> set[str]:
    """Returns the classes, functions, methods and top-level names that a Python file defines."""
    names: set[str] = set()
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            names.add(node.name)
            names |= {f"{node.name}.{inner.name}" for inner in node.body if isinstance(inner, ast.FunctionDef)}
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        names |= {target.id for target in targets if isinstance(target, ast.Name)}
    return names


def test_the_architecture_page_names_what_there_is() -> None:
    wrong = []
    for file, name in re.findall(
        r"`([\w/]+/[\w.]+\.py)(?::([\w.]+))?`", (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    ):
        path = ROOT / file
        if not path.is_file() or (name and name not in names_in(path)):
            wrong.append(f"{file}:{name}")
    assert wrong == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_python_examples_import_what_there_is(page: Path) -> None:
    for block in re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE):
        imports = [node for node in ast.walk(ast.parse(block)) if isinstance(node, ast.Import | ast.ImportFrom)]
        for node in imports:
            exec(compile(ast.Module([node], []), str(page), "exec"), {})


def test_the_examples_are_the_tested_plugins() -> None:
    assert include_examples.PAGE.read_text(encoding="utf-8") == include_examples.page(), (
        "run: python tools/include_examples.py"
    )
