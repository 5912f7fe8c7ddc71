"""Docstrings, `#:` comments and help texts begin with a verb or with the name of their object."""

from __future__ import annotations

from pathlib import Path

import english
import pytest
from architecture import ROOT


@pytest.mark.parametrize("folder", english.FOLDERS)
def test_no_text_begins_with_a_preposition_a_pronoun_or_a_question_word(folder: str) -> None:
    files = english.python_files([ROOT / folder])
    assert [f"{file.relative_to(ROOT)}:{line}: {text}" for file in files for line, text in english.faults(file)] == []


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
