"""Documents: what they refuse, and that every field is described."""

from __future__ import annotations

import importlib
import pkgutil
import re
from pathlib import Path

import pytest

from learngene_bench import schema
from learngene_bench.schema import base
from learngene_bench.schema.base import Document, File
from learngene_bench.schema.cost import Cost
from learngene_bench.schema.metric import CurvePoint, MetricSpec
from learngene_bench.schema.record import Failure
from learngene_bench.util.errors import DamagedFile, UserError

ADDRESS = "0123456789abcdef" * 4
VERSION = base.SCHEMA_VERSION
FAILURE = f'"schema_version": {VERSION}, "address": "{ADDRESS}", "label": "he", "error": "it broke"'


def documents() -> list[type[Document]]:
    found = []
    for module in pkgutil.iter_modules(schema.__path__):
        members = vars(importlib.import_module(f"learngene_bench.schema.{module.name}")).values()
        found += [kind for kind in members if isinstance(kind, type) and issubclass(kind, Document)]
    return sorted(set(found) - {Document}, key=lambda kind: kind.__name__)


@pytest.mark.parametrize("kind", documents(), ids=lambda kind: kind.__name__)
def test_docstring_describes_every_field(kind: type[Document]) -> None:
    described: set[str] = set()
    for one in kind.__mro__:
        described |= set(re.findall(r"^ {4,8}(\w+): ", one.__doc__ or "", re.MULTILINE))
    assert set(kind.model_fields) - described <= {"kind"}


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("{" + FAILURE + ', "died": 1}', "'died' is 1, not a valid boolean"),
        ("{" + FAILURE + ', "more": 1}', "'more' is unknown"),
        ("{" + FAILURE.replace('"label": "he", ', "") + "}", "it lacks 'label'"),
        ("{" + FAILURE.replace(f'"schema_version": {VERSION}, ', "") + "}", "it lacks 'schema_version'"),
        ("{" + FAILURE.replace(ADDRESS, "ABC") + "}", "'address' is 'ABC': string should match pattern"),
        ("[]", "input should be an object"),
        ("{" + FAILURE, "it is not JSON"),
        ('{"label":' * 5000, "it is not JSON, recursion limit exceeded"),
        ("", "it is not JSON"),
    ],
)
def test_damaged_file_is_one_line_that_names_it(tmp_path: Path, content: str, problem: str) -> None:
    path = tmp_path / "abc" / "failed.json"
    path.parent.mkdir()
    path.write_text(content)
    with pytest.raises(DamagedFile, match=re.escape(problem)) as caught:
        base.read(Failure, path)
    assert str(caught.value).startswith(f"{path} is damaged (")
    assert str(caught.value).endswith(f"): move the folder {path.parent} away and run again")
    assert "\n" not in str(caught.value)


def test_text_that_is_no_utf8_is_damaged(tmp_path: Path) -> None:
    (tmp_path / "failed.json").write_bytes(b"\xff\xfe")
    with pytest.raises(DamagedFile, match="it is not JSON"):
        base.read(Failure, tmp_path / "failed.json")


def test_other_schema_version_is_told_before_all_else(tmp_path: Path) -> None:
    (tmp_path / "failed.json").write_text('{"schema_version": 99, "other": 1}')
    with pytest.raises(UserError, match=f"has schema version 99, and this learngene-bench reads version {VERSION}"):
        base.read(Failure, tmp_path / "failed.json")


def test_document_is_read_as_it_was_written(tmp_path: Path) -> None:
    failure = Failure(address=ADDRESS, label="he\x1b[31m\nred", error="it broke", traceback="a\nb", died=True)
    assert failure.label == "he [31m red"
    base.write(tmp_path / "failed.json", failure)
    assert base.read(Failure, tmp_path / "failed.json") == failure


def test_costs_add_up() -> None:
    assert Cost(epochs=1.0, iterations=2, flops=3.0, parameters=6) + Cost(images=4, seconds=0.5, parameters=1) == Cost(
        epochs=1.0, iterations=2, images=4, flops=3.0, seconds=0.5, parameters=7
    )


def test_cost_is_finite_and_not_below_zero() -> None:
    for seconds in (-1.0, float("inf"), float("nan")):
        with pytest.raises(ValueError, match="seconds"):
            Cost(seconds=seconds)


def test_metric_knows_which_values_it_can_have() -> None:
    percent = MetricSpec(name="top1", title="top-1", unit="%", bounds=(0.0, 100.0))
    assert [percent.holds(value) for value in (0.0, 100.0, 100.1, -0.1, float("nan"), float("inf"))] == [
        True,
        True,
        False,
        False,
        False,
        False,
    ]
    loss = MetricSpec(name="nll", title="NLL", bounds=(0.0, None), higher_is_better=False)
    assert loss.holds(1e9)


def test_point_of_a_curve_may_hold_what_training_gave() -> None:
    text = '{"epoch": 1, "iterations": 2, "loss": NaN, "metrics": null}'
    assert CurvePoint.model_validate_json(text).epoch == 1.0


def test_files_are_documents_with_a_version() -> None:
    for kind in documents():
        assert ("schema_version" in kind.model_fields) == issubclass(kind, File)
