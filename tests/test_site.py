"""The documentation site: links of the repository become links of the site, the menu is the index, nothing is amiss."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from website import check, equations, layout, links, menu, notebooks

ROOT = Path(__file__).parents[1]
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        ("[how](../docs/seeds.md#a)", "[how](../seeds.md#a)"),
        ("[docs/seeds.md](../docs/seeds.md)", "[Seeds](../seeds.md)"),
        ("[its page](../docs)", "[its page](../index.md)"),
        ("![a](../docs/a.png)", "![a](../a.png)"),
        ("[code](../code.py)", "code"),
        ("[up](#here)", "[up](#here)"),
        ("[away](https://arxiv.org/abs/1)", "[away](https://arxiv.org/abs/1)"),
        ("```md\n[code](../docs/seeds.md)\n```", "```md\n[code](../docs/seeds.md)\n```"),
    ],
)
def test_links_lead_to_the_same_page_in_the_site(link: str, expected: str, tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    for name in ("docs/README.md", "docs/a.png", "code.py"):
        (tmp_path / name).touch()
    (tmp_path / "docs" / "seeds.md").write_text("# Seeds\n")
    places = {
        "tasks/README.md": "guides/tasks.md",
        "docs/seeds.md": "seeds.md",
        "docs/README.md": "index.md",
        "docs/a.png": "a.png",
    }
    assert links.moved(link, "tasks/README.md", places, tmp_path) == expected


def test_links_to_files_lead_to_the_repository_where_its_address_is_known(tmp_path: Path) -> None:
    (tmp_path / "code.py").touch()
    places = {"docs/a.md": "a.md"}
    moved = links.moved("[code](../code.py#L3)", "docs/a.md", places, tmp_path, "https://host/name/blob/main")
    assert moved == "[code](https://host/name/blob/main/code.py)"
    with pytest.raises(ValueError, match=r"docs/a.md: no file ../other.py"):
        links.moved("[code](../other.py)", "docs/a.md", places, tmp_path)


def test_the_menu_is_the_index_and_what_is_made() -> None:
    index = "# T\n\n## A\n\n| [One](one.md) | text |\n\n### Inner\n\n| [Two](two.md) | text |\n\n## Made\n\n## Empty\n"
    assert menu.read(index, {"Made": {"": [("Three", "three.md")], "Group": [("Four", "four.md")]}})[1:] == [
        {"A": [{"One": "one.md"}, {"Inner": [{"Two": "two.md"}]}]},
        {"Made": [{"Three": "three.md"}, {"Group": [{"Four": "four.md"}]}]},
    ]
    with pytest.raises(ValueError, match="no heading 'Other'"):
        menu.read(index, {"Other": {}})


def test_notebooks_become_text_and_blocks_of_code() -> None:
    page = notebooks.markdown(ROOT / "docs" / "notebooks" / "run-and-initialize.ipynb")
    assert page.startswith("# A run and a model of your own, in a notebook\n")
    assert '\n```python\nimport learngene_bench as lb\n\nlb.plan("wave,he", quick=True)\n```\n' in page


def test_equations_are_mathml() -> None:
    pytest.importorskip("latex2mathml")
    made = equations.fence("W = S \\otimes T \\\\\nb = 0", "math", "math", {}, None)
    assert made.count("<math") == 2
    assert "<mo>&#x02297;</mo>" in made
    assert equations.inline("S", "math", "math", None).startswith("<math")


def test_formulas_in_a_line_are_marked_where_a_page_has_equations() -> None:
    text = "The $W_\\ell$ of `$HOME` costs $5.\n\n```math\na\n```\n"
    assert equations.marked(text) == text.replace("$W_\\ell$", "`#!math W_\\ell`")
    assert equations.marked("from $a$ to $b$") == "from $a$ to $b$"


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ('<a href="other.html#part">', None),
        ('<a href="other.html#nothing">', "page.html: the link other.html#nothing leads nowhere"),
        ('<a href="gone.html">', "page.html: the link gone.html leads nowhere"),
        ('<a href="#gone">', "page.html: the link #gone leads nowhere"),
        ('<a href="https://arxiv.org">', None),
        ('<script src="https://cdn.org/a.js"></script>', "page.html: loads https://cdn.org/a.js"),
        ('<link rel="stylesheet" href="//fonts.org/a.css">', "page.html: loads //fonts.org/a.css"),
        ('<img src="gone.png">', "page.html: there is no gone.png"),
        ("<p>Three:\n- one\n- two</p>", "page.html: not shown as the list or table that it is: Three: - one - two"),
        ("<p>| a | b |</p>", "page.html: not shown as the list or table that it is: | a | b |"),
    ],
)
def test_faults_of_a_built_site_are_found(body: str, fault: str | None, tmp_path: Path) -> None:
    (tmp_path / "other.html").write_text('<h2 id="part">Part</h2>')
    (tmp_path / "page.html").write_text(body)
    assert list(check.faults(tmp_path)) == ([fault] if fault else [])


def test_the_workflow_publishes_what_the_command_builds() -> None:
    workflow: Any = yaml.safe_load((ROOT / ".github" / "workflows" / "site.yml").read_text())
    steps = workflow["jobs"]["build"]["steps"]
    assert any("python -m website" in step.get("run", "") for step in steps)
    assert steps[-1]["with"]["path"] == (layout.BUILD / "html").relative_to(ROOT).as_posix()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, as `make site` builds it."""
    for package in ("mkdocs", "material", "mkdocstrings", "latex2mathml"):
        pytest.importorskip(package, reason=f"no {package} (pip install '.[docs]')")
    from website.build import build

    return build(folder=tmp_path_factory.mktemp("site"))


SHOWN = (
    "index",
    "tutorials/own-initializer",
    "equations",
    "schema",
    "timm-models",
    "gallery/tables",
    "leaderboards/digits-objections",
    "leaderboards/tiny-imagenet-laptop-records",
    "reference/commands/run",
    "reference/configuration/index",
    "reference/methods/wave",
    "reference/python/initializer",
)
"""Pages with what is widest and longest of each kind."""


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium (Debian: chromium)")
def test_pages_are_read_without_a_network_and_on_a_phone(site: Path) -> None:
    playwright = pytest.importorskip("playwright.sync_api", reason="no playwright (pip install playwright)")
    complaints: list[str] = []
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM)
        page = browser.new_page(viewport={"width": 375, "height": 740})
        page.on("console", lambda message: complaints.append(f"{page.url}: {message.text}"))
        page.on("pageerror", lambda error: complaints.append(f"{page.url}: {error}"))
        page.on("request", lambda request: request.url.startswith("http") and complaints.append(request.url))
        for name in SHOWN:
            page.goto((site / f"{name}.html").as_uri())
            wide = page.evaluate("document.documentElement.scrollWidth")
            if wide > 375:
                complaints.append(f"{name} is {wide} pixels wide")
        page.set_viewport_size({"width": 1280, "height": 900})
        page.goto((site / "index.html").as_uri())
        page.locator("input.md-search__input").fill("crossed seeds")
        playwright.expect(page.locator(".md-search-result__link").first).to_be_visible()
        browser.close()
    assert complaints == []
