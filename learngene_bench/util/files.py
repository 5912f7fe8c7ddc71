"""Files written whole or not at all, and read with an error that names them."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from learngene_bench.util.errors import DamagedFile, UserError


def write_whole(path: Path, write: Callable[[Path], object], *, lasting: bool = True) -> None:
    """Calls `write` with a temporary path beside `path`, then renames: a reader sees the old file or the new one.

    Args:
        lasting: whether the file must survive a crash of the machine, for which this waits for the disk.

    Raises:
        UserError: the disk is full, or the folder cannot be written to.
    """
    # Of several machines that share a file system, two may have processes of the same number.
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(temporary)
        if lasting:
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
    """What to raise when `path` could not be written: a full disk, a folder that is a file, missing permission."""
    return UserError(f"{path}: cannot be written: {error.strerror}; what is done is kept, run again when it can be")


@contextmanager
def readable(path: os.PathLike[str]) -> Iterator[None]:
    """Turns what the system says of a path into a `UserError` that names it."""
    try:
        yield
    except OSError as error:
        raise UserError(f"{os.fspath(path)}: cannot be read: {error.strerror}") from error


def write_bytes(path: Path, content: bytes) -> None:
    """Writes bytes whole or not at all.

    What other libraries would write themselves comes through here too: of a full disk they tell in words of their own.
    """
    write_whole(path, lambda temporary: temporary.write_bytes(content))


def write_text(path: Path, text: str) -> None:
    """Writes UTF-8 text whole or not at all."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Writes JSON whole; NaN and infinity are refused (they are not JSON)."""
    write_text(path, json_text(value))


def json_text(value: Any) -> str:
    """What `write_json` writes."""
    return json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def read_json(path: Path, kind: str) -> dict[str, Any]:
    """Reads a JSON object.

    Raises:
        DamagedFile: not a JSON object; the message says which `kind` of file it is.
        FileNotFoundError: no such file.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DamagedFile(f"{path}: damaged {kind} ({error}); delete its folder and run again") from error
    if not isinstance(value, dict):
        raise DamagedFile(f"{path}: damaged {kind} (not an object); delete its folder and run again")
    return value


def canonical(value: Any) -> str:
    """One text for one value: sorted keys, no spaces."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def address_of(value: Any) -> str:
    """SHA-256 of the canonical text, 64 hexadecimal digits."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()


def file_hash(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
