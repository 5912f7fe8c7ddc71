"""Values that a person types are read by the type of their field, and answered in the words of that person."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from learngene_bench.config.loader import parse_override
from learngene_bench.config.messages import format_validation_error
from learngene_bench.config.section import Section
from learngene_bench.config.toml_file import read_toml
from learngene_bench.util.errors import UserError


class Inner(Section):
    root: Path


class Example(Section):
    name: str = ""
    root: Path | None = None
    count: int = 1
    share: float = 1.0
    on: bool = False
    names: list[str] | None = None
    options: dict[str, str | int] | None = None
    stream: bool | str = True
    inner: Inner | None = None


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("root=2019", Path("2019")),
        ("root=1_000", Path("1_000")),
        ("root=1e3", Path("1e3")),
        ("root=2019-01-01", Path("2019-01-01")),
        ("root=true", Path("true")),
        ("root=~/images", Path.home() / "images"),
        ("name=007", "007"),
        ("name=16:00:00", "16:00:00"),
        ("name=1.50", "1.50"),
        ('name="3"', "3"),
        ("names=[2019, true]", ["2019", "true"]),
        ("options={begin=1.5, nice=5}", {"begin": "1.5", "nice": "5"}),
        ("options={nice=5}", {"nice": 5}),
        ("count=1_000", 1000),
        ("share=1e-3", 1e-3),
        ("on=true", True),
        ("stream=false", False),
        ("inner={root=7}", Inner(root=Path("7"))),
    ],
)
def test_values_are_read_by_the_type_of_their_field(typed: str, expected: Any) -> None:
    key, value = parse_override(typed)
    read = getattr(Example.model_validate({key: value}), key)
    assert (read, type(read)) == (expected, type(expected))


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("count=many", "count: input should be a whole number, not 'many'"),
        ("count=2.5", "count: input should be a whole number, not 2.5"),
        ("share=true!", "share: input should be a number, not 'true!'"),
        ("on=3", "on: input should be true or false, not 3"),
        ("names=x", 'names: input should be a list, as in ["this", "that"], not \'x\''),
        ("name=[1]", "name: input should be a text, not [1]"),
        ("stream=[1]", "stream: input should be true or false or a text, not [1]"),
        ("options={x=[1]}", "options.x: input should be a text or a whole number, not [1]"),
        ("inner=3", "inner: this is a section with keys of its own, not 3"),
        ("inner={root=[]}", "inner.root: input should be a path, not []"),
    ],
)
def test_mistakes_are_told_in_words_of_toml(typed: str, message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Example.model_validate(dict([parse_override(typed)]))
    assert format_validation_error(Example, caught.value) == message


def test_toml_is_read_with_a_byte_order_mark_and_refused_in_another_encoding(tmp_path: Path) -> None:
    path, text = tmp_path / "mine.toml", 'first = 1\ntitle = "Müller"\n'
    for encoding in ("utf-8", "utf-8-sig"):
        path.write_bytes(text.encode(encoding))
        assert read_toml(path)["title"] == "Müller"
    for encoding, found in (("latin-1", "another encoding (line 2)"), ("utf-16", "UTF-16 (line 1)")):
        path.write_bytes(text.encode(encoding))
        with pytest.raises(UserError) as caught:
            read_toml(path)
        assert str(caught.value) == f"{path}: not UTF-8 but {found}: save the file as UTF-8"
