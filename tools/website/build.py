"""Builds the site: pages and menu into build/site, then HTML by MkDocs with warnings as errors, then its check."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import yaml

from website import (
    check,
    commands,
    configuration,
    contracts,
    equations,
    gallery,
    leaderboards,
    links,
    menu,
    methods,
    notebooks,
)
from website.layout import BUILD, INDEX, ROOT, SAME_AS, pages, pictures

ASSETS = Path(__file__).parent / "assets"


def write_pages(folder: Path, source: str | None) -> menu.Menu:
    """Writes every page of the site as Markdown, with pictures, and returns the menu."""
    places = pages()
    known = places | pictures() | SAME_AS
    for name, place in places.items():
        path = ROOT / name
        text = notebooks.markdown(path) if path.suffix == ".ipynb" else path.read_text(encoding="utf-8")
        write(folder / place, equations.marked(links.moved(text, name, known, ROOT, source)))
    for name, place in pictures().items():
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, folder / place)
    shutil.copytree(ASSETS, folder / "assets")
    boards = [
        place for name, place in places.items() if name.startswith("results/leaderboards/") and "/index." not in place
    ]
    leaderboards.add_pages(folder / "leaderboards", ROOT / "results" / "leaderboards")
    made: menu.Made = {
        "Reference": {
            "Command line": write_made(folder, "reference/commands", commands.pages()),
            "Configuration": write_made(folder, "reference/configuration", configuration.pages()),
            "Python": write_made(folder, "reference/python", contracts.pages()),
            "Each method": write_made(folder, "reference/methods", methods.pages()),
        },
        "Gallery": {"": write_made(folder, "gallery", gallery.pages(folder / "gallery"))},
        "Leaderboards": {"": [(Path(place).stem, place) for place in boards]},
    }
    return menu.read((folder / places[INDEX]).read_text(encoding="utf-8"), made)


def write_made(folder: Path, place: str, texts: Iterable[tuple[str, str, str]]) -> list[tuple[str, str]]:
    """Writes pages that are made from the code, and returns their titles and paths."""
    entries = []
    for title, file, text in texts:
        write(folder / place / file, equations.marked(text))
        entries.append((title, f"{place}/{file}"))
    return entries


def write(path: Path, text: str) -> None:
    """Writes a page, and the folders that it lies in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def build(source: str | None = None, folder: Path = BUILD) -> Path:
    """Builds the site, and returns the folder of its HTML.

    Args:
        source: address of the repository's files on the web.
        folder: place for pages, menu and HTML; what lies there is deleted.

    Raises:
        SystemExit: MkDocs has an error or a warning, or a link leads nowhere.
    """
    shutil.rmtree(folder, ignore_errors=True)
    settings = {
        "INHERIT": str(ROOT / "mkdocs.yml"),
        "docs_dir": str(folder / "pages"),
        "site_dir": str(folder / "html"),
        "nav": write_pages(folder / "pages", source),
    }
    (folder / "mkdocs.yml").write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "tools"), "NO_MKDOCS_2_WARNING": "1"}
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "-f", str(folder / "mkdocs.yml")]
    if status := subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode:
        sys.exit(status)
    (folder / "html" / "404.html").unlink()  # its links are those of a site at the root of a server
    if found := list(check.faults(folder / "html")):
        sys.exit("\n".join(found))
    return folder / "html"
