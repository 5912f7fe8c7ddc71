"""Downloads from a real server, whole or interrupted, and archives that are not what they should be."""

from __future__ import annotations

import hashlib
import http.server
import io
import os
import re
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from official_layouts import make

from learngene_bench.cli.main import run_command
from learngene_bench.contracts.dataset import DATASETS
from learngene_bench.tasks.datasets.archives import Archive, silent
from learngene_bench.util.errors import UserError
from learngene_bench.util.locks import exclusively
from learngene_bench.util.processes import process_tag

CONTENT = bytes(range(256)) * 4000


class Server(http.server.ThreadingHTTPServer):
    """Serves CONTENT at any address but /missing; may break off, and may know no ranges."""

    break_after: int | None = None
    ranges = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[str | None] = []


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.server.asked.append(wanted)
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and self.server.ranges else 0
        if self.path == "/missing":
            return self.send_error(404)
        if start >= len(CONTENT):
            return self.send_error(416)
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(CONTENT) - start))
        self.end_headers()
        self.wfile.write(CONTENT[start : self.server.break_after])

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def archive_at(server: Server, path: str = "/file.bin", checksum: str = "md5") -> Archive:
    """An archive whose checksum is right where only an algorithm is given."""
    known = checksum if ":" in checksum else f"{checksum}:{hashlib.new(checksum, CONTENT).hexdigest()}"
    return Archive(f"http://127.0.0.1:{server.server_port}{path}", known, "folder/file.bin")


def test_two_at_once_do_not_write_into_one_file(server: Server, tmp_path: Path) -> None:
    with exclusively(tmp_path, wait=0), pytest.raises(UserError, match=rf"process {os.getpid()} on .* is changing it"):
        archive_at(server).fetch(tmp_path, silent)
    assert not list(tmp_path.iterdir())
    archive_at(server).fetch(tmp_path, silent)
    with exclusively(tmp_path, wait=0):  # where all is there, nothing is changed
        assert archive_at(server).fetch(tmp_path, silent) == [f"{tmp_path / 'folder/file.bin'}: there already"]


def test_what_a_killed_process_unpacked_is_removed_and_a_link_is_not_followed(server: Server, tmp_path: Path) -> None:
    packed = tmp_path / "a.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("member/x", "x")
    checksum = f"md5:{hashlib.md5(packed.read_bytes()).hexdigest()}"
    tag = f"{process_tag().split('-')[0]}-999999999-1"
    (tmp_path / f".becomes.{tag}.abcdef01.unpacking" / "half").mkdir(parents=True)
    Archive("http://nowhere", checksum, "a.zip", "member", "becomes").fetch(tmp_path, silent)
    assert {path.name for path in tmp_path.iterdir()} == {"a.zip", "becomes"}
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file.bin.part").symlink_to(victim)
    with pytest.raises(UserError, match="cannot be written"):
        archive_at(server).fetch(tmp_path, silent)
    assert victim.read_text() == "precious"


@pytest.mark.parametrize("fault", ["method", "encrypted", "member", "nested"])
def test_an_archive_of_any_other_kind_is_one_line(tmp_path: Path, fault: str) -> None:
    packed = tmp_path / "a.zip"
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("member/x" if fault != "nested" else "member/" + "d/" * 3000 + "x", "x" * 1000)
    content = bytearray(packed.read_bytes())
    entry, record = content.index(b"PK\x03\x04"), content.index(b"PK\x01\x02")
    if fault == "method":
        content[entry + 8] = content[record + 10] = 97  # a compression that Python does not know
    elif fault == "encrypted":
        content[entry + 6] |= 1
        content[record + 8] |= 1
    elif fault == "member":
        start = entry + 30 + len("member/x")
        content[start : start + 20] = bytes(20)
    packed.write_bytes(content)
    checksum = f"md5:{hashlib.md5(content).hexdigest()}"
    with pytest.raises(UserError, match=r"a\.zip: cannot be unpacked|becomes: cannot be written: File name too long"):
        Archive("http://nowhere", checksum, "a.zip", "member", "becomes").fetch(tmp_path, silent)
    assert [path.name for path in tmp_path.iterdir()] == ["a.zip"]


def test_a_download_tells_how_far_it_is(server: Server, tmp_path: Path) -> None:
    told: dict[str, list[tuple[int, int]]] = {}
    archive_at(server).fetch(tmp_path, lambda what, done, total: told.setdefault(what, []).append((done, total)))
    assert (tmp_path / "folder" / "file.bin").read_bytes() == CONTENT
    assert list(told) == ["downloading file.bin", "checking file.bin"]
    for steps in told.values():
        assert steps[-1] == (len(CONTENT), len(CONTENT))
        assert steps == sorted(steps)


@pytest.mark.parametrize("ranges", [True, False])
def test_a_download_that_broke_off_continues(ranges: bool, server: Server, tmp_path: Path) -> None:
    server.break_after = 300_000
    with pytest.raises(UserError, match=r"cannot be downloaded: .*300000 .*; run again to continue, or put"):
        archive_at(server).fetch(tmp_path, silent)
    assert not (tmp_path / "folder" / "file.bin").exists()
    server.break_after, server.ranges = None, ranges
    archive_at(server).fetch(tmp_path, silent)
    assert (tmp_path / "folder" / "file.bin").read_bytes() == CONTENT
    assert server.asked == [None, "bytes=300000-"]
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["file.bin"]


def test_a_download_that_was_killed_before_its_last_step_is_only_finished(server: Server, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file.bin.part").write_bytes(CONTENT)
    archive_at(server).fetch(tmp_path, silent)
    assert (tmp_path / "folder" / "file.bin").read_bytes() == CONTENT


def test_another_checksum_and_a_missing_file(server: Server, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"404 Not Found; run again with a network, or put the file at .*file\.bin"):
        archive_at(server, "/missing").fetch(tmp_path, silent)
    assert list((tmp_path / "folder").iterdir()) == []
    for _ in range(2):  # it is not downloaded again and again
        with pytest.raises(UserError, match=rf"^{tmp_path}/folder/file\.bin: its MD5 checksum is .*, not 00: damaged"):
            archive_at(server, checksum="md5:00").fetch(tmp_path, silent)
    assert server.asked == [None, None]


@pytest.mark.parametrize("algorithm", ["sha1", "sha256"])
def test_the_algorithm_of_a_checksum_is_the_one_that_was_published(
    algorithm: str, server: Server, tmp_path: Path
) -> None:
    archive_at(server, checksum=algorithm).fetch(tmp_path, silent)
    with pytest.raises(UserError, match=rf"file\.bin: its {algorithm.upper()} checksum is [0-9a-f]+, not 00: damaged"):
        archive_at(server, checksum=f"{algorithm}:00").fetch(tmp_path, silent)


@pytest.mark.parametrize("name", ["cifar10", "flowers102", "cub200", "food101", "inat2019", "tiny-imagenet"])
def test_without_a_network_one_line_says_what_to_put_where(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kind = DATASETS.get(name)
    first, *others = kind.archives  # type: ignore[attr-defined]
    refused = replace(first, url="http://127.0.0.1:9/archive")  # nobody listens there
    monkeypatch.setattr(kind, "archives", (refused, *others))
    assert run_command(["data", "prepare", name, "--root", str(tmp_path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line == (
        "lgbench: http://127.0.0.1:9/archive: cannot be downloaded: [Errno 111] Connection refused; run again with a"
        f" network, or put the file at {tmp_path / first.place} yourself (MD5 {first.checksum.removeprefix('md5:')})"
    )
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def tar(names: list[str]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name in names:
            entry = tarfile.TarInfo(name)
            entry.size = 40_000
            archive.addfile(entry, io.BytesIO(hashlib.sha512(name.encode()).digest() * 625))
    return stream.getvalue()


def zipped(names: list[str]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name in names:
            archive.writestr(name, hashlib.sha512(name.encode()).digest())
    return stream.getvalue()


BAD = {
    "no archive": ("a.tgz", b"text" * 1000, "cannot be unpacked: "),
    "no zip": ("a.zip", b"text" * 1000, "cannot be unpacked: BadZipFile: File is not a zip file"),
    "cut off": ("a.tgz", tar(["top/1", "top/2", "top/3"])[:-400], "cannot be unpacked: "),
    "cut-off zip": ("a.zip", zipped(["top/1", "top/2"])[:-30], "cannot be unpacked: "),
    "others": ("a.tgz", tar(["other/1"]), "no top in it"),
    "out of the folder": ("a.tgz", tar(["top/1", "../evil"]), "cannot be unpacked: "),
}


@pytest.mark.parametrize("bad", BAD)
def test_an_unreadable_archive_is_named_and_leaves_nothing(bad: str, tmp_path: Path) -> None:
    name, content, message = BAD[bad]
    root = tmp_path / "root"
    root.mkdir()
    (root / name).write_bytes(content)
    archive = Archive(
        "http://127.0.0.1:9/", f"md5:{hashlib.md5(content).hexdigest()}", name, member="top", becomes="there"
    )
    with pytest.raises(UserError, match=f"^{re.escape(str(root / name))}: {message}") as raised:
        archive.fetch(root, silent)
    assert "\n" not in str(raised.value)
    assert [path.name for path in root.iterdir()] == [name]
    assert [path.name for path in tmp_path.iterdir()] == ["root"]


def test_an_archive_is_taken_from_where_a_person_put_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make("tiny-imagenet", tmp_path / "made", monkeypatch)
    kind = DATASETS.get("tiny-imagenet")
    (archive,) = kind.archives  # type: ignore[attr-defined]
    path = tmp_path / "root" / archive.place
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as packed:
        for file in sorted((tmp_path / "made").rglob("*")):
            packed.write(file, file.relative_to(tmp_path / "made"))
    own = replace(archive, url="http://127.0.0.1:9/", checksum=f"md5:{hashlib.md5(path.read_bytes()).hexdigest()}")
    monkeypatch.setattr(kind, "archives", (own,))
    assert run_command(["data", "prepare", "tiny-imagenet", "--root", str(tmp_path / "root")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "tiny-imagenet: 15 training and 6 test images"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["prepare", "cifar"], "unknown data set 'cifar': did you mean 'cifar10'"),
        (["verify", "digits", "--root", "here"], "--root: digits comes with the suite and lies nowhere else"),
        (["verify", "cifar10", "--set", "size=3"], "data (cifar10): unknown key 'size'"),
        (["prepare", "imagefolder"], "data (imagefolder): root and image_size are missing"),
        (["verify", "imagenet", "--root", "nowhere"], "nowhere: no such folder"),
    ],
)
def test_mistakes_on_the_command_line(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["data", *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"lgbench: {message}")


def test_embedded_data_are_verified_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["data", "prepare", "shapes"]) == 0
    assert run_command(["data", "verify", "shapes", "--set", "placements=1"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "shapes: nothing is to be downloaded",
        "shapes: train: 800 images",
        "shapes: validation: 160 images",
        "shapes: test: 360 images",
    ]
