"""Reads and writes files: a file is written completely or not at all, and every error names the file.

A process that is killed while it writes leaves `.NAME.PROCESS.RANDOM.tmp` beside the file. The next process that writes
into the folder removes it.
"""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import re
import secrets
import shutil
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, TextIO

from learngene_bench.util.errors import UserError
from learngene_bench.util.processes import has_ended, process_tag

ABANDONED = 7 * 24 * 3600.0
"""Age in seconds of a temporary file of another machine, whose processes nobody here can see, that is a leftover."""


def write_whole(path: Path, write: Callable[[Path], object], *, durable: bool = True) -> None:
    """Writes a temporary file beside `path` and renames it, so that a reader sees the old content or the new one.

    Args:
        write: writes the content to the path that it is given.
        durable: if True, waits for the disk, so that the file survives a crash of the machine.

    Raises:
        UserError: The disk is full, or the folder cannot be written to.
    """
    temporary = temporary_beside(path, "tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _without_leftovers(path.parent, os.getpid())
        write(temporary)
        if durable:
            with temporary.open("rb+") as stream:
                os.fsync(stream.fileno())
        os.replace(temporary, path)
        if durable:
            _keep_name(path.parent)
    except OSError as error:
        raise unwritable(path, error) from error
    finally:
        with suppress(OSError):  # a disk that takes no file may not let one go either: the first error counts
            temporary.unlink(missing_ok=True)


def _keep_name(folder: Path) -> None:
    """Waits until the disk has a folder's new names; a file system that cannot do that keeps them its own way."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def temporary_beside(path: Path, kind: str) -> Path:
    """Names a temporary file or folder beside `path`, after the process that makes it: `.NAME.PROCESS.RANDOM.KIND`."""
    # Two machines that share a file system may have processes with the same number.
    return path.with_name(f".{path.name}.{process_tag()}.{secrets.token_hex(4)}.{kind}")


def remove_leftovers(folder: Path) -> None:
    """Removes the temporary files and folders in a folder whose process was killed; leaves those of others at work."""
    with suppress(OSError):
        for name in os.listdir(folder):
            match = re.fullmatch(r"\..+\.([0-9a-f]{8}-\d+-\d+)\.[0-9a-f]{8}\.(tmp|unpacking)", name)
            if match and _is_leftover(folder / name, match[1]):
                path = folder / name
                shutil.rmtree(path, ignore_errors=True) if match[2] == "unpacking" else path.unlink(missing_ok=True)


def _is_leftover(path: Path, tag: str) -> bool:
    ended = has_ended(tag)
    return time.time() - path.lstat().st_mtime > ABANDONED if ended is None else ended


@cache
def _without_leftovers(folder: Path, pid: int) -> None:
    """Removes leftovers once in a process's life: listing a folder at every write would cost more than writing."""
    remove_leftovers(folder)


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


def open_file(path: os.PathLike[str]) -> io.BufferedReader:
    """Opens a regular file for reading.

    Raises:
        OSError: it cannot be opened, or is something else: a pipe, for example, would keep its reader waiting for ever.
    """
    stream = os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb")
    if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
        stream.close()
        raise OSError(errno.EINVAL, "not a regular file", os.fspath(path))
    return stream


def open_log(path: Path) -> TextIO:
    """Opens a file to add text to its end; makes it if it is not there.

    Raises:
        UserError: it cannot be written, or is something else than a file, such as a link to one elsewhere.
    """
    try:
        descriptor = os.open(
            path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o666
        )
    except OSError as error:
        raise unwritable(path, error) from error
    return os.fdopen(descriptor, "a", encoding="utf-8")


def read_bytes(path: os.PathLike[str]) -> bytes:
    """Reads a regular file; errors are those of `open_file`."""
    with open_file(path) as stream:
        return stream.read()


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
    """Returns the SHA-256 of a file's content, 64 hexadecimal digits; errors are those of `open_file`."""
    with open_file(path) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
