"""Finds the file of a gene by what a user writes: a path, the name of a gene that the package holds, or the hub's.

runs/gene/ADDRESS/tensors.safetensors     a file
digits-micro                              a gene of the package
hf://USER/NAME                            a gene of the hub, the newest
hf://USER/NAME@REVISION#sha256=HEX        the same for ever: of a revision, with this hash
"""

from __future__ import annotations

import os
from pathlib import Path

from learngene_bench.config.typed import user_path
from learngene_bench.runs.gene_references import HUB, GeneFile, parse_reference
from learngene_bench.runs.hub import download
from learngene_bench.util.errors import UserError, nearest
from learngene_bench.util.files import file_hash, readable

_SHIPPED = Path(__file__).parent / "genes"


def shipped_genes() -> dict[str, Path]:
    """Returns the genes that the package holds, by name."""
    return {path.stem: path for path in sorted(_SHIPPED.glob("*.safetensors"))}


def find_gene_file(given: str | os.PathLike[str]) -> GeneFile:
    """Finds the file of a gene, and downloads one of the hub.

    Raises:
        UserError: there is none, the hub does not answer, or the file has another hash than the reference says.
    """
    text, shipped = os.fspath(given), shipped_genes()
    if text.startswith(HUB):
        return download(parse_reference(text))
    path = user_path(text)
    if not path.exists():
        if text in shipped:
            return GeneFile(shipped[text], text, file_hash(shipped[text]))
        if os.sep not in text and not path.suffix:
            near = nearest(text, shipped)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise UserError(f"no gene {text!r}: {hint}give a file, {HUB}USER/NAME, or one of: {', '.join(shipped)}")
        raise UserError(f"gene not found: {path}")
    if path.is_dir():
        return GeneFile(path, str(path), "")
    with readable(path):
        return GeneFile(path, str(path), file_hash(path))
