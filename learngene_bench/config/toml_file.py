"""Reads TOML files as people have them."""

from __future__ import annotations

import codecs
import tomllib
from pathlib import Path
from typing import Any

from learngene_bench.util.errors import UserError

_OTHER_ENCODINGS = {codecs.BOM_UTF16_LE: "UTF-16", codecs.BOM_UTF16_BE: "UTF-16"}


def read_toml(path: Path) -> dict[str, Any]:
    """Reads a TOML file, with or without a byte-order mark.

    Raises:
        UserError: the file cannot be read, is not encoded as UTF-8, or is not TOML.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error
    try:
        return tomllib.loads(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        found = next((name for mark, name in _OTHER_ENCODINGS.items() if content.startswith(mark)), "another encoding")
        line = content.count(b"\n", 0, error.start) + 1
        raise UserError(f"{path}: not UTF-8 but {found} (line {line}): save the file as UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{path}: not valid TOML: {error}") from error
    except RecursionError as error:
        raise UserError(f"{path}: not valid TOML: nested too deeply") from error
