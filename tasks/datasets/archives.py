"""Downloads archives with a checksum, continues where a download stopped, and unpacks completely or not at all.

Continuing is a promise of `lgbench data prepare`: iNaturalist 2019 is 74 GB, and connections end. torchvision's
`download_url` and pooch, which have the rest, start again from the first byte.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import shutil
import tarfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO, TypeVar

from learngene_bench.contracts.dataset import ProgressCallback
from learngene_bench.util.errors import Faults, UserError, one_line
from learngene_bench.util.files import readable, remove_leftovers, temporary_beside, unwritable
from learngene_bench.util.locks import exclusively

T = TypeVar("T")

CHUNK = 1 << 20
TIMEOUT = 30.0
"""Seconds to wait for the next bytes from a server."""


def silent(what: str, done: int, total: int) -> None:
    """Reports nothing."""


@dataclass(frozen=True)
class Archive:
    """A published file.

    Attributes:
        checksum: algorithm of hashlib and digest, `md5:...`: the best of those that are published.
        place: path of the downloaded file within the root.
        member: file or folder at the top of the archive that is unpacked; None if the file is used as it is.
        becomes: path of the unpacked member within the root.
    """

    url: str
    checksum: str
    place: str
    member: str | None = None
    becomes: str | None = None

    def fetch(self, root: Path, progress: ProgressCallback) -> list[str]:
        """Downloads and unpacks the archive below `root`; leaves what is already there.

        Returns:
            Lines that say what was done or found.

        Raises:
            UserError: no network, a wrong checksum, a file that is no archive, a full disk, another process at it.
        """
        if self.target(root).exists():
            return self._fetch(root, progress)
        try:
            root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise unwritable(root, error) from error
        with exclusively(root, wait=0):
            return self._fetch(root, progress)

    def _fetch(self, root: Path, progress: ProgressCallback) -> list[str]:
        target = self.target(root)
        if target.exists():
            if self.member is None:
                self.check(root, progress)
            return [f"{target}: there already"]
        done = self._downloaded(root, progress)
        if self.member is not None:
            _unpack(root / self.place, self.member, target, progress)
            done.append(f"{target}: unpacked")
        return done

    def fetch_again(self, root: Path, progress: ProgressCallback) -> list[str]:
        """Unpacks the archive in the place of what is there, which is kept under another name; see `fetch`."""
        assert self.member is not None, "a file that is used as it is has a checksum"
        with exclusively(root, wait=0):
            target, done = self.target(root), self._downloaded(root, progress)
            kept = target.with_name(f"{target.name}.incomplete")
            while kept.exists():
                kept = kept.with_name(f"{kept.name}-")
            try:
                target.rename(kept)
            except OSError as error:
                raise unwritable(kept, error) from error
            try:
                _unpack(root / self.place, self.member, target, progress)
            except BaseException:
                if not target.exists():
                    kept.rename(target)
                raise
        return [*done, f"{target}: was incomplete and is unpacked anew; what was there is kept as {kept}"]

    def target(self, root: Path) -> Path:
        """Returns where the file or the unpacked folder lies."""
        return root / (self.becomes or self.place)

    def _downloaded(self, root: Path, progress: ProgressCallback) -> list[str]:
        """Downloads the archive if it is not there, and checks it."""
        path, done = root / self.place, []
        if not path.is_file():
            _download(self, path, progress)
            done.append(f"{path}: downloaded from {self.url}")
        self.check(root, progress)
        return done

    def check(self, root: Path, progress: ProgressCallback = silent) -> None:
        """Raises `UserError` if the file has another checksum than its authors'."""
        path = root / self.place
        algorithm, expected = self.checksum.split(":")
        found = _digest(path, algorithm, progress)
        if found != expected:
            raise UserError(
                f"{path}: its {algorithm.upper()} checksum is {found}, not {expected}: damaged, incomplete or another"
                " file; move it away and run again"
            )


def fetch_all(
    archives: Sequence[Archive], root: Path, progress: ProgressCallback, read: Callable[[], T]
) -> tuple[list[str], T]:
    """Fetches archives, and those again whose folder was there already and is not complete.

    Args:
        read: reads what was unpacked; raises `UserError` if something is missing.

    Returns:
        Lines that say what was done or found, and what was read.

    Raises:
        UserError: see `Archive.fetch`; or something is missing all the same.
    """
    there = [archive for archive in archives if archive.member is not None and archive.target(root).exists()]
    done = [line for archive in archives for line in archive.fetch(root, progress)]
    while True:
        try:
            return done, read()
        except UserError as error:
            if not there:
                raise
            incomplete = str(error)
        # The one that the error names first.
        there.sort(key=lambda archive: str(archive.target(root)) in incomplete)
        try:
            done += there.pop().fetch_again(root, progress)
        except UserError as error:
            raise UserError(f"{incomplete} (incomplete: it must be unpacked again; {error})") from error


def checked(archives: Sequence[Archive], root: Path, progress: ProgressCallback, faults: Faults) -> list[str]:
    """Checks the archives that are still below `root`, and says which are not; adds what is wrong to the faults."""
    found = []
    for archive in archives:
        path = root / archive.place
        if path.is_file():
            with faults.collected():
                archive.check(root, progress)
                found.append(f"{path}: its checksum is right")
        else:
            found.append(f"{path}: not kept, so its checksum cannot be checked")
    return found


def _digest(path: Path, algorithm: str, progress: ProgressCallback) -> str:
    digest, done = hashlib.new(algorithm, usedforsecurity=False), 0
    with readable(path), path.open("rb") as stream:
        total = os.fstat(stream.fileno()).st_size
        while piece := stream.read(CHUNK):
            digest.update(piece)
            done += len(piece)
            progress(f"checking {path.name}", done, total)
    return digest.hexdigest()


def _download(archive: Archive, path: Path, progress: ProgressCallback) -> None:
    """Downloads to `NAME.part` first; a later call continues there."""
    part = path.with_name(f"{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(part, "ab", opener=_not_a_link) as stream:
                _receive(archive, path, stream, partial(progress, f"downloading {path.name}"))
                stream.flush()
                os.fsync(stream.fileno())
        finally:
            with suppress(OSError):
                if not part.stat().st_size:
                    part.unlink()
        os.replace(part, path)
    except OSError as error:
        raise unwritable(path, error) from error


def _not_a_link(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW, 0o666)


def _receive(archive: Archive, path: Path, stream: BinaryIO, report: partial[object]) -> None:
    done = stream.tell()
    request = urllib.request.Request(archive.url, headers={"User-Agent": "learngene-bench"})
    if done:
        request.add_header("Range", f"bytes={done}-")
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as response:
            if response.status != http.client.PARTIAL_CONTENT and done:  # the server knows no ranges
                stream.truncate(0)
                done = 0
            total = done + int(response.headers.get("Content-Length") or 0)
            while piece := response.read(CHUNK):
                _append(stream, path, piece)
                done += len(piece)
                report(done, max(total, done))
    except urllib.error.HTTPError as error:
        if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
            return  # all was there already; if it was not, the checksum says so
        raise _download_error(archive, path, done, f"the server answers {error.code} {error.reason}") from error
    except _WriteError as error:
        raise unwritable(path, error.reason) from error
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise _download_error(archive, path, done, str(reason) or type(error).__name__) from error
    if total > done:
        raise _download_error(archive, path, done, f"the connection ended after {done} of {total} bytes")


class _WriteError(Exception):
    """A full disk, as opposed to a lost connection."""

    def __init__(self, reason: OSError) -> None:
        self.reason = reason


def _append(stream: BinaryIO, path: Path, piece: bytes) -> None:
    try:
        stream.write(piece)
    except OSError as error:
        raise _WriteError(error) from error


def _download_error(archive: Archive, path: Path, done: int, reason: str) -> UserError:
    again = "run again to continue" if done else "run again with a network"
    algorithm, expected = archive.checksum.split(":")
    return UserError(
        f"{archive.url}: cannot be downloaded: {' '.join(reason.split())}; {again}, or put the file at {path} yourself"
        f" ({algorithm.upper()} {expected})"
    )


def _unpack(path: Path, member: str, target: Path, progress: ProgressCallback) -> None:
    """Extracts a file or folder of an archive under a temporary name, then renames it, so that it is complete."""
    aside = temporary_beside(target, "unpacking")
    remove_leftovers(target.parent)
    try:
        aside.mkdir(parents=True)
        _extract(path, aside, progress)
        if not (aside / member).exists():
            raise UserError(f"{path}: no {member} in it")
        os.sync()  # a name that is there after a loss of power, but not what it names, would be believed
        os.replace(aside / member, target)
    except OSError as error:
        raise unwritable(target, error) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _extract(path: Path, folder: Path, progress: ProgressCallback) -> None:
    try:
        (_unzip if path.suffix == ".zip" else _untar)(path, folder, progress)
    except UserError:
        raise
    # Damaged and hostile archives raise errors of every library that unpacks something, and a few of Python's own.
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:  # of the disk, not of the archive
            raise
        raise UserError(f"{path}: cannot be unpacked: {one_line(error)}") from error


def _untar(path: Path, folder: Path, progress: ProgressCallback) -> None:
    total = path.stat().st_size
    with path.open("rb") as stream, tarfile.open(fileobj=stream) as archive:
        for entry in archive:
            archive.extract(entry, folder, filter="data")
            progress(f"unpacking {path.name}", stream.tell(), total)


def _unzip(path: Path, folder: Path, progress: ProgressCallback) -> None:
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        for done, entry in enumerate(entries, start=1):
            archive.extract(entry, folder)
            progress(f"unpacking {path.name}", done, len(entries))
