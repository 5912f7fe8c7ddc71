"""The leaderboard in a real browser."""

from __future__ import annotations

import csv
import io
import re
import shutil
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from learngene_bench.results import comparison_sheets, comparisons, load, make_tables
from learngene_bench.results.formats import render
from learngene_bench.results.formats.html import html
from learngene_bench.results.formats.latex import floats
from learngene_bench.results.records.types import METRICS
from learngene_bench.results.tables.sheet import Sheet
from learngene_bench.results.tables.table import Table

playwright = pytest.importorskip("playwright.sync_api", reason="no playwright (pip install playwright)")
expect = playwright.expect

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium (Debian: chromium)")

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(2)>',
    "</script><script>alert(3)</script><!--",
    "${alert(4)} {{7*7}} {% raw %} <%= 1 %>",
    "javascript:alert(5)",
    "' onmouseover='alert(6)' x='",
    "</title></style><svg onload=alert(7)>",
    "constructor __proto__ =1+1, \u202eabc\u202c עברית \u2028 &lt;b&gt; &amp; λ",
)

Visit = Callable[..., Any]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
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


def items(runs: Any, compare: bool = False) -> list[Table | Sheet]:
    results = load([runs.folder])
    made = [table for metric in METRICS for table in make_tables(results, metric)]
    return [*made, *(comparison_sheets(comparisons(made)) if compare else [])]


def page_of(runs: Any, compare: bool = False) -> str:
    return html(items(runs, compare), load([runs.folder]))


def first_table(page: Any) -> Any:
    return page.get_by_role("table").first


def methods(table: Any) -> list[str]:
    return [name.inner_text() for name in table.locator("tbody tr:not(.family) th bdi").all() if name.is_visible()]


def title(page: Any, name: str) -> Any:
    return first_table(page).get_by_role("columnheader", name=name, exact=True)


def number(page: Any, method: str, column: str) -> Any:
    """The link behind a number of the first table."""
    row = first_table(page).get_by_role("row").filter(has=page.get_by_role("rowheader", name=method, exact=True))
    titles = first_table(page).locator("thead tr:last-child th").all_inner_texts()
    return row.locator("th, td").nth(titles.index(column)).get_by_role("link").first


def words(rows: Any) -> list[list[str]]:
    """Those of each row of a table but its first, once it is there: a dialog is filled after the click."""
    rows.wait_for()
    return [row.split() for row in rows.get_by_role("row").all_inner_texts()[1:]]


def choose(page: Any, kind: str, choice: str) -> None:
    page.get_by_role("group", name=kind).get_by_role("checkbox", name=choice, exact=True).check()


def downloaded(page: Any, button: Any) -> tuple[str, str]:
    with page.expect_download() as download:
        button.click()
    return download.value.suggested_filename, Path(download.value.path()).read_bytes().decode()


def test_a_click_on_a_title_sorts(example: Any, visit: Visit) -> None:
    page = visit(page_of(example))
    as_planned = methods(first_table(page))
    title(page, "2").get_by_role("button").click()
    without_number = ["LiGO", "WAVE (inheritance=interpolate)"]  # a dash, and one of three seeds
    assert methods(first_table(page)) == ["Direct PT", "WAVE", "Mimetic", "He-Init", *without_number]
    assert title(page, "2").get_attribute("aria-sort") == "descending"
    title(page, "2").get_by_role("button").click()
    assert methods(first_table(page)) == ["He-Init", "Mimetic", "WAVE", "Direct PT", *without_number]
    assert title(page, "2").get_attribute("aria-sort") == "ascending"
    title(page, "2").get_by_role("button").click()
    assert methods(first_table(page)) == as_planned
    assert title(page, "2").get_attribute("aria-sort") is None


def test_the_keyboard_sorts(example: Any, visit: Visit) -> None:
    page = visit(page_of(example))
    title(page, "Method").get_by_role("button").focus()
    page.keyboard.press("Enter")
    assert methods(first_table(page)) == sorted(methods(first_table(page)), key=str.lower)
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    assert title(page, "Epoch").get_attribute("aria-sort") == "ascending"
    assert title(page, "Method").get_attribute("aria-sort") is None
    prepared = ["WAVE", "WAVE (inheritance=interpolate)", "Direct PT"]  # 40, 40 and 150 epochs; the others none
    assert methods(first_table(page))[:3] == prepared


def test_filters(budgets: Any, visit: Visit) -> None:
    page = visit(page_of(budgets, compare=True))
    told, reset = page.locator("output"), page.get_by_role("button", name="Show everything")
    expect(told).to_have_text("All 11 methods")
    expect(reset).to_be_disabled()

    choose(page, "Family", "Transfer")
    assert methods(first_table(page)) == ["LiGO", "Share"]
    assert methods(page.get_by_role("table").last) == ["LiGO²", "Share"]  # beside the paper
    expect(told).to_have_text(re.compile("2 of 11 methods; the best and the second are still those of all"))
    choose(page, "Size", "s")
    choose(page, "Accuracy", "as initialized")
    assert page.locator("[data-metric] caption bdi:visible").all_inner_texts()[::2] == ["s"]

    reset.click()
    expect(told).to_have_text("All 11 methods")
    assert methods(first_table(page))[0] == "He-Init"


def test_a_filter_of_tasks_takes_columns_and_the_means_over_all_of_them(runs: Any, visit: Visit) -> None:
    cells = [
        runs.done(runs.cell(method, task=task), accuracy)
        for method, accuracy in (("he", 60.0), ("wave", 80.0))
        for task in ("cifar10", "cars", "pets")
    ]
    runs.plan(cells, grid="transfer", axis="task")
    page = visit(page_of(runs))
    titles = first_table(page).locator("thead tr:last-child th:visible")
    every = ["Method", "Epoch", "Para.", "cifar10", "cars", "pets", "Mean", "iterations", "seconds"]
    assert titles.all_inner_texts() == every
    choose(page, "Task", "cars")
    assert titles.all_inner_texts() == ["Method", "Epoch", "Para.", "cars", "iterations", "seconds"]
    wave = first_table(page).locator("tbody tr").last
    assert wave.locator("td:visible").all_inner_texts() == ["40", "61.2k", "80.0", "150", "1.5"]


def test_a_number_opens_its_records(example: Any, visit: Visit) -> None:
    page = visit(page_of(example))
    folders = [example.cell("wave", 4, seed)["address"][:20] for seed in range(3)]
    number(page, "WAVE", "4").click()
    dialog = page.get_by_role("dialog", name="WAVE")
    assert page.url.endswith(f"#{folders[0]}")
    assert "micro, depth 4 · digits, finetuning.epochs=2 (setting 5d1e5d1e, protocol 2)" in dialog.inner_text()
    assert words(dialog.get_by_role("table", name="Accuracy (%)")) == [
        ["seed", "0", "93.00", "74.00"],
        ["seed", "1", "93.30", "75.00"],
        ["seed", "2", "93.60", "76.00"],
    ]
    assert ["initialize", "0", "150", "0", "0", "1.5"] in words(dialog.get_by_role("table", name="Cost"))
    facts = dict(zip(dialog.locator("dt").all_inner_texts(), dialog.locator("dd").all_inner_texts(), strict=True))
    wanted = {
        "torch": "2.15.0",
        "accelerator": "none",
        "commit": "c0ffee" * 6 + "c0ff",
        "uncommitted changes": "no",
        "finished": "2026-11-20T12:00:07Z",
        "canvas": "12",
        "test images": "1,440",
        "stored parameters": "61,234",
        "setting": "5d1e" * 16,
    }
    assert wanted.items() <= facts.items()
    assert dialog.locator("pre").inner_text() == "lgbench run --grid depth"

    dialog.get_by_role("link", name="seed 2").click()
    assert page.url.endswith(f"#{folders[2]}")
    expect(dialog.get_by_role("heading", name=f"Record {folders[2]}, seed 2")).to_be_visible()
    page.go_back()
    expect(dialog.get_by_role("heading", name=f"Record {folders[0]}, seed 0")).to_be_visible()
    page.go_back()
    expect(dialog).to_be_hidden()


def test_records_by_keyboard_alone(example: Any, visit: Visit) -> None:
    page = visit(page_of(example))
    title(page, "seconds").get_by_role("button").focus()
    page.keyboard.press("Tab")  # to the first number of the table, its only stop
    focused = page.locator(":focus")
    assert focused.inner_text() == "83.3"
    assert focused.evaluate("link => getComputedStyle(link).outlineStyle") == "solid"
    for key in ("ArrowRight", "ArrowDown", "ArrowDown"):  # over Mimetic to LiGO
        page.keyboard.press(key)
    assert focused.inner_text() == "88.8"
    page.keyboard.press("ArrowLeft")  # there is only a dash
    assert focused.inner_text() == "88.8"
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="LiGO")
    expect(dialog).to_be_visible()
    for _ in range(12):
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement === document.body || !!document.activeElement.closest('dialog')")
    page.keyboard.press("Escape")
    expect(page).to_have_url(re.compile("^[^#]*$"))
    expect(dialog).to_be_hidden()
    assert focused.inner_text() == "88.8"
    page.keyboard.press("Tab")
    page.keyboard.press("Shift+Tab")
    assert focused.inner_text() == "88.8"  # the table knows where one was


def test_a_record_by_its_address(example: Any, visit: Visit) -> None:
    failed = example.cell("wave", 6, 1)["address"][:20]
    page = visit(page_of(example), fragment=f"#{failed}")
    dialog = page.get_by_role("dialog", name="WAVE")
    expect(dialog.get_by_text("FloatingPointError: the loss is nan at iteration 17")).to_be_visible()
    dialog.get_by_role("button", name="Close").click()
    expect(page).to_have_url(re.compile("^[^#]*$"))
    assert page.locator(":focus").inner_text() == "2/3"
    expect(visit(page_of(example), fragment="#%E0%A4%A no record").get_by_role("dialog")).to_be_hidden()


def test_learning_curves(example: Any, visit: Visit) -> None:
    page = visit(page_of(example))
    number(page, "WAVE", "4").click()
    dialog = page.get_by_role("dialog")
    drawing = dialog.get_by_role("img", name="Learning curves; seed 0 goes from 74 to 93 % in 2 epochs")
    expect(drawing).to_be_visible()
    kinds = {kind: drawing.locator(f"polyline.{kind}").count() for kind in ("own", "chosen", "others")}
    assert kinds == {"own": 3, "chosen": 1, "others": 4}  # He-Init, Mimetic, LiGO and Direct PT have depth 4
    # The line of seed 0 ends where 93 % is on the axis.
    ticks = {tick.text_content(): tick.bounding_box() for tick in drawing.locator("text[text-anchor=end]").all()}
    heights = {int(text): box["y"] + box["height"] / 2 for text, box in ticks.items() if text.isdigit()}
    low, high = min(heights), max(heights)
    expected = heights[low] + (93.0 - low) / (high - low) * (heights[high] - heights[low])
    end = drawing.locator("circle.chosen").bounding_box()
    assert end["y"] + end["height"] / 2 == pytest.approx(expected, abs=2)

    dialog.get_by_label("beside").select_option("LiGO")
    assert drawing.locator("polyline.picked").count() == 1
    assert drawing.locator("polyline.others").count() == 3
    dialog.get_by_text("In numbers").click()
    assert words(dialog.get_by_role("table", name="Top-1 accuracy (%)")) == [
        ["0", "74.0", "75.0", "76.0"],
        ["1", "83.5", "84.2", "84.8"],
        ["2", "93.0", "93.3", "93.6"],
    ]


def test_long_curves_are_thinned_evenly(runs: Any, visit: Visit) -> None:
    curve = [
        {"epoch": float(epoch), "iterations": epoch, "loss": None, "metrics": {"top1": 10 + epoch / 10}}
        for epoch in range(301)
    ]
    runs.plan([runs.done(runs.cell("he"), 40.0, curve=curve)])
    page = visit(page_of(runs))
    first_table(page).get_by_role("link").first.click()
    page.get_by_text("In numbers").click()
    rows = words(page.get_by_role("dialog").get_by_role("table", name="Top-1 accuracy (%)"))
    assert len(rows) == 40
    assert (rows[0], rows[-1]) == (["0", "10.0"], ["300", "40.0"])
    assert all(float(top1) == pytest.approx(10 + float(epoch) / 10, abs=0.051) for epoch, top1 in rows)
    assert {int(after[0]) - int(before[0]) for before, after in pairwise(rows)} <= {7, 8}


def test_downloads(budgets: Any, visit: Visit) -> None:
    page = visit(page_of(budgets, compare=True))
    assert downloaded(page, page.get_by_text("All cells")) == ("cells.csv", render.csv(load([budgets.folder])))
    made = items(budgets, compare=True)
    some = list(zip(floats(made).items(), made, page.locator("main section").all(), strict=True))[::3]
    assert {type(item) for _, item, _ in some} == {Table, Sheet}
    for (name, float_), item, section in some:  # not all: Chromium lets a page make ten downloads
        table = render.wide_csv([item]) if isinstance(item, Table) else render.sheet_csv([item])
        assert downloaded(page, section.get_by_role("button", name="CSV")) == (f"{name}.csv", table)
        assert downloaded(page, section.get_by_role("button", name="LaTeX")) == (f"{name}.tex", float_)


def test_without_a_script_there_are_the_tables(example: Any, visit: Visit) -> None:
    page = visit(page_of(example), java_script_enabled=False)
    rows = first_table(page).get_by_role("row").all_inner_texts()
    wave = next(row for row in rows if row.startswith("WAVE\t"))
    assert wave.split("\t")[1:] == ["40", "61.2k", "92.3±0.3", "93.3±0.3", "2/32", "8/9", "8/9"]  # with footnote 2
    assert page.get_by_role("button").count() == 0
    first_table(page).get_by_role("link", name="footnote 1").first.click()
    assert page.locator(":target").inner_text() == "its source has this depth"


def test_hostile_names_are_names(runs: Any, visit: Visit) -> None:
    cells = []
    for index, name in enumerate(HOSTILE):
        names = {"variant": name, "title": name, "size": name, "task": name, "source": name, "target": {name: name}}
        cell = runs.cell(name, seed=0, **names)
        cells.append(cell)
        facts = {"cpu": name, name: name}
        provenance = {
            "command": ["lgbench", name],
            "versions": facts,
            "hardware": facts,
            "git": {"commit": "c0ffee" * 6 + "c0ff", "dirty": True},
            "started": "2026-11-20T12:00:00Z",
            "finished": "2026-11-20T12:00:07Z",
            "data": {"name": name, "fingerprint": name, **facts, "nested": {name: [name]}},
        }
        if index:
            runs.done(cell, 50.0 + index, provenance=provenance, setting_description=name, preset=name)
        else:
            runs.failed(cell, name)
    dashes = [runs.dash(f"no {name}", 8, name, size=name, task=name, title=name) for name in HOSTILE]
    about = {"setting_description": HOSTILE[0], "preset": HOSTILE[1], "grid": HOSTILE[3]}
    runs.plan(cells, dashes, **about)
    page = visit(html(items(runs), load([runs.folder]), title=HOSTILE[2]))

    assert page.title() == f"{HOSTILE[2]} · learngene-bench"
    assert page.locator("h1").inner_text() == HOSTILE[2]
    names = [" ".join(text.split()) for text in page.locator("tbody th bdi").all_text_contents()]
    for name in HOSTILE:
        printable = " ".join("".join(letter if letter.isprintable() else " " for letter in name).split())
        assert any(text.startswith(printable) for text in names), name
    for link in page.locator("[data-records] > a").all():
        link.evaluate("link => link.click()")
        expect(page.get_by_role("dialog")).to_be_visible()
        page.keyboard.press("Escape")
        expect(page.get_by_role("dialog")).to_be_hidden()
    for box in page.get_by_role("checkbox").all():
        box.check()
    page.get_by_role("button", name="Show everything").click()
    _, cells_csv = downloaded(page, page.get_by_text("All cells"))
    assert cells_csv == render.csv(load([runs.folder]))
    assert len(list(csv.reader(io.StringIO(cells_csv)))) == 1 + 2 * len(HOSTILE)
    # No element and no attribute came out of a name; that no alert came up, `visit` sees.
    elements = page.evaluate("[...document.querySelectorAll('*')].map(part => part.localName)")
    assert not {"img", "b", "iframe", "object"} & set(elements)
    assert elements.count("script") == 2
    attributes = page.evaluate("[...document.querySelectorAll('*')].flatMap(part => part.getAttributeNames())")
    assert not [name for name in attributes if name.startswith("on")]


def test_a_metric_that_is_no_number(runs: Any, visit: Visit) -> None:
    runs.plan([runs.done(runs.cell("he", seed=seed), top1) for seed, top1 in enumerate((50.0, float("nan")))])
    page = visit(page_of(runs))
    first_table(page).get_by_role("link", name="1/2").click()
    rows = words(page.get_by_role("dialog").get_by_role("table", name="Accuracy (%)"))
    assert rows == [["seed", "0", "50.00", "10.00"], ["seed", "1", "nan", "10.00"]]


CONTRASTS = """
() => {
  const rgb = (text) => text.match(/[\\d.]+/g).map(Number);
  const luminance = (color) => {
    const parts = rgb(color).map((part) => part / 255);
    const [r, g, b] = parts.map((part) => (part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (part) => {
    const color = getComputedStyle(part).backgroundColor;
    return rgb(color)[3] === 0 && part.parentElement ? behind(part.parentElement) : color;
  };
  const worded = (part) => [...part.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.data.trim());
  const every = [...document.querySelectorAll("*")];
  const texts = every.filter((part) => part.checkVisibility() && !part.disabled && worded(part));
  return texts.map((part) => {
    const color = part.namespaceURI.endsWith("svg") ? getComputedStyle(part).fill : getComputedStyle(part).color;
    const [light, dark] = [color, behind(part)].map(luminance).sort((one, other) => other - one);
    return [(light + 0.05) / (dark + 0.05), part.localName, part.className, part.textContent.slice(0, 30)];
  });
}
"""


@pytest.mark.parametrize(("scheme", "paper"), [("light", "rgb(255, 255, 255)"), ("dark", "rgb(20, 23, 27)")])
def test_all_text_can_be_read_in_light_and_dark(example: Any, visit: Visit, scheme: str, paper: str) -> None:
    page = visit(page_of(example), color_scheme=scheme)
    number(page, "WAVE", "4").click()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == paper
    found = page.evaluate(CONTRASTS)
    assert len(found) > 100
    assert [text for text in found if text[0] < 4.5] == []  # WCAG 2.2, level AA


def test_on_a_phone_only_tables_scroll_sideways(example: Any, visit: Visit) -> None:
    page = visit(page_of(example), viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    width = "document.documentElement.scrollWidth"
    assert page.evaluate(width) <= 390
    scroller = page.locator("main .scroller").first
    scroller.evaluate("part => { part.scrollLeft = 150; }")
    assert scroller.evaluate("part => part.scrollLeft") > 50
    name = scroller.get_by_role("rowheader", name="WAVE", exact=True)
    assert name.bounding_box()["x"] == 0  # the names stay
    number(page, "WAVE", "4").tap()
    box = page.get_by_role("dialog").bounding_box()
    assert (box["x"], box["width"]) == (0, 390)
    assert page.evaluate(width) <= 390
    assert page.locator("svg text").first.evaluate("text => text.getScreenCTM().a") == pytest.approx(1, abs=0.1)


def test_titles_stay_above_a_long_table(runs: Any, visit: Visit) -> None:
    runs.plan([runs.done(runs.cell("he", variant=f"scale={index}"), 50.0 + index) for index in range(60)])
    page = visit(page_of(runs))
    scroller = page.locator("main .scroller").first
    scroller.evaluate("part => { part.scrollTop = 900; }")
    assert scroller.evaluate("part => part.scrollTop") == 900
    assert title(page, "4").bounding_box()["y"] < scroller.bounding_box()["y"] + 60


def test_on_paper_there_is_nothing_to_click(example: Any, visit: Visit) -> None:
    page = visit(page_of(example))
    page.emulate_media(media="print", color_scheme="dark")
    assert page.locator("form:visible, nav:visible, [data-file]:visible").count() == 0
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    for scroller in page.locator("main .scroller").all():
        assert scroller.evaluate("part => part.scrollHeight <= part.clientHeight + 1")
