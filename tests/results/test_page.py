"""The page in a real browser."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from browsing import Visit
from test_html import page_of

from learngene_bench.results import load
from learngene_bench.results.formats import reporting
from learngene_bench.results.formats.csv import csv
from learngene_bench.results.formats.html import html
from learngene_bench.results.formats.latex import floats

playwright = pytest.importorskip("playwright.sync_api", reason="no playwright (pip install playwright)")
expect = playwright.expect

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


def first_table(page: Any) -> Any:
    return page.get_by_role("table").first


def methods(table: Any) -> list[str]:
    return [name.inner_text() for name in table.locator("tbody tr:not(.group) th bdi").all() if name.is_visible()]


def title(page: Any, name: str) -> Any:
    return first_table(page).get_by_role("columnheader", name=name, exact=True)


def titles(page: Any) -> list[str]:
    return [" ".join(text.split()) for text in first_table(page).locator("thead th:visible").all_inner_texts()]


def number(page: Any, method: str, column: str) -> Any:
    """The link behind a number of the first table."""
    row = first_table(page).get_by_role("row").filter(has=page.get_by_role("rowheader", name=method, exact=True))
    return row.locator("th, td").nth(titles(page).index(column)).get_by_role("link").first


def rows(table: Any) -> list[list[str]]:
    """The words in each row but the first, once the table is there: a dialog is filled after the click."""
    table.wait_for()
    return [row.split() for row in table.get_by_role("row").all_inner_texts()[1:]]


def downloaded(page: Any, button: Any) -> tuple[str, str]:
    with page.expect_download() as download:
        button.click()
    return download.value.suggested_filename, Path(download.value.path()).read_bytes().decode()


def test_titles_sort_by_mouse_and_keyboard(example: Any, visit: Visit) -> None:
    page = visit(page_of(example.folder))
    as_planned = methods(first_table(page))
    column = title(page, "depth 2")
    column.get_by_role("button").click()
    without_number = ["LiGO", "WAVE (inheritance=interpolate)"]  # a dash, and one of three seeds
    assert methods(first_table(page)) == ["Direct PT", "WAVE", "Mimetic", "He-Init", *without_number]
    assert column.get_attribute("aria-sort") == "descending"
    page.keyboard.press("Enter")
    assert methods(first_table(page)) == ["He-Init", "Mimetic", "WAVE", "Direct PT", *without_number]
    page.keyboard.press("Space")
    assert methods(first_table(page)) == as_planned
    assert column.get_attribute("aria-sort") is None
    title(page, "Method").get_by_role("button").click()
    assert methods(first_table(page)) == sorted(as_planned, key=str.lower)
    assert page.locator(".group:visible").count() == page.locator("table:not(.sorted) .group").count()


def test_filters_by_group_size_and_name(budgets: Any, visit: Visit) -> None:
    page = visit(page_of(budgets.folder, compare=True))
    said = page.locator("header output")
    expect(said).to_have_text("All 11 methods")
    page.get_by_label("Group").select_option(label="Transfer")
    assert methods(first_table(page)) == ["LiGO", "Share"]
    expect(said).to_have_text("2 of 11 methods; best and second are still those of all")
    page.get_by_label("Size").select_option(label="s")
    assert set(page.locator("caption:visible").all_inner_texts()) == {"s"}
    page.get_by_label("Method", exact=True).fill("LI")
    assert {name for table in page.locator("main table:visible").all() for name in methods(table)} == {"LiGO"}
    page.get_by_role("button", name="Show everything").click()
    expect(said).to_have_text("All 11 methods")
    page.get_by_label("Method", exact=True).fill("nobody")
    expect(page.locator("main table:visible")).to_have_count(0)


def test_a_menu_of_settings_shows_the_tables_of_one_and_their_pictures(runs: Any, visit: Visit) -> None:
    for version, setting in enumerate(({}, {"setting": "ba1a" * 16, "setting_description": "digits, longer"})):
        accuracies = {"he": 60.0 + 10 * version, "wave": 80.0 + 10 * version}
        cells = [
            runs.done(runs.cell(method, depth, version=version), accuracy)
            for method, accuracy in accuracies.items()
            for depth in (2, 4)
        ]
        runs.plan(cells, created=f"2026-11-2{version}T12:00:00Z", **setting)
    page = visit(page_of(runs.folder))
    tables, pictures = page.locator("main table:visible"), page.locator(".picture:visible > svg")
    expect(pictures).to_have_count(4)
    every = tables.count()
    page.get_by_label("Setting").select_option(index=2)
    expect(pictures).to_have_count(2)
    assert tables.count() == every / 2
    assert {"70.0", "90.0"} <= set(tables.first.locator("td").all_inner_texts())
    page.get_by_label("Group").select_option(label="Learngene")
    assert page.locator(".picture:visible g:visible").count() == 2
    page.get_by_role("button", name="Show everything").click()
    expect(pictures).to_have_count(4)
    assert page.locator(".picture:visible g:visible").count() == 8
    assert tables.count() == every


def test_a_filter_of_tasks_hides_columns_and_the_mean_over_all(runs: Any, visit: Visit) -> None:
    cells = [
        runs.done(runs.cell(method, task=task), accuracy)
        for method, accuracy in (("he", 60.0), ("wave", 80.0))
        for task in ("cifar10", "cars", "pets")
    ]
    runs.plan(cells, grid="transfer", axis="task")
    page = visit(page_of(runs.folder))
    before = titles(page)
    assert before[3:7] == ["cifar10", "cars", "pets", "Mean"]
    page.get_by_role("combobox", name="Task").select_option("cars")
    assert titles(page) == [name for name in before if name not in ("cifar10", "pets", "Mean")]
    last = first_table(page).locator("tbody tr").last
    assert "80.0" in last.locator("td:visible").all_inner_texts()
    assert last.locator("td:visible").count() == len(titles(page)) - 1


def test_a_number_opens_its_records(example: Any, visit: Visit) -> None:
    page = visit(page_of(example.folder))
    folders = [example.cell("wave", 4, seed)["address"][:20] for seed in range(3)]
    number(page, "WAVE", "depth 4").click()
    dialog = page.get_by_role("dialog", name="WAVE")
    assert page.url.endswith(f"#{folders[0]}")
    assert "micro, depth 4" in dialog.inner_text()
    assert rows(dialog.get_by_role("table", name="Top-1 accuracy (%)")) == [
        ["seed", "0", "74.00", "93.00"],
        ["seed", "1", "75.00", "93.30"],
        ["seed", "2", "76.00", "93.60"],
    ]
    assert ["initialize", "0", "150", "9,600", "0", "1.5", "1,400"] in rows(dialog.get_by_role("table", name="Cost"))
    facts = dict(zip(dialog.locator("dt").all_inner_texts(), dialog.locator("dd").all_inner_texts(), strict=True))
    wanted = {
        "torch": "2.15.0",
        "accelerator": "none",
        "uncommitted changes": "no",
        "canvas": "12",
        "test images": "1,440",
        "stored parameters": "61,234",
        "setting": "5d1e" * 16,
        "command": "lgbench run --grid depth",
    }
    assert wanted.items() <= facts.items()

    dialog.get_by_role("link", name="seed 2").click()
    assert page.url.endswith(f"#{folders[2]}")
    expect(dialog.get_by_role("heading", name=f"Record {folders[2]}, seed 2")).to_be_visible()
    page.go_back()
    expect(dialog.get_by_role("heading", name=f"Record {folders[0]}, seed 0")).to_be_visible()
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(page).to_have_url(re.compile("^[^#]*$"))
    assert page.locator(":focus").inner_text() == "93.3"


def test_a_record_by_its_address(example: Any, visit: Visit) -> None:
    failed = example.cell("wave", 6, 1)["address"][:20]
    page = visit(page_of(example.folder), fragment=f"#{failed}")
    dialog = page.get_by_role("dialog", name="WAVE")
    expect(dialog.get_by_text("FloatingPointError: the loss is nan at iteration 17")).to_be_visible()
    dialog.get_by_role("button", name="Close").click()
    expect(dialog).to_be_hidden()
    assert page.locator(":focus").inner_text() == "2/3"
    expect(visit(page_of(example.folder), fragment="#%E0%A4%A no record").get_by_role("dialog")).to_be_hidden()


def test_learning_curves(example: Any, visit: Visit) -> None:
    page = visit(page_of(example.folder))
    number(page, "WAVE", "depth 4").click()
    dialog = page.get_by_role("dialog")
    drawing = dialog.get_by_role("img", name="Learning curves of 3 seeds, and means of the other methods")
    expect(drawing).to_be_visible()
    kinds = {kind: drawing.locator(f"polyline.{kind}").count() for kind in ("own", "chosen", "other")}
    assert kinds == {"own": 3, "chosen": 1, "other": 4}  # He-Init, Mimetic, LiGO and Direct PT have depth 4
    # The line of seed 0 ends where 93 % is on the axis.
    texts = [(text.text_content(), float(text.get_attribute("y"))) for text in drawing.locator("text").all()]
    ticks = {text: y for text, y in texts if text.isdigit() and y < 270}
    low, high = min(ticks, key=int), max(ticks, key=int)
    expected = ticks[low] + (93.0 - int(low)) / (int(high) - int(low)) * (ticks[high] - ticks[low]) - 4
    end = drawing.locator("polyline.chosen").get_attribute("points").split()[-1]
    assert float(end.split(",")[1]) == pytest.approx(expected, abs=0.1)
    dialog.get_by_text("In numbers").click()
    assert rows(dialog.get_by_role("table", name="Learning curves"))[1] == ["1", "83.5", "84.15", "84.8"]


def test_downloads_are_what_the_other_formats_are(budgets: Any, visit: Visit) -> None:
    page = visit(page_of(budgets.folder, compare=True))
    report = reporting.make(load([budgets.folder]), compare=True)
    some = list(zip(floats(report.tables).items(), report.tables, page.locator("main section").all(), strict=True))[::3]
    for (name, latex), table, section in some:  # not all: Chromium lets a page make ten downloads
        assert downloaded(page, section.get_by_role("button", name="CSV")) == (f"{name}.csv", csv([table]))
        assert downloaded(page, section.get_by_role("button", name="LaTeX")) == (f"{name}.tex", latex)
    name, text = downloaded(page, page.get_by_role("button", name="All records"))
    first, *_ = json.loads(text)
    assert (name, first["facts"]["Run"]["command"]) == ("records.json", "lgbench run --grid depth")


def test_without_a_script_there_are_the_tables(example: Any, visit: Visit) -> None:
    page = visit(page_of(example.folder), java_script_enabled=False)
    table_rows = first_table(page).get_by_role("row").all_inner_texts()
    wave = next(row for row in table_rows if row.startswith("WAVE\t"))
    assert [text.split()[0] for text in wave.split("\t")[1:]] == ["40", "61.2k", "92.3", "93.3", "2/32", "8/9", "8/9"]
    assert page.get_by_role("button").count() == 0
    first_table(page).get_by_role("link", name="footnote 1").first.click()
    assert page.locator(":target").inner_text() == "its source has this depth"


def test_hostile_names_are_names(runs: Any, visit: Visit) -> None:
    cells = []
    for index, name in enumerate(HOSTILE):
        names = {"variant": name, "title": name, "size": name, "task": name, "source": name, "target": {name: name}}
        cell = runs.cell(name, seed=0, **names)
        cells.append(cell)
        if index:
            provenance = runs.record(cell, 50.0)["provenance"]
            provenance["command"] = ["lgbench", name]
            provenance["versions"][name] = provenance["hardware"]["cpu"] = provenance["hardware"][name] = name
            provenance["data"][name] = {name: [name]}
            runs.done(cell, 50.0 + index, provenance=provenance, setting_description=name, preset=name)
        else:
            runs.failed(cell, name)
    dashes = [runs.dash(f"no {name}", 8, name, size=name, task=name, title=name) for name in HOSTILE]
    runs.plan(cells, dashes, setting_description=HOSTILE[0], preset=HOSTILE[1], grid=HOSTILE[3])
    results = load([runs.folder])
    page = visit(html(reporting.make(results).tables, results, title=HOSTILE[2]))

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
    for form in page.locator(".comparison").all():
        for place, select in enumerate(form.get_by_role("combobox").all()):
            select.select_option(index=1 + place)
    for select in page.locator("header select").all():
        select.select_option(index=1)
    assert "&compare=" in page.url
    page.reload()
    expect(page.locator(".problem")).to_be_hidden()
    # No element and no attribute came out of a name; that no alert came up, `visit` sees.
    elements = page.evaluate("[...document.querySelectorAll('*')].map(part => part.localName)")
    assert not {"img", "b", "iframe", "object"} & set(elements)
    assert elements.count("script") == 2
    attributes = page.evaluate("[...document.querySelectorAll('*')].flatMap(part => part.getAttributeNames())")
    assert not [name for name in attributes if name.startswith("on")]


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
    page = visit(page_of(example.folder), color_scheme=scheme)
    number(page, "WAVE", "depth 4").click()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == paper
    found = page.evaluate(CONTRASTS)
    assert len(found) > 100
    assert [text for text in found if text[0] < 4.5] == []  # WCAG 2.2, level AA


def test_on_a_phone_only_tables_scroll_sideways(example: Any, visit: Visit) -> None:
    page = visit(page_of(example.folder), viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    width = "document.documentElement.scrollWidth"
    assert page.evaluate(width) <= 390
    scroller = page.locator("main .scroller").first
    assert scroller.evaluate("part => (part.scrollLeft = 150, part.scrollLeft)") > 50
    name = scroller.get_by_role("rowheader", name="WAVE", exact=True)
    assert name.bounding_box()["x"] == 0  # the names stay
    number(page, "WAVE", "depth 4").tap()
    box = page.get_by_role("dialog").bounding_box()
    assert (box["x"], box["width"]) == (0, 390)
    assert page.evaluate(width) <= 390


def test_titles_stay_above_a_long_table(runs: Any, visit: Visit) -> None:
    runs.plan([runs.done(runs.cell("he", variant=f"scale={index}"), 50.0 + index) for index in range(60)])
    page = visit(page_of(runs.folder))
    scroller = page.locator("main .scroller").first
    assert scroller.evaluate("part => (part.scrollTop = 900, part.scrollTop)") == 900
    assert title(page, "depth 4").bounding_box()["y"] < scroller.bounding_box()["y"] + 60


def test_on_paper_there_is_nothing_to_click(example: Any, visit: Visit) -> None:
    page = visit(page_of(example.folder))
    page.emulate_media(media="print", color_scheme="dark")
    assert page.locator("form:visible, nav:visible, [data-file]:visible").count() == 0
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    for scroller in page.locator("main .scroller").all():
        assert scroller.evaluate("part => part.scrollHeight <= part.clientHeight + 1")
