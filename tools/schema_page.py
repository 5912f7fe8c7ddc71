"""Writes docs/schema.md: every file of a runs folder, field by field, from the types in learngene_bench/schema.

    python tools/schema_page.py

Meanings come from the `Attributes:` of the docstrings, or from `Field(description=...)`. A test compares the page with
the code.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import fields
from architecture import ROOT
from pydantic import BaseModel

from learngene_bench.schema import (
    constants,
    evaluation,
    leaderboard,
    manifest,
    owner,
    progress,
    record,
    rerun,
    stage,
    tracking,
)

PAGE = ROOT / "docs" / "schema.md"

FILES: dict[str, tuple[type[BaseModel], ...]] = {
    "runs/KIND/FOLDER/config.json": (stage.StageFile,),
    "runs/KIND/FOLDER/result.json": (record.AncestorRecord, record.GeneRecord, record.CellRecord),
    "runs/cell/FOLDER/evaluations/NAME.json, LEADERBOARD/evaluations.jsonl": (evaluation.EvaluationRecord,),
    "runs/KIND/FOLDER/failed.json": (record.Failure,),
    "runs/KIND/FOLDER/progress.json": (progress.Progress,),
    "runs/KIND/FOLDER/owner-NUMBER.json": (owner.Owner,),
    "runs/plans/NAME.json": (manifest.Manifest,),
    "runs/tracking/stages/TRACKER/FOLDER.json": (tracking.TrackedSoFar,),
    "LEADERBOARD/records.jsonl": (leaderboard.PublishedStage,),
    "LEADERBOARD/plans.jsonl": (leaderboard.PublishedPlan,),
    "LEADERBOARD/reruns.jsonl": (rerun.Rerun,),
}
"""Every JSON file of a runs folder, and of a leaderboard each line, with the type of its whole content."""

HEAD = f"""# The files of a runs folder

*Made by `tools/schema_page.py` from the docstrings in [learngene_bench/schema](../learngene_bench/schema).*

Each stage (an ancestor, a gene or a cell) has a folder `runs/KIND/FOLDER`. FOLDER is the beginning of the stage's
address, {constants.FOLDER_DIGITS} digits. Every file is JSON in UTF-8 and is written completely or not at all.
An unknown or missing field is an error of one line that names the file.
This is schema version {constants.SCHEMA_VERSION}.
"""


def documents(kind: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """Yields a type and the types of its fields, each before those that it uses; one type may come several times."""
    yield kind
    for field in kind.model_fields.values():
        # The models anywhere in the annotation: "A | None", "tuple[A, ...]", "dict[str, A]".
        pending = [field.annotation]
        while pending:
            part = pending.pop(0)
            if inspect.isclass(part) and issubclass(part, BaseModel):
                yield from documents(part)
            pending += getattr(part, "__args__", ())


def table(kind: type[BaseModel], known: set[str]) -> str:
    """Describes one type: a heading, its docstring's first sentences, and a row for each field."""
    paragraphs = (inspect.getdoc(kind) or "").partition("\nAttributes:")[0].strip().split("\n\n")
    lines = [f"### {kind.__name__}", "", " ".join(paragraphs[0].split()), ""]
    lines += ["| field | type | meaning |", "|---|---|---|"]
    meanings = fields.meanings(kind)
    for name, field in kind.model_fields.items():
        meaning = meanings.get(name) or field.description or ""
        default = "" if field.is_required() else fields.default(field.get_default(call_default_factory=True))
        lines.append(
            f"| `{name}` | {fields.type_words(kind, name, known)} | {f'{fields.sentence(meaning)} {default}'.strip()} |"
        )
    return "\n".join(lines) + "\n"


def page() -> str:
    """Makes the whole page."""
    known = {kind.__name__ for kinds in FILES.values() for whole in kinds for kind in documents(whole)}
    parts, described = [HEAD], set()
    for file, kinds in FILES.items():
        parts.append(f"## {file}\n")
        for kind in (kind for whole in kinds for kind in documents(whole)):
            if kind not in described:
                described.add(kind)
                parts.append(table(kind, known))
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(PAGE)
