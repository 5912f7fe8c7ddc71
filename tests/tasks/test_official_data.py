"""The paper's data sets: their counts without the data, their splits with it, and what is said of damaged data."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from official_layouts import CLASSES, MAKERS, TEST, TRAIN, make, members, number_of, opened, pack

from learngene_bench.cli.main import run_command
from learngene_bench.contracts.dataset import DATASETS
from learngene_bench.data.splits import ImageFiles, Images
from learngene_bench.plugins.registry import dataset
from learngene_bench.util.errors import UserError

TABLE_9 = {
    "flowers102": (102, 2040, 6149),
    "cub200": (200, 5994, 5794),
    "cars196": (196, 8144, 8041),
    "cifar10": (10, 50_000, 10_000),
    "cifar100": (100, 50_000, 10_000),
    "food101": (101, 75_750, 25_250),
    "inat2019": (1010, 265_213, 3030),
    "tiny-imagenet": (200, 100_000, 10_000),  # not in the table
}


def silent(what: str, done: int, total: int) -> None:
    assert 0 <= done <= total, what


@pytest.mark.parametrize("name", TABLE_9)
def test_counts_are_those_of_the_papers_table_and_known_without_the_data(name: str) -> None:
    classes, train, test = TABLE_9[name]
    facts = dataset({"name": name, "root": "nowhere"}).facts()
    assert (facts.classes, facts.train_images + facts.validation_images, facts.test_images) == (classes, train, test)
    assert 0.01 < facts.validation_images / train < 0.15
    everything = dataset({"name": name, "root": "nowhere", "validation_per_class": 0})
    assert everything.facts().train_images == train
    assert everything.fingerprint() != dataset({"name": name}).fingerprint()
    assert DATASETS.get(name).name == name  # type: ignore[attr-defined]


def test_the_names_are_those_of_the_published_table() -> None:
    from learngene_bench.results.tables import published

    assert {str(row["dataset"]) for row in published.table("transfer")} - {"average"} <= set(DATASETS.names())


def test_addresses_and_checksums_are_torchvisions() -> None:
    from torchvision.datasets import CIFAR10, CIFAR100, Flowers102, Food101
    from torchvision.datasets.inaturalist import DATASET_MD5, DATASET_URLS

    expected = {
        "flowers102": {(Flowers102._download_url_prefix + name, md5) for name, md5 in Flowers102._file_dict.values()},
        "food101": {(Food101._URL, Food101._MD5)},
        "cifar10": {(CIFAR10.url, CIFAR10.tgz_md5)},
        "cifar100": {(CIFAR100.url, CIFAR100.tgz_md5)},
        "inat2019": {(DATASET_URLS["2019"], DATASET_MD5["2019"])},
    }
    for name, known in expected.items():
        ours = {(archive.url, archive.checksum.removeprefix("md5:")) for archive in DATASETS.get(name).archives}  # type: ignore[attr-defined]
        assert known <= ours, name


def shown(split: Images | ImageFiles) -> dict[int, int]:
    """Label by number of the image."""
    assert isinstance(split, Images)
    assert split.images.shape == (len(split.labels), 3, 32, 32)
    assert (split.images[:, 1] == 255 - split.images[:, 0]).all()
    assert (split.images == split.images[:, :, :1, :1]).all()
    return dict(zip(split.images[:, 0, 0, 0].tolist(), split.labels.tolist(), strict=True))


@pytest.mark.parametrize("name", MAKERS)
def test_splits_and_labels_are_the_authors_and_validation_comes_from_training(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(name, tmp_path, monkeypatch)
    data = opened(name, tmp_path, validation_per_class=2)
    splits, facts = data.load(), data.facts()
    train, validation, test = (shown(split) for split in (splits.train, splits.validation, splits.test))
    expected = {split: {number_of(*m): m[1] for m in members() if m[0] == split} for split in ("train", "test")}
    assert {**train, **validation} == expected["train"]
    assert test == expected["test"]
    assert np.bincount(splits.validation.labels).tolist() == [2] * CLASSES
    sizes = (facts.train_images, facts.validation_images, facts.test_images)
    assert sizes == (len(train), len(validation), len(test)) == (CLASSES * (TRAIN - 2), CLASSES * 2, CLASSES * TEST)
    fewer = shown(opened(name, tmp_path).load().validation)
    assert fewer.items() < validation.items(), "one image of each class is one of its two"
    assert len(shown(opened(name, tmp_path, validation_per_class=0).load().train)) == CLASSES * TRAIN
    with pytest.raises(UserError, match="validation_per_class = 5 leaves no image of class 0 for training"):
        opened(name, tmp_path, validation_per_class=TRAIN).load()


@pytest.mark.parametrize("name", ["cifar10", "cifar100", "food101", "tiny-imagenet"])
def test_a_part_of_equal_classes_is_known_in_advance_and_within_the_whole(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(name, tmp_path, monkeypatch)
    part, whole = opened(name, tmp_path, classes=2, images_per_class=3), opened(name, tmp_path)
    splits, facts = part.load(), part.facts()
    assert (facts.classes, facts.train_images, facts.validation_images, facts.test_images) == (2, 4, 2, 2 * TEST)
    train, validation, test = (shown(split) for split in (splits.train, splits.validation, splits.test))
    assert (len(train), len(validation), len(test)) == (4, 2, 2 * TEST)
    expected = {split: {number_of(*m): m[1] for m in members() if m[0] == split} for split in ("train", "test")}
    assert {**train, **validation}.items() < expected["train"].items()
    assert test == {number: label for number, label in expected["test"].items() if label < 2}
    assert part.fingerprint() != whole.fingerprint()
    assert opened(name, tmp_path, classes=CLASSES, images_per_class=TRAIN).fingerprint() == whole.fingerprint()


@pytest.mark.parametrize("name", [name for name in MAKERS if name != "cars196"])
def test_preparing_downloads_unpacks_and_does_nothing_twice(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, root = tmp_path / "made", tmp_path / "root"
    make(name, made, monkeypatch)
    pack(name, made, tmp_path / "published", monkeypatch)
    done = opened(name, root).prepare(silent)
    assert done[-1] == f"{CLASSES * TRAIN} training and {CLASSES * TEST} test images"
    assert shown(opened(name, root).load().test) == shown(opened(name, made).load().test)
    files = {path: path.stat().st_ino for path in root.rglob("*")}
    again = opened(name, root).prepare(silent)
    assert all(line.endswith("there already") for line in again[:-1])
    assert {path: path.stat().st_ino for path in root.rglob("*")} == files
    assert not [path for path in files if path.name.startswith(".")]
    found = opened(name, root).verify(silent)
    checked = sum(line.endswith("its checksum is right") for line in found)
    assert checked == len(DATASETS.get(name).archives)  # type: ignore[attr-defined]
    assert any(line.startswith(f"test: {CLASSES * TEST} images of {CLASSES} classes") for line in found)


INCOMPLETE = {
    "flowers102": "flowers-102/jpg/image_00004.jpg",
    "cub200": "CUB_200_2011/classes.txt",
    "cifar100": "cifar-100-python/test",
    "food101": "food-101/meta",
    "inat2019": "2019/Birds/2",
    "tiny-imagenet": "tiny-imagenet-200/train/n02",
}


@pytest.mark.parametrize("name", INCOMPLETE)
def test_preparing_completes_what_was_unpacked_by_half_and_destroys_nothing(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, root = tmp_path / "made", tmp_path / "root"
    make(name, made, monkeypatch)
    pack(name, made, tmp_path / "published", monkeypatch)
    opened(name, root).prepare(silent)
    lacks = root / INCOMPLETE[name]
    shutil.rmtree(lacks) if lacks.is_dir() else lacks.unlink()
    (lacks.parent / "notes").write_text("mine")
    with pytest.raises(UserError):
        opened(name, root).load()
    done = opened(name, root).prepare(silent)
    (line,) = (line for line in done if "is kept as" in line)
    assert shown(opened(name, root).load().test) == shown(opened(name, made).load().test)
    kept = Path(line.rpartition("is kept as ")[2])
    assert (kept / (lacks.parent / "notes").relative_to(line.partition(": was incomplete")[0])).read_text() == "mine"


def test_what_cannot_be_completed_is_said_with_the_reason_and_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make("food101", tmp_path / "made", monkeypatch)
    pack("food101", tmp_path / "made", tmp_path / "published", monkeypatch)
    root = tmp_path / "root"
    opened("food101", root).prepare(silent)
    shutil.rmtree(root / "food-101/meta")
    (root / "food-101.tar.gz").unlink()
    for path in (tmp_path / "published").iterdir():
        path.unlink()
    with pytest.raises(UserError, match=r"food-101/meta/train.json: not there; .*incomplete: .* cannot be downloaded"):
        opened("food101", root).prepare(silent)
    assert (root / "food-101/images").is_dir()


@pytest.mark.parametrize("name", MAKERS)
def test_what_is_not_there_is_said_with_the_way_to_get_it(name: str, tmp_path: Path) -> None:
    way = "put the folders cars_train" if name == "cars196" else f"`lgbench data prepare {name} --root {tmp_path}`"
    for use in (lambda data: data.load(), lambda data: data.verify(silent)):
        with pytest.raises(UserError, match=f"^{re.escape(str(tmp_path))}.*: not there; .*{re.escape(way)}"):
            use(opened(name, tmp_path))


Change = Callable[[Path], object]


def remove(path: str) -> Change:
    return lambda root: (root / path).unlink()


def write(path: str, content: str) -> Change:
    return lambda root: (root / path).write_text(content)


def replace_in(path: str, old: str, new: str) -> Change:
    def change(root: Path) -> None:
        text = (root / path).read_text()
        assert old in text
        (root / path).write_text(text.replace(old, new, 1))

    return change


def truncate(path: str) -> Change:
    return lambda root: (root / path).write_bytes((root / path).read_bytes()[:60])


def without_a_training_image(root: Path) -> None:
    lists = root / "food-101/meta/train.json"
    content = json.loads(lists.read_text())
    content["dish_1"].pop()
    lists.write_text(json.dumps(content))


def relabelled(root: Path) -> None:
    lists = root / "food-101/meta/test.json"
    content = json.loads(lists.read_text())
    content["dish_1"] += content.pop("dish_2")
    lists.write_text(json.dumps(content))


def classes_beyond(root: Path) -> None:
    from scipy.io import loadmat, savemat

    path = root / "stanford_cars/devkit/cars_train_annos.mat"
    annotations = loadmat(path)["annotations"]
    annotations["class"][0, 4] = 4
    savemat(path, {"annotations": annotations})


DAMAGE: dict[str, tuple[str, Change, str]] = {
    "image gone": (
        "flowers102",
        remove("flowers-102/jpg/image_00004.jpg"),
        "/flowers-102/jpg/image_00004.jpg: cannot be read: No such file",
    ),
    "labels changed": (
        "flowers102",
        truncate("flowers-102/setid.mat"),
        "/flowers-102/setid.mat: its MD5 checksum is ",
    ),
    "truncated image": (
        "cub200",
        truncate("CUB_200_2011/images/002.Bird_1/test_0.jpg"),
        "/test_0.jpg: does not decode: ",
    ),
    "empty image": (
        "food101",
        write("food-101/images/dish_1/train2.jpg", ""),
        "/food-101/images/dish_1/train2.jpg: does not decode: the file is empty",
    ),
    "one image less": ("food101", without_a_training_image, ": 14 training images, but Food-101 has 15"),
    "class not in test": ("food101", relabelled, ": no test image of 1 of 3 classes, the first of them class 2"),
    "a class too many": (
        "inat2019",
        lambda root: (root / "2019/Birds/2").rename(root / "2019/Birds/3"),
        "/2019: cannot be read: RuntimeError: Missing category 2",
    ),
    "a class beyond": ("cars196", classes_beyond, ": training images of class 3, but Stanford Cars has 3"),
    "damaged list": ("food101", truncate("food-101/meta/test.json"), "/food-101/meta/test.json: cannot be read: "),
    "damaged labels": (
        "cars196",
        truncate("stanford_cars/cars_test_annos_withlabels.mat"),
        "/stanford_cars/cars_test_annos_withlabels.mat: cannot be read: ",
    ),
    "no labels": (
        "cars196",
        remove("stanford_cars/cars_test_annos_withlabels.mat"),
        "/stanford_cars/cars_test_annos_withlabels.mat: not there; Stanford Cars can no longer be downloaded",
    ),
    "no validation list": (
        "inat2019",
        remove("val2019.json"),
        "/val2019.json: not there; `lgbench data prepare",
    ),
    "validation list of others": (
        "inat2019",
        replace_in("val2019.json", "test0", "unknown"),
        ": 16 training images, but iNaturalist 2019 has 15",
    ),
    "damaged split list": (
        "cub200",
        write("CUB_200_2011/train_test_split.txt", "1\n"),
        "/CUB_200_2011/train_test_split.txt: cannot be read: ",
    ),
    "labels of other classes": (
        "cub200",
        replace_in("CUB_200_2011/image_class_labels.txt", "2 2\n", "2 3\n"),
        "/CUB_200_2011/image_class_labels.txt: image 2, 002.Bird_1/train_0.jpg, is in no folder of class 3",
    ),
    "class folder gone": (
        "tiny-imagenet",
        lambda root: (root / "tiny-imagenet-200/train/n02").rename(root / "n02"),
        "/tiny-imagenet-200/train/n02/images: not there",
    ),
    "unknown class": (
        "tiny-imagenet",
        replace_in("tiny-imagenet-200/val/val_annotations.txt", "n02", "n09"),
        "/tiny-imagenet-200/val/val_annotations.txt: line 2: 'n09' is no class of wnids.txt",
    ),
    "changed pickle": (
        "cifar10",
        write("cifar-10-batches-py/data_batch_3", "c__builtin__\nexit\n."),
        "/cifar-10-batches-py/data_batch_3: its MD5 checksum is ",
    ),
    "no batch": (
        "cifar100",
        remove("cifar-100-python/test"),
        "/cifar-100-python/test: not there; `lgbench",
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_what_is_wrong_is_one_line_that_begins_with_the_place_and_the_exit_status_is_2(
    damage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    name, change, expected = DAMAGE[damage]
    make(name, tmp_path, monkeypatch)
    assert run_command(["data", "verify", name, "--root", str(tmp_path), "--set", "image_size=32"]) == 0
    capsys.readouterr()
    change(tmp_path)
    assert run_command(["data", "verify", name, "--root", str(tmp_path), "--set", "image_size=32"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"lgbench: {tmp_path}")
    assert expected in line
    with pytest.raises(UserError, match=re.escape(expected)):
        opened(name, tmp_path).load()


def test_cifar_at_another_size_is_resized_as_files_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import Image

    make("cifar10", tmp_path, monkeypatch)
    small = opened("cifar10", tmp_path).load().train.images[4].transpose(1, 2, 0)
    large = opened("cifar10", tmp_path, image_size=48).load().train.images[4].transpose(1, 2, 0)
    expected = Image.fromarray(small).resize((48, 48), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(large, np.asarray(expected))
    again: Any = opened("cifar10", tmp_path, image_size=48)
    monkeypatch.setattr(type(again), "_resized", lambda *_: pytest.fail("it was kept"))
    np.testing.assert_array_equal(again.load().train.images[4].transpose(1, 2, 0), large)


@pytest.mark.parametrize("name", [name for name in MAKERS if not name.startswith("cifar")])
def test_files_that_are_streamed_show_the_same_images(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(name, tmp_path, monkeypatch)
    held, streamed = opened(name, tmp_path).load(), opened(name, tmp_path, stream=True).load()
    assert (streamed.mean, streamed.std) == (held.mean, held.std)
    for one, other in (
        (held.train, streamed.train),
        (held.validation, streamed.validation),
        (held.test, streamed.test),
    ):
        assert isinstance(other, ImageFiles)
        np.testing.assert_array_equal(other.take(np.arange(len(other))), one.take(np.arange(len(one))))
        np.testing.assert_array_equal(other.labels, one.labels)
    nothing = opened(name, tmp_path, stream=True, validation_per_class=0).load().validation
    assert len(nothing) == 0


def test_cifar_is_in_memory_or_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make("cifar100", tmp_path, monkeypatch)
    for options in ({"stream": True}, {"training_view": "whole"}):
        with pytest.raises(UserError, match="images of CIFAR are no files of their own, so they cannot be streamed"):
            opened("cifar100", tmp_path, **options)
    way_out = "reduce image_size or classes or images_per_class, or raise"
    with pytest.raises(UserError, match=rf"21 images of 3 x 32 x 32 are .* GB in memory, .*; {way_out}"):
        opened("cifar100", tmp_path, memory_limit_gb=1e-6).load()
