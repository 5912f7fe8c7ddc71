"""Notebooks as Markdown: text, and code as blocks of Python."""

from __future__ import annotations

import json
from pathlib import Path


def markdown(notebook: Path) -> str:
    """Returns the cells of a notebook as one page, with a line that says which file it is."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    parts = [
        "".join(cell["source"]) if cell["cell_type"] == "markdown" else f"```python\n{''.join(cell['source'])}\n```"
        for cell in cells
    ]
    title, *rest = parts[0].split("\n", 1)
    return "\n\n".join([title, f"*The notebook is `docs/notebooks/{notebook.name}`.*", *rest, *parts[1:]]) + "\n"
