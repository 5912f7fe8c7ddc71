"""One line for an error."""

from __future__ import annotations

import pytest

from learngene_bench.util.errors import MethodFailure, UserError, one_line


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (UserError("no such grid"), "no such grid"),
        (MethodFailure("not finite\nat step 3"), "not finite"),
        (ValueError("\nbad shape\nmore"), "ValueError: bad shape"),
        (AssertionError(), "AssertionError"),
    ],
)
def test_an_error_is_one_line_with_its_type_unless_it_is_the_suites_own(error: Exception, line: str) -> None:
    assert one_line(error) == line
