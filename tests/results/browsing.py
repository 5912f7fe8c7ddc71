"""Fixtures of a real browser that opens pages from files."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

Visit = Callable[..., Any]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Starts Chromium."""
    playwright = pytest.importorskip("playwright.sync_api", reason="no playwright (pip install playwright)")
    if CHROMIUM is None:
        pytest.skip("no Chromium (Debian: chromium)")
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM)
        yield chromium
        chromium.close()


@pytest.fixture
def visit(browser: Any, tmp_path: Path) -> Iterator[Visit]:
    """Opens a page; in the end none may have complained, asked for anything or put up a dialog of the browser's."""
    complaints: list[str] = []
    contexts = []

    def opened(text: str, fragment: str = "", **options: Any) -> Any:
        path = tmp_path / "leaderboard.html"
        path.write_text(text, encoding="utf-8")
        contexts.append(browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options}))
        page = contexts[-1].new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: (complaints.append(f"dialog {dialog.message}"), dialog.dismiss()))
        page.on("request", lambda request: None if request.url == path.as_uri() else complaints.append(request.url))
        page.goto(path.as_uri() + fragment)
        if options.get("java_script_enabled", True):
            page.wait_for_selector("form")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert complaints == []
