"""The appendix: one document that compiles, has every table, and says how the records came about."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from recorded_runs import RecordedRuns, record_plan
from typesetting import needs_tex, typeset

from learngene_bench.cli.main import run_command
from learngene_bench.planning.planner import make_plan
from learngene_bench.planning.request import build_request
from learngene_bench.plugins.registry import Registry
from learngene_bench.results import load, plots
from learngene_bench.results.formats import appendix, reporting
from learngene_bench.results.formats.bibtex import entries, references
from learngene_bench.results.records.origins import origins
from learngene_bench.results.tables.report_table import ReportColumn, ReportTable
from learngene_bench.schema.seeds import parse_seeds

HOSTILE = "100% of {these} $\\input{/etc/passwd} & 中 ^^4d"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> RecordedRuns:
    overrides = ["grid.depths=[4,6]", "condensation.learning_rate=0.00125"]
    request = build_request("wave,he,direct-pt", "depth", "digits", parse_seeds("2x3"), overrides, Registry(), False)
    return record_plan(tmp_path_factory.mktemp("runs"), make_plan(request))


def sections(text: str) -> list[str]:
    return re.findall(r"\\section\{(.*)\}", text)


@needs_tex
def test_the_command_writes_a_document_that_compiles(
    runs: RecordedRuns, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(plots, "KINDS", {"front": plots.KINDS["front"]})
    assert run_command(["report", "--runs", str(runs.folder), "--appendix", "-o", str(tmp_path / "out")]) == 0
    written = [Path(line) for line in capsys.readouterr().out.split()]
    assert all(path.is_file() for path in written)
    assert {path.name for path in written} >= {"appendix.tex", "references.bib"}
    text = (tmp_path / "out" / "appendix.tex").read_text(encoding="utf-8")
    for path in written:
        assert (path.suffix == ".pdf") == (f"figures/{path.name}}}" in text)
    for _ in range(2):
        log = typeset(tmp_path / "out", text)
    assert not re.findall(r"Overfull|Missing character|multiply defined|undefined|Rerun", log)
    found = sections(text)
    assert found[:5] == ["Setting", "Data", "Recipes", "Methods", "Results at the default"]
    assert {"Variance", "What can be concluded", "Costs", "Figures", "Commands, versions, machines"} <= {*found}
    assert "Longer fine-tuning" not in found
    assert "The records have nothing for: " in text
    assert "Longer fine-tuning" in text


def of_runs(runs: RecordedRuns, cited: dict[str, Any] | None = None, title: str = "Results") -> str:
    results = load([runs.folder])
    return appendix.appendix(results, origins(results, [runs.folder]), {}, cited or {}, title)


def test_every_registered_table_is_in_it_also_one_that_nobody_here_knows(
    runs: RecordedRuns, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = ReportTable("mine", "mine", "A table of mine", "of a test", {}, (ReportColumn("one"),), ())
    monkeypatch.setitem(reporting.COMPUTED, "my-table", lambda tables, results: [mine])  # type: ignore[arg-type]
    text = of_runs(runs)
    assert sections(text)[-3:-1] == ["My-table", "Commands, versions, machines"]
    assert "A table of mine" in text
    made = reporting.make(load([runs.folder]), computed=reporting.COMPUTED)
    labels = re.findall(r"\\label\{tab:(.*)\}", text)
    assert len(labels) == len(made.tables) == len({*labels})


def test_recipes_are_those_that_stages_trained_by(runs: RecordedRuns) -> None:
    results = load([runs.folder])
    recipes = {recipe.name: recipe for recipe in origins(results, [runs.folder]).recipes}
    assert set(recipes) == {"finetuning", "inheritance", "condensation", "teacher", "pretraining"}
    assert recipes["condensation"].settings["learning_rate"] == 0.00125
    assert recipes["condensation"].used_for == ("wave",)
    assert recipes["finetuning"].settings["epochs"] == 5
    assert recipes["finetuning"].used_for == ("micro on digits",)
    assert "mixup" not in recipes["finetuning"].settings


@needs_tex
def test_names_of_others_do_no_harm(runs: RecordedRuns, tmp_path: Path) -> None:
    cited = references({"wave": f"Nobody et al., {HOSTILE}, ICLR 2024", "he": HOSTILE})
    log = typeset(tmp_path, of_runs(runs, cited, HOSTILE))
    assert "Missing character" not in log


@pytest.mark.parametrize(
    ("citation", "fields"),
    [
        ("Xia et al., Expansion of Learngene, AAAI 2024", ("Xia and others", "Expansion of Learngene", "AAAI", "2024")),
        (
            "Chen, Xie and He, A Study, of Two Parts, ICCV 2021",
            ("Chen and Xie and He", "A Study, of Two Parts", "ICCV", "2021"),
        ),
        ("Trockman and Kolter, Mimetic, ICML 2023", ("Trockman and Kolter", "Mimetic", "ICML", "2023")),
        ("Feng et al., WAVE: Templates, 2024", ("Feng and others", "WAVE: Templates", "", "2024")),
        ("Conditioned Initialization, ICLR 2026", ("", "Conditioned Initialization", "ICLR", "2026")),
        ("Wightman, PyTorch Image Models, `vision_transformer.py`", ("Wightman", "", "", "")),
        ("Gong et al., ICML 2019", ("Gong and others", "", "ICML", "2019")),
    ],
)
def test_citations_are_read(citation: str, fields: tuple[str, ...]) -> None:
    (found,) = references({"mine": citation})["mine"]
    assert (found.authors, found.title, found.venue, found.year) == fields
    assert found.bibtex.count("{") == found.bibtex.count("}")
    assert ("note" in found.bibtex) == (not found.year)
    assert found.item.endswith(".")


def test_every_shipped_citation_is_an_entry_of_its_own() -> None:
    registry = Registry()
    citations = {name: registry.get(name).kind.citation for name in registry.names()}
    found = references(citations)
    assert set(found) == {name for name, text in citations.items() if text}
    keys = [reference.key for reference in entries(found)]
    assert len(keys) == len({*keys})
    shared = references({"one": "A et al., T, 2020; B et al., U, 2021", "two": "B et al., U, 2021"})
    assert shared["two"] == [shared["one"][1]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--appendix",), "--appendix writes several files: give -o FOLDER"),
        (("--appendix", "-o", "paper.tex"), "--appendix writes several files: give -o FOLDER"),
        (("--appendix", "-o", "out", "--table", "cost"), "--appendix has every table: leave out --table"),
        (("--appendix", "-o", "out", "--format", "html"), "--appendix has every table: leave out --format"),
    ],
)
def test_other_options_are_one_line(
    runs: RecordedRuns, options: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["report", "--runs", str(runs.folder), *options]) == 2
    assert message in capsys.readouterr().err
