"""Puts the files of tests/plugins into docs/extending.md, so that its examples are what the tests run.

    python tools/include_examples.py

A code block that begins with the comment "# NAME.py" holds the file tests/plugins/NAME.py.
"""

from __future__ import annotations

import re

from architecture import ROOT

PAGE = ROOT / "docs" / "extending.md"
EXAMPLES = ROOT / "tests" / "plugins"


def page() -> str:
    """Returns the page with the present files in its code blocks."""

    def block(found: re.Match[str]) -> str:
        name = found[1]
        return f"```python\n# {name}\n{(EXAMPLES / name).read_text(encoding='utf-8')}```\n"

    return re.sub(r"^```python\n# (\w+\.py)\n.*?^```\n", block, PAGE.read_text(encoding="utf-8"), flags=re.M | re.S)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(PAGE)
