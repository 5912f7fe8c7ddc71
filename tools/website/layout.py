"""Places of the site: the page that a file of the repository becomes."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

ROOT = Path(__file__).parents[2]
BUILD = ROOT / "build" / "site"
INDEX = "docs/README.md"
"""The page that the site begins with, and whose tables are its menu."""

ELSEWHERE = {
    INDEX: "index.md",
    "tasks/README.md": "guides/tasks.md",
    "results/README.md": "reference/outputs.md",
    "methods/README.md": "reference/methods/sources-learngenes.md",
    "baselines/README.md": "reference/methods/sources-others.md",
    "results/leaderboards/README.md": "leaderboards/index.md",
    "tests/slurm/README.md": "project/slurm-tests.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "CHANGELOG.md": "project/changelog.md",
}
"""Pages that lie elsewhere in the site than under `docs`."""

SAME_AS = {"README.md": "index.md"}
"""Files that are no page of the site, with the page that a link to them leads to."""


def pages(root: Path = ROOT) -> dict[str, str]:
    """Returns the page of the site for each file of the repository that is one, both as relative paths."""
    found = {}
    for path in sorted((root / "docs").rglob("*")):
        name = path.relative_to(root).as_posix()
        if path.suffix in (".md", ".ipynb"):
            found[name] = str(PurePosixPath(name).relative_to("docs").with_suffix(".md"))
    for board in sorted((root / "results" / "leaderboards").glob("*/README.md")):
        found[board.relative_to(root).as_posix()] = f"leaderboards/{board.parent.name}.md"
    return found | {name: page for name, page in ELSEWHERE.items() if (root / name).is_file()}


def pictures(root: Path = ROOT) -> dict[str, str]:
    """Returns the place in the site of each picture in docs/."""
    return {
        path.relative_to(root).as_posix(): path.relative_to(root / "docs").as_posix()
        for path in sorted((root / "docs").rglob("*.png"))
    }
