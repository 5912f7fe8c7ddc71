"""The cache of decoded images: the same bits, never a stale one, and no harm where it cannot be written."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from learngene_bench.contracts.dataset import Splits
from learngene_bench.data import decoded_cache
from learngene_bench.data.batch_augment import DeviceImages, Normalization
from learngene_bench.data.splits import Images
from learngene_bench.plugins.registry import dataset
from learngene_bench.tasks.datasets import arrays


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, where files just made count as settled."""
    monkeypatch.setenv(decoded_cache.VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setattr(decoded_cache, "SETTLED", -60.0)
    return tmp_path / "cache" / "decoded"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Two classes of noise, uncompressed so that other pixels make no other size."""
    random = np.random.default_rng(0)
    for split, count in (("train", 8), ("val", 3)):
        for name in ("ant", "bee"):
            folder = tmp_path / "tree" / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                save(folder / f"{number}.bmp", random)
    return tmp_path / "tree"


def save(path: Path, random: np.random.Generator) -> None:
    Image.fromarray(random.integers(0, 256, (9, 8, 3), dtype=np.uint8)).save(path)


def load(tree: Path, **options: object) -> Splits:
    return dataset({"name": "imagefolder", "root": str(tree), "image_size": 6, **options}).load()


def bits(splits: Splits) -> list[bytes]:
    return [
        part
        for split in (splits.train, splits.validation, splits.test)
        for part in (split.images.tobytes(), split.labels.tobytes())
    ] + [repr((splits.mean, splits.std)).encode()]


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Records how many images each call decodes."""
    counts: list[int] = []
    decode_all = arrays.decode_all

    def counting(paths: list[Path], square: arrays.Square) -> object:
        counts.append(len(paths))
        return decode_all(paths, square)

    monkeypatch.setattr(arrays, "decode_all", counting)
    return counts


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files whose bytes were hashed."""
    paths: list[Path] = []
    content = decoded_cache._content

    def noting(files: list[Path], how: str) -> str:
        paths.extend(files)
        return content(files, how)

    monkeypatch.setattr(decoded_cache, "_content", noting)
    return paths


def test_the_second_time_nothing_is_decoded_or_read_and_the_bits_are_the_same(
    tree: Path, cache: Path, decoded: list[int], read: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = bits(load(tree))
    assert (decoded, len(read)) == ([14, 2, 6], 22)
    assert bits(load(tree)) == first
    assert (decoded, len(read)) == ([14, 2, 6], 22)
    monkeypatch.setenv(decoded_cache.VARIABLE, "")
    assert bits(load(tree)) == first, "without a cache"
    assert decoded == [14, 2, 6, 14, 2, 6]
    assert sorted(path.suffix for path in cache.iterdir()) == [".content"] * 3 + [".npy"] * 3


def test_other_settings_are_other_entries(tree: Path, cache: Path, decoded: list[int]) -> None:
    for options in ({}, {"channels": 1}, {"image_size": 5}, {"validation_fraction": 0.5}):
        before = bits(load(tree, **options))
        assert bits(load(tree, **options)) == before
    assert decoded == [14, 2, 6] * 3 + [8, 8]


def rewrite(path: Path) -> None:
    """Other pixels, of the same size and date."""
    status = path.stat()
    save(path, np.random.default_rng(1))
    assert path.stat().st_size == status.st_size
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def copy_and_put_back(tree: Path) -> None:
    copy = shutil.copytree(tree, tree.with_name("copy"))
    shutil.rmtree(tree)
    copy.rename(tree)


CHANGES: dict[str, tuple[Callable[[Path], object], list[int]]] = {
    "an edit that keeps size and date": (lambda tree: rewrite(tree / "train/ant/3.bmp"), [14]),
    "another order": (lambda tree: (tree / "val/ant/0.bmp").rename(tree / "val/ant/9.bmp"), [6]),
    "only touched": (lambda tree: (tree / "train/ant/3.bmp").touch(), []),
    "copied and put back": (
        lambda tree: (
            shutil.copytree(tree, tree.with_name("copy")),
            shutil.rmtree(tree),
            tree.with_name("copy").rename(tree),
        ),
        [],
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_files_count_by_their_content(change: str, tree: Path, cache: Path, decoded: list[int]) -> None:
    load(tree)
    decoded.clear()
    time.sleep(0.02)  # a tick of the file system's clock
    act, expected = CHANGES[change]
    act(tree)
    after = bits(load(tree))
    assert decoded == expected
    shutil.rmtree(cache)
    assert bits(load(tree)) == after


def test_files_just_changed_are_read_again_each_time(
    tree: Path, cache: Path, decoded: list[int], read: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoded_cache, "SETTLED", 60.0)
    first = bits(load(tree))
    assert bits(load(tree)) == first
    assert (decoded, len(read)) == ([14, 2, 6], 44)


def test_files_changed_while_they_are_decoded_are_not_kept(
    tree: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decode_all = arrays.decode_all

    def and_edit(paths: list[Path], square: arrays.Square) -> object:
        time.sleep(0.02)
        rewrite(paths[0])
        return decode_all(paths, square)

    monkeypatch.setattr(arrays, "decode_all", and_edit)
    load(tree)
    assert not cache.exists()


def zeroed(content: bytes) -> bytes:
    """An entry as a loss of power may leave it: as long as it was, but its pixels never came to the disk."""
    return content[:128] + bytes(len(content) - 128)


def unchecked(content: bytes) -> bytes:
    """An entry as earlier versions left it: an array without a checksum."""
    return content[:-32]


@pytest.mark.parametrize("damage", [lambda _: b"", lambda _: b"no array", lambda c: c[:-1], zeroed, unchecked])
def test_damaged_entries_are_made_again(
    damage: Callable[[bytes], bytes], tree: Path, cache: Path, decoded: list[int]
) -> None:
    first = bits(load(tree))
    for entry in cache.glob("*.npy"):
        entry.write_bytes(damage(entry.read_bytes()))
    assert bits(load(tree)) == first
    assert decoded == [14, 2, 6] * 2
    assert bits(load(tree)) == first
    assert decoded == [14, 2, 6] * 2


def test_a_cache_that_cannot_be_written_costs_a_warning(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(decoded_cache.VARIABLE, "")
    expected = bits(load(tree))
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv(decoded_cache.VARIABLE, str(tmp_path / "file"))
    with pytest.warns(UserWarning, match=r"decoded images are not kept .*file/decoded/.*: cannot be written"):
        assert bits(load(tree)) == expected


PROGRAM = """
import hashlib, resource, sys, warnings
from learngene_bench.plugins.registry import dataset
if len(sys.argv) > 2:
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)  # writes fail as on a full disk
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    splits = dataset({"name": "imagefolder", "root": sys.argv[1], "image_size": 64}).load()
digest = hashlib.sha256(splits.train.images.tobytes() + splits.test.images.tobytes()).hexdigest()
print(digest, *(str(warning.message) for warning in caught))
"""


def started(tree: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", PROGRAM, str(tree), *arguments], stdout=subprocess.PIPE, text=True)


def test_a_full_disk_leaves_no_part_of_an_entry(tree: Path, cache: Path) -> None:
    output, _ = started(tree, "1000").communicate()
    assert "cannot be written: File too large" in output
    assert [path for path in cache.iterdir() if path.suffix != ".content"] == []
    after, _ = started(tree).communicate()
    assert after.split() == output.split()[:1]


def test_processes_that_start_together_leave_one_whole_entry_each(tree: Path, cache: Path) -> None:
    outputs = {process.communicate()[0] for process in [started(tree) for _ in range(4)]}
    assert len(outputs) == 1
    assert sorted(path.suffix for path in cache.iterdir() if path.suffix != ".content") == [".npy"] * 3
    assert {started(tree).communicate()[0]} == outputs


def test_torch_takes_the_file_as_it_lies_and_cannot_change_it(tree: Path, cache: Path) -> None:
    load(tree)
    entries = {path: path.read_bytes() for path in cache.iterdir()}
    train = load(tree).train
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = DeviceImages(train, Normalization((0.0,) * 3, (1.0,) * 3), torch.device("cpu"))
    assert data.images.data_ptr() == train.images.ctypes.data
    assert "cache/decoded" in Path("/proc/self/maps").read_text()
    data.images.zero_()
    assert not train.images.any()
    assert {path: path.read_bytes() for path in cache.iterdir()} == entries
    assert isinstance(train, Images)
    assert type(train.images) is np.ndarray


def test_where_the_cache_lies(monkeypatch: pytest.MonkeyPatch) -> None:
    for variables, expected in (
        ({"LGBENCH_CACHE": "~/here"}, Path.home() / "here" / "decoded"),
        ({"XDG_CACHE_HOME": "/there"}, Path("/there/learngene-bench/decoded")),
        ({}, Path.home() / ".cache" / "learngene-bench" / "decoded"),
    ):
        for name in ("LGBENCH_CACHE", "XDG_CACHE_HOME"):
            monkeypatch.delenv(name, raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        assert decoded_cache.cache_folder() == expected
    monkeypatch.setenv("LGBENCH_CACHE", "~nobody-of-this-name/cache")
    assert decoded_cache.cache_folder() is None
