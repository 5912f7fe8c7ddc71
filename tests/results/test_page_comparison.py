"""The comparison of two rows in the page, and addresses that open a view, in a real browser."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from browsing import Visit
from scipy import stats
from test_html import data_of, page_of
from test_page import CONTRASTS, first_table, methods, title
from test_prediction_tables import METHODS, keep, predicted

from learngene_bench.results import load, make_tables
from learngene_bench.results.formats import html_predictions
from learngene_bench.results.statistics.predictions import bootstrap_mean, by_thing, overlap
from learngene_bench.results.tables.inference import inferences
from learngene_bench.results.tables.numbers import interval, probability, signed
from learngene_bench.schema.predictions import PREDICTIONS

expect = pytest.importorskip("playwright.sync_api", reason="no playwright (pip install playwright)").expect

TABLE = "depth-top1-5d1e5d1e-protocol3"
"""Id of the first table of a page."""


def compare(page: Any, first: str, second: str, place: int = 0) -> None:
    """Chooses two rows of a table."""
    form = page.get_by_role("form", name="Compare two rows").nth(place)
    form.get_by_label("First").select_option(first)
    form.get_by_label("Second").select_option(second)


def cells(page: Any, name: str = "Over seeds", place: int = 0) -> dict[str, list[str]]:
    """The rows of a table of the comparison, by target."""
    table = page.locator(".compared").nth(place).get_by_role("table", name=name)
    rows = [row.get_by_role("cell").all_inner_texts() for row in table.locator("tbody tr").all()]
    return dict(zip(table.get_by_role("rowheader").all_inner_texts(), rows, strict=True))


def plain(text: str) -> str:
    """Reports print minus signs in intervals as hyphens."""
    return text.replace("−", "-")


@pytest.fixture
def random(runs: Any) -> Any:
    """Three methods, two sizes, five seeds, numbers of no pattern."""
    numbers = np.random.default_rng(11)
    cells = [
        runs.done(runs.cell(method, depth, seed, size=size), float(numbers.normal(mean, 3.0)), 10.0 + seed)
        for method, mean in (("he", 60.0), ("ligo", 62.0), ("wave", 80.0))
        for size, depth in (("micro", 2), ("micro", 4), ("mini", 2))
        for seed in range(5)
    ]
    runs.plan(cells)
    return runs


def test_two_rows_are_compared_as_reports_and_scipy_do(random: Any, visit: Visit) -> None:
    page = visit(page_of(random.folder))
    table = make_tables(load([random.folder]))[0]
    (found,) = inferences([table])
    for pair in found.pairs:
        first, second = pair.first, pair.second
        compare(page, first.label, second.label)
        expect(page.get_by_role("heading", name=f"{first.label} minus {second.label}")).to_be_visible()
        shown = cells(page)
        assert list(shown) == ["micro, depth 2", "micro, depth 4", "mini, depth 2", "All 3 targets"]
        differences = [
            np.subtract(list(mine.values.values()), list(other.values.values()))
            for mine, other in zip(first.entries, second.entries, strict=True)
        ]
        for texts, values in zip(shown.values(), [*differences, np.mean(differences, axis=0)], strict=True):
            test = stats.ttest_1samp(values, 0.0)
            flips = stats.permutation_test(
                (values,), lambda x, axis: x.mean(axis=axis), permutation_type="samples", vectorized=True
            )
            assert texts == [
                "5",
                signed(values.mean()),
                interval(test.confidence_interval(0.95), 1).replace("-", "−"),
                probability(test.pvalue),
                probability(flips.pvalue),
                str((values > 0).sum()),
                str((values < 0).sum()),
            ]
        last = shown["All 3 targets"]
        assert plain(last[2]) == interval(pair.interval, 1)
        assert last[3:5] == [probability(pair.tests[name].p) for name in ("t", "sign_flip")]
        expect(page.get_by_role("status").filter(has_text=signed(pair.difference))).to_be_visible()
    page.get_by_role("button", name="Swap").first.click()
    assert cells(page)["All 3 targets"][1] == signed(-pair.difference)
    page.get_by_text("Difference of each seed").first.click()
    each = cells(page, "Difference of each seed")["micro, depth 4"]
    assert [plain(text) for text in each] == [f"{-value:+.2f}" for value in differences[1]]


def test_what_a_row_lacks_is_not_compared(example: Any, visit: Visit) -> None:
    page = visit(page_of(example.folder))
    compare(page, "LiGO", "WAVE")
    shown = cells(page)
    assert [texts[0] for texts in shown.values()] == ["0", "3", "2", "0", "3", "3"]  # of WAVE at depth 6 one failed
    assert set(shown["micro, depth 2"][1:]) == {"—"}
    assert "All 2 targets" in shown
    expect(page.get_by_text("All 2 targets: without 3 targets, of which a row lacks a result.")).to_be_visible()
    compare(page, "LiGO", "LiGO")
    expect(page.get_by_text("Choose two different rows.")).to_be_visible()
    compare(page, "Direct PT", "WAVE")
    expect(page.get_by_text("Direct PT is a reference and no initialization")).to_be_visible()
    assert cells(page)["micro, depth 4"][:4] == ["3", "+2.0", "2.0 to 2.0", "<0.001"]


def test_of_a_metric_where_lower_is_better_the_lower_row_wins(runs: Any, visit: Visit) -> None:
    spec = {"name": "loss", "title": "Loss", "higher_is_better": False, "decimals": 3}
    made = []
    for method, values in (("he", (0.5, 0.7, 0.6)), ("wave", (0.25, 0.75, 0.35))):
        for seed, value in enumerate(values):
            cell = runs.cell(method, 4, seed)
            specs = {**runs.record(cell, 50.0)["metric_specs"], "loss": spec}
            made.append(runs.done(cell, 50.0, metrics={"top1": 50.0, "loss": value}, metric_specs=specs))
    runs.plan(made)
    page = visit(page_of(runs.folder, metric="loss"))
    compare(page, "WAVE", "He-Init")
    assert cells(page)["micro, depth 4"][1] == "−0.150"
    assert cells(page)["micro, depth 4"][5:] == ["2", "1"]
    expect(page.get_by_role("status").filter(has_text="micro, depth 4, 3 seeds: −0.150 (95 %")).to_contain_text(
        "WAVE is better in 2 of 3"
    )
    expect(page.get_by_text("Lower is better: a difference below zero")).to_be_visible()


@pytest.fixture
def kept(runs: Any) -> Any:
    """Three methods of two seeds with predictions, of which four images in a row show one thing, and one without."""
    cells = []
    for number, (method, accuracy) in enumerate(METHODS.items()):
        for seed in range(2):
            cells.append(runs.cell(method, 4, seed))
            keep(runs, cells[-1], predicted(accuracy, seed, number), views=4)
    cells += [runs.done(runs.cell("mimetic", 4, seed), 50.0) for seed in range(2)]
    runs.plan(cells)
    return runs


def test_images_are_compared_as_the_table_of_predictions_does(
    kept: Any, visit: Visit, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = visit(page_of(kept.folder))
    compare(page, "WAVE", "He-Init")
    shown = cells(page, "Over images")["micro, depth 4"]
    first, second = ([predicted(METHODS[m], seed, n) for seed in range(2)] for m, n in (("wave", 2), ("he", 0)))
    pairs = list(zip(first, second, strict=True))
    shares = np.mean([overlap(a.predicted, b.predicted, a.label)[:4] for a, b in pairs], axis=0)
    more = by_thing(sum(a.right.astype(np.int64) - b.right for a, b in pairs), 4)
    signs = stats.permutation_test(
        (more,), lambda x, axis: x.sum(axis=axis), permutation_type="samples", n_resamples=20_000, random_state=1
    )
    assert shown[:2] == ["240", "2"]
    assert shown[2:6] == [f"{100 * share:.1f}" for share in shares]
    assert shown[6] == signed(100 * more.sum() / 480)
    drawn = bootstrap_mean(100 * more / 8)
    assert [float(end) for end in plain(shown[7]).split(" to ")] == pytest.approx(list(drawn), abs=0.8)
    assert shown[8] == "<0.001"
    assert signs.pvalue < 0.001
    expect(page.get_by_text("and 4 images of one thing")).to_be_visible()
    compare(page, "WAVE", "Mimetic")
    expect(page.get_by_text("Over images: nothing to compare")).to_be_visible()
    compare(page, "WAVE", "He-Init", place=1)
    assert page.get_by_role("table", name="Over images").count() == 0  # as initialized nothing is kept

    bits = sum(len(record["right"][1]) for record in data_of(page_of(kept.folder))["records"] if "right" in record)
    assert bits == 6 * 40  # 240 bits are 30 bytes
    monkeypatch.setattr(html_predictions, "MOST_CHARACTERS", bits - 1)
    text = page_of(kept.folder)
    assert '"right"' not in text
    page = visit(text, f"#compare={TABLE}/WAVE/He-Init")
    expect(
        page.get_by_text("Over images: left out, since it would make the page larger by more than 1 MB")
    ).to_be_visible()


def test_a_damaged_file_of_predictions_is_named(kept: Any, visit: Visit) -> None:
    path = kept.path(kept.cell("wave", 4, 1)).parent / PREDICTIONS
    path.write_bytes(path.read_bytes()[:-1])
    page = visit(page_of(kept.folder), f"#compare={TABLE}/WAVE/He-Init")
    assert cells(page, "Over images")["micro, depth 4"][:2] == ["240", "1"]
    expect(page.get_by_text(f"{path}: damaged (its hash differs from the record's)")).to_be_visible()


def test_other_images_are_not_compared_in_the_page(kept: Any, visit: Visit) -> None:
    keep(kept, kept.cell("he", 4, 1), predicted(0.6, 1, 0), views=2)
    page = visit(page_of(kept.folder), f"#compare={TABLE}/WAVE/He-Init")
    expect(page.get_by_text("Over images: nothing to compare")).to_be_visible()


def test_a_copied_address_opens_the_same_view(random: Any, visit: Visit) -> None:
    text = page_of(random.folder)
    page = visit(text)
    assert "#" not in page.url
    page.get_by_label("Size").select_option("micro")
    page.get_by_label("Method", exact=True).fill("e i")  # He-Init has both
    page.get_by_label("Method", exact=True).fill("i")
    title(page, "depth 4").get_by_role("button").click()
    title(page, "depth 4").get_by_role("button").click()
    compare(page, "LiGO", "He-Init")
    fragment = page.url.partition("#")[2]
    assert fragment == f"method=i&size=micro&sort={TABLE}/micro/depth%204/ascending&compare={TABLE}/LiGO/He-Init"

    copy = visit(text, f"#{fragment}", viewport={"width": 1280, "height": 500})
    assert copy.url.endswith(f"#{fragment}")
    for one in (page, copy):
        assert methods(first_table(one)) == ["LiGO", "He-Init"]
        assert title(one, "depth 4").get_attribute("aria-sort") == "ascending"
        assert set(one.locator("main > section > .scroller > table > caption:visible").all_inner_texts()) == {"micro"}
    assert cells(copy) == cells(page)
    assert copy.locator(".compared").first.is_visible()
    assert copy.evaluate("scrollY") > 0
    expect(copy.locator(".problem")).to_be_hidden()

    copy.locator("[data-records] > a:visible").first.click()  # a record and back
    expect(copy.get_by_role("dialog")).to_be_visible()
    copy.keyboard.press("Escape")
    expect(copy).to_have_url(page.url)
    copy.get_by_role("navigation").get_by_role("link").nth(1).click()
    assert copy.url.endswith(f"#table=depth-top1-initial-5d1e5d1e-protocol3&{fragment}")
    copy.go_back()
    expect(copy).to_have_url(page.url)
    copy.get_by_role("button", name="Show everything").click()
    expect(copy).to_have_url(page.url.replace("method=i&size=micro&", ""))
    for name in ("First", "Second"):
        copy.get_by_label(name).first.select_option("none")
    title(copy, "depth 4").get_by_role("button").click()
    expect(copy).to_have_url(page.url.partition("#")[0])


BROKEN = (
    "nothing-of-this-name",
    "%E0%A4%A",
    "size=huge",
    "colour=red",
    "size=%E0%A4%A",
    "constructor=1",
    "=",
    "table=elsewhere",
    f"sort={TABLE}/micro/depth%204/sideways",
    f"sort={TABLE}/micro/width%204/ascending",
    f"compare={TABLE}/WAVE",
    f"compare={TABLE}/WAVE/Nobody",
    f"compare={TABLE}/<script>alert(1)</script>/WAVE".replace("/script", "%2Fscript"),
    "<img src=x onerror=alert(2)>",
    "size=micro/mini",
    "a" * 5000 + "=1",
)


def test_what_an_address_names_and_the_page_has_not_is_one_line(random: Any, visit: Visit) -> None:
    page = visit(page_of(random.folder))
    problem = page.get_by_role("alert")
    every = methods(first_table(page))
    for fragment in BROKEN:
        page.evaluate("fragment => { location.hash = fragment }", fragment)
        expect(problem).to_contain_text("Not on this page, and ignored in its address: ")
        expect(problem).to_be_in_viewport()
        assert problem.bounding_box()["height"] < 110, fragment
        assert methods(first_table(page)) == every
        assert page.locator(".compared > *").count() == 0
    page.evaluate("location.hash = 'size=huge&size=mini&colour=red'")  # what is there is chosen all the same
    expect(problem).to_have_text("Not on this page, and ignored in its address: size=huge, colour=red")
    expect(page.get_by_label("Size")).to_have_value("mini")
    page.get_by_label("Size").select_option("micro")
    expect(problem).to_be_hidden()
    assert page.url.endswith("#size=micro")


def test_hostile_rows_can_be_compared_and_linked_to(runs: Any, visit: Visit) -> None:
    names = ("</script><b>\"'&/=#", "a/b?c=d&e (1)!*% \u202eabc", "__proto__")
    runs.plan(
        [
            runs.done(runs.cell(name, 4, seed, title=name, size=names[0], task=names[1]), 50.0 + 3 * place + seed)
            for place, name in enumerate(names)
            for seed in range(3)
        ]
    )
    text = page_of(runs.folder)
    page = visit(text)
    menu = page.get_by_label("First").first.locator("option")
    _, *labels = [option.get_attribute("value") for option in menu.all()]
    assert [labels[0], labels[2]] == [names[0], names[2]]
    compare(page, *labels[:2])
    page.locator("main th[data-task] button").first.click()
    copy = visit(text, f"#{page.url.partition('#')[2]}")
    assert copy.locator("main th[data-task]").first.get_attribute("aria-sort") == "descending"
    for one in (page, copy):
        assert one.locator(".compared h4").first.inner_text() == f"{labels[0]} minus {labels[1]}"
        assert next(iter(cells(one).values()))[:2] == ["3", "−3.0"]
        assert one.locator("b").count() == 0
    compare(copy, labels[2], labels[0])
    assert next(iter(cells(copy).values()))[1] == "+6.0"


def test_a_filter_of_seeds_hides_rows_with_fewer(example: Any, visit: Visit) -> None:
    page = visit(page_of(example.folder))
    rows = methods(first_table(page))
    menu = page.get_by_label("Seeds")
    assert menu.locator("option").all_inner_texts() == ["all", "at least 1", "at least 2", "at least 3"]
    menu.select_option("3")
    assert methods(first_table(page)) == ["He-Init", "LiGO", "Direct PT"]  # of the others a result is missing
    assert page.url.endswith("#seeds=3")
    menu.select_option("2")
    assert methods(first_table(page)) == ["He-Init", "LiGO", "WAVE", "Direct PT"]
    page.get_by_role("button", name="Show everything").click()
    expect(page).to_have_url(page.url.partition("#")[0])
    assert methods(first_table(page)) == rows


def test_rows_are_chosen_by_keyboard(random: Any, visit: Visit) -> None:
    page = visit(page_of(random.folder))
    page.get_by_label("First").first.focus()
    page.keyboard.type("WAVE")
    page.keyboard.press("Tab")
    page.keyboard.type("LiGO")
    page.keyboard.press("Tab")
    assert page.locator(":focus").inner_text() == "Swap"
    expect(page.get_by_role("heading", name="WAVE minus LiGO")).to_be_visible()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="LiGO minus WAVE")).to_be_visible()
    page.keyboard.press("Tab")
    assert page.locator(":focus").get_attribute("aria-label") == "Over seeds"  # scrolls by keyboard


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_comparison_can_be_read_on_a_phone(kept: Any, visit: Visit, scheme: str) -> None:
    phone = {"viewport": {"width": 375, "height": 800}, "has_touch": True, "is_mobile": True}
    page = visit(page_of(kept.folder), f"#compare={TABLE}/WAVE/He-Init&size=huge", color_scheme=scheme, **phone)
    expect(page.get_by_role("alert")).to_be_visible()
    assert page.get_by_role("table", name="Over images").is_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 375
    assert [text for text in page.evaluate(CONTRASTS) if text[0] < 4.5] == []


def test_on_paper_there_is_the_comparison_without_its_menus(random: Any, visit: Visit) -> None:
    page = visit(page_of(random.folder), f"#compare={TABLE}/WAVE/LiGO")
    page.emulate_media(media="print")
    assert page.locator("form:visible").count() == 0
    assert page.get_by_role("table", name="Over seeds").is_visible()
