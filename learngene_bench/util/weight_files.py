"""Tells what lies in the place of a file of weights: a folder, a Git LFS pointer, a web page. Does not import torch."""

from __future__ import annotations

import re
from pathlib import Path

from learngene_bench.util.errors import UserError
from learngene_bench.util.files import open_file, readable

POINTER = b"version https://git-lfs"
SUFFIXES = (".safetensors", ".pt", ".pth", ".bin", ".ckpt", ".tar")
"""Suffixes of files that are named where a folder was given."""


def check_weight_file(path: Path, what: str = "file of weights") -> None:
    """Checks that a path leads to a file that may hold weights.

    Args:
        what: what messages call the file.

    Raises:
        UserError: nothing is there, or a folder, an empty file, a Git LFS pointer, a web page; says what is needed.
    """
    if path.is_dir():
        with readable(path):
            inside = sorted(found for found in path.iterdir() if found.name.endswith(SUFFIXES))
        hint = f": give the file in it, {inside[0]}" if len(inside) == 1 else ": give a file in it"
        raise UserError(f"{what} {path} is a folder{hint}")
    if not path.exists():
        raise UserError(f"{what} not found: {path}")
    with readable(path), open_file(path) as stream:
        start = stream.read(256)
    if not start:
        raise UserError(f"{what} {path} is empty (0 bytes)")
    if start.startswith(POINTER):
        size = re.search(rb"size (\d+)", start)
        of = f" of {int(size[1]):,} bytes" if size else ""
        raise UserError(
            f"{what} {path} is a Git LFS pointer, in place of a file{of}: `git lfs pull` in its repository fetches it"
        )
    if start.lstrip().lower().startswith((b"<!doctype", b"<html", b"<?xml")):
        raise UserError(f"{what} {path} is a web page, as downloads that fail leave it: download the file again")
