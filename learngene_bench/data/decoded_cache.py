"""Keeps arrays made from files for the next process, so that decoded images come as fast as the disk reads.

    CACHE/decoded/CONTENT.npy     an array and its checksum; mapped into memory, so that processes of a machine share it
    CACHE/decoded/STAMP.content   the CONTENT that some files had when they were last read

CONTENT is a hash of every byte of the files, in their order, and of how the array is made from them. Any change makes
another entry, and the same files anywhere share one. `joblib.Memory`, or an entry named by path, size, inode and times
alone, would be shorter. But jobs of a cluster copy their data to a local disk first, where all four are new each time:
every job would decode again, and leave another entry of gigabytes.

Reading all files only to learn that none has changed costs about as much as reading them, so it is done once. After
that, files whose path, size, inode and times of change are as they were count as unchanged, as git counts them. The
system sets one of these times (ctime) at every write, and no ordinary program can set it back, so an edit that keeps a
file's size and date is noticed too. Files changed within the last seconds get no stamp, as the next change might fall
into the same tick of the clock.

Entries are written whole or not at all, and wait for the disk before they have their name. An array is believed only if
the checksum behind it is its own: after a loss of power a file may be as long as it was and hold zeros. No process
waits for another: of several that start together without an entry each makes the array and leaves the same bytes. File
locks are not used: on network file systems they fail in ways that differ from site to site. A cache that cannot be
written to costs a warning and the time it would have saved.
"""

from __future__ import annotations

import hashlib
import math
import os
import re
import time
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from learngene_bench.util.errors import UserError
from learngene_bench.util.files import address_of, open_file, read_bytes, readable, write_text, write_whole
from learngene_bench.util.lazy import np

if TYPE_CHECKING:
    from numpy.typing import NDArray

VARIABLE = "LGBENCH_CACHE"
"""Environment variable that names the folder of the cache; empty for no cache."""
LARGEST = 4 * 10**9
"""Largest array that is kept, in bytes: a home folder is not for larger ones."""
SETTLED = 2.0
"""Seconds without a change after which the times of a file are trusted; more than a tick of any file system."""
READERS = 8
PIECE = 1 << 26
"""Bytes that one thread hashes at a time."""
DIGEST_BYTES = 32


def cache_folder() -> Path | None:
    """Returns the folder of the cache; None if it is switched off, or if the user has no home folder."""
    given = os.environ.get(VARIABLE)
    if given == "":
        return None
    base = given or os.path.join(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "learngene-bench")
    folder = os.path.expanduser(base)
    return None if folder.startswith("~") else Path(folder) / "decoded"


def cached_array(
    files: Sequence[Path], how: str, shape: tuple[int, ...], make: Callable[[], NDArray[np.uint8]]
) -> NDArray[np.uint8]:
    """Returns the array that `make` makes, uint8 of this shape; takes it from the cache if it was made before.

    Args:
        files: all that the array is made from, in the order that it depends on.
        how: all else that decides it: settings, versions of libraries.

    Returns:
        An array that may be written to: of an array in the cache, changes stay with the process.

    Raises:
        UserError: a file cannot be read, or what `make` raises.
    """
    folder = cache_folder()
    if folder is None or math.prod(shape) > LARGEST:
        return make()
    stamp, settled = _stamp(files, how)
    known = folder / f"{stamp}.content"
    entry = folder / f"{_known_content(known) or _content(files, how)}.npy"
    array = _mapped(entry, shape)
    if array is None:
        array = make()
        if _stamp(files, how)[0] != stamp:
            return array  # changed while it was read: which bytes it was made from is not known
        if not _written(lambda: _write(entry, array)):
            return array
    if settled and not known.exists():
        _written(lambda: write_text(known, entry.stem))
    return array


def _written(write: Callable[[], object]) -> bool:
    """Writes to the cache and returns True; warns and returns False if that fails."""
    try:
        write()
    except UserError as error:
        warnings.warn(f"decoded images are not kept and will be decoded again: {error}", stacklevel=3)
        return False
    return True


def _stamp(files: Sequence[Path], how: str) -> tuple[str, bool]:
    """Returns a hash of the files' paths, sizes and times, and True if the times can be trusted yet."""
    digest, newest, here = hashlib.sha256(how.encode()), 0, os.getcwd()
    try:
        for path in files:
            found = os.stat(path)
            newest = max(newest, found.st_mtime_ns, found.st_ctime_ns)
            line = (
                f"{os.path.join(here, path)}\0{found.st_size} {found.st_ino} {found.st_mtime_ns} {found.st_ctime_ns}\n"
            )
            digest.update(line.encode("utf-8", "surrogateescape"))
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error
    return digest.hexdigest(), newest < (time.time() - SETTLED) * 1e9


def _known_content(known: Path) -> str | None:
    """Returns the content that belongs to a stamp; None if none is known, or the file holds something else."""
    try:
        content = read_bytes(known).decode("ascii")
    except (OSError, UnicodeDecodeError):
        return None
    return content if re.fullmatch("[0-9a-f]{64}", content) else None


def _content(files: Sequence[Path], how: str) -> str:
    """Returns a hash of every byte of the files. Reads them all."""

    def hashed(path: Path) -> str:
        with readable(path), open(path, "rb", buffering=0) as stream:
            return hashlib.sha256(stream.read()).hexdigest()

    with ThreadPoolExecutor(READERS) as pool:
        return address_of([how, list(pool.map(hashed, files))])


def _mapped(entry: Path, shape: tuple[int, ...]) -> NDArray[np.uint8] | None:
    """Maps an entry into memory; None if there is none, or it is damaged.

    Mapped copy-on-write: torch takes it without a copy or a complaint, and writes to it stay in memory.
    """
    try:
        with open_file(entry) as stream:
            stream.seek(-DIGEST_BYTES, os.SEEK_END)
            digest = stream.read()
        array = np.asarray(np.load(entry, mmap_mode="c", allow_pickle=False))
    except (OSError, ValueError, EOFError):
        return None
    if array.shape != shape or array.dtype != np.uint8:
        return None
    return array if _digest(array) == digest else None


def _digest(array: NDArray[np.uint8]) -> bytes:
    """Returns a hash of a contiguous array's bytes; several threads read it, as fast as the disk gives it."""
    flat = array.reshape(-1)
    pieces = [flat[start : start + PIECE].data for start in range(0, len(flat), PIECE)]
    with ThreadPoolExecutor(READERS) as pool:
        return hashlib.sha256(b"".join(pool.map(lambda piece: hashlib.sha256(piece).digest(), pieces))).digest()


def _write(entry: Path, array: NDArray[np.uint8]) -> None:
    array = np.ascontiguousarray(array)

    def write(temporary: Path) -> None:
        with temporary.open("wb") as stream:
            np.lib.format.write_array_header_1_0(stream, np.lib.format.header_data_from_array_1_0(array))
            stream.write(array.data)  # numpy's own way says of a full disk only how many bytes are missing
            stream.write(_digest(array))

    write_whole(entry, write)
