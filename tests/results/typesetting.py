"""Sets LaTeX documents of tests with pdflatex."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest


def typeset(folder: Path, text: str) -> str:
    """Returns the complaints of pdflatex: overfull boxes, characters that its fonts lack."""
    (folder / "document.tex").write_text(text, encoding="utf-8")
    command = ["pdflatex", "-no-shell-escape", "-interaction=nonstopmode", "-halt-on-error", "document.tex"]
    ran = subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="replace")
    log = (folder / "document.log").read_text(errors="replace")
    assert ran.returncode == 0, log[-3000:]
    return log


def lacks_tex() -> str:
    if not shutil.which("pdflatex"):
        return "no pdflatex (Debian: texlive-latex-base)"
    for package in ("booktabs", "graphicx", "multirow"):
        if not subprocess.run(["kpsewhich", f"{package}.sty"], capture_output=True, text=True).stdout:
            return f"no LaTeX package {package} (Debian: texlive-latex-recommended, texlive-latex-extra)"
    return ""


needs_tex = pytest.mark.skipif(bool(lacks_tex()), reason=lacks_tex())
