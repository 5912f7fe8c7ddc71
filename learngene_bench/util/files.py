"""Reads and writes files: a file is written completely or not at all, and every error names the file."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from learngene_bench.util.errors import UserError


def write_whole(path: Path, write: Callable[[Path], object], *, durable: bool = True) -> None:
    """Writes a temporary file beside `path` and renames it, so that a reader sees the old content or the new one.

    Args:
        write: writes the content to the path that it is given.
        durable: if True, waits for the disk, so that the file survives a crash of the machine.

    Raises:
        UserError: The disk is full, or the folder cannot be written to.
    """
    # Two machines that share a file system may have processes with the same number.
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(temporary)
        if durable:
            with temporary.open("rb+") as stream:
                os.fsync(stream.fileno())
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True) if path.parent.is_dir() else None
        raise unwritable(path, error) from error
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def unwritable(path: Path, error: OSError) -> UserError:
    """Makes the error for a file that could not be written: full disk, no permission, not a folder."""
    return UserError(f"{path}: cannot be written: {error.strerror}; what is done is kept, run again when it can be")


@contextmanager
def readable(path: os.PathLike[str]) -> Iterator[None]:
    """Turns an operating-system error inside the block into a `UserError` that names the path."""
    try:
        yield
    except OSError as error:
        raise UserError(f"{os.fspath(path)}: cannot be read: {error.strerror}") from error


def write_bytes(path: Path, content: bytes) -> None:
    """Writes bytes completely or not at all.

    Also used for content that other libraries could write themselves, so that a full disk always raises the same error.
    """
    write_whole(path, lambda temporary: temporary.write_bytes(content))


def write_text(path: Path, text: str) -> None:
    """Writes UTF-8 text completely or not at all."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Writes JSON completely or not at all; refuses NaN and infinity, which are not JSON."""
    write_text(path, json_text(value))


def json_text(value: Any) -> str:
    """Formats a value as `write_json` writes it."""
    return json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def canonical(value: Any) -> str:
    """Formats a value as JSON with sorted keys and no spaces: equal values have equal texts."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def address_of(value: Any) -> str:
    """Returns the SHA-256 of the canonical text, 64 hexadecimal digits."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()


def file_hash(path: Path) -> str:
    """Returns the SHA-256 of a file's content, 64 hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
