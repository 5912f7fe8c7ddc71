"""docs/schema.md says what the types say."""

from __future__ import annotations

import schema_page


def test_the_page_is_current() -> None:
    assert schema_page.PAGE.read_text(encoding="utf-8") == schema_page.page(), "run: python tools/schema_page.py"


def test_every_part_of_a_file_is_on_the_page() -> None:
    titles = [line.removeprefix("### ") for line in schema_page.page().splitlines() if line.startswith("### ")]
    assert {"StageFile", "CellConfig", "Recipe", "CellRecord", "CurvePoint", "Manifest", "PlannedCell"} <= {*titles}
    assert len(titles) == len({*titles})
