"""Docstrings, `#:` comments and help texts begin with a verb or with the name of their object."""

from __future__ import annotations

from pathlib import Path

import english
import pytest
from architecture import ROOT

# Rooms whose texts are being rewritten. Every entry goes when its room is done; no entry may be added.
TO_DO = {
    "learngene_bench/cli",
    "learngene_bench/conformance",
    "learngene_bench/execution",
    "learngene_bench/runs",
    "learngene_bench/util",
}


@pytest.mark.parametrize("folder", english.FOLDERS)
def test_no_text_begins_with_a_preposition_a_pronoun_or_a_question_word(folder: str) -> None:
    found = []
    for file in english.python_files([ROOT / folder]):
        name = file.relative_to(ROOT).as_posix()
        if not any(name.startswith(f"{room}/") for room in TO_DO):
            found += [f"{name}:{line}: {text}" for line, text in english.faults(file)]
    assert found == []


def test_every_kind_of_text_is_read(tmp_path: Path) -> None:
    file = tmp_path / "module.py"
    file.write_text(
        '"""What a module is for."""\n'
        "class Options:\n"
        '    """The options."""\n'
        "    #: Whether to do it,\n"
        "    #: if it can be done.\n"
        '    epochs: int = Field(3, description="How many epochs")\n'
        "    depth = 4\n"
        '    """Of one model."""\n'
        "def run(seed=Option(help=f'For {1} seed')):\n"
        '    """Runs."""\n'
        "    # What a plain comment says is not checked.\n"
        "    return 'For a value, neither'\n"
    )
    assert [line for line, _ in english.faults(file)] == [1, 4, 6, 8, 9]
