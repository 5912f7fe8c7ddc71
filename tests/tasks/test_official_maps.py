"""Published data sets with a label for each pixel: counts, classes, splits, and what is said of damaged files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from official_layouts import MAP_MAKERS, MAP_TRAIN, MAP_VAL, make_maps, maps, numbers_of, pack
from PIL import Image

from learngene_bench.cli.main import run_command
from learngene_bench.contracts.dataset import DATASETS, Dataset, Split
from learngene_bench.plugins.registry import dataset
from learngene_bench.util.errors import UserError

PUBLISHED = {
    "ade20k": (150, 20_210, 2000),
    "pascal-context": (59, 4998, 5105),
    "cityscapes": (19, 2975, 500),
    "voc2012": (21, 1464, 1449),
    "oxford-pets": (3, 3680, 3669),
}
DOWNLOADED = ["ade20k", "voc2012", "oxford-pets"]


def silent(what: str, done: int, total: int) -> None:
    assert 0 <= done <= total, what


def opened(name: str, root: Path | str, **options: Any) -> Dataset:
    return dataset({"name": name, "root": str(root), "image_size": 12, "channels": 1, **options})


def expected(name: str) -> dict[int, int]:
    """Class of each number, from another source than the data set's own code."""
    if name == "cityscapes":
        from torchvision.datasets import Cityscapes

        return {known.id: known.train_id for known in Cityscapes.classes if known.id >= 0}
    if name in ("ade20k", "pascal-context"):
        return {0: 255, **{number: number - 1 for number in range(1, 151)}}
    return {1: 0, 2: 1, 3: 2} if name == "oxford-pets" else {number: number for number in range(256)}


def read_as(numbers: np.ndarray, classes: dict[int, int]) -> list[list[int]]:
    return [[classes[number] for number in row] for row in numbers[:, 4:16].tolist()]


def squares(split: Split) -> list[tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
    """The centre squares of all grey images, and those of their labels."""
    return [(split.take(np.array([index]))[0, 0], split.labels[index]) for index in range(len(split))]


@pytest.mark.parametrize("name", PUBLISHED)
def test_facts_are_known_without_the_data(name: str) -> None:
    classes, train, test = PUBLISHED[name]
    facts = dataset({"name": name, "root": "nowhere"}).facts()
    assert (facts.classes, facts.train_images + facts.validation_images, facts.test_images) == (classes, train, test)
    assert 0.05 < facts.validation_images / train < 0.15
    assert len(set(facts.class_names)) == classes
    assert facts.kind == "segmentation"
    everything = dataset({"name": name, "root": "nowhere", "validation_images": 0})
    assert (everything.facts().train_images, everything.facts().validation_images) == (train, 0)
    assert everything.fingerprint() != dataset({"name": name}).fingerprint()
    with pytest.raises(UserError, match=f"validation_images = {train} leaves none for training: {name} has {train}"):
        dataset({"name": name, "validation_images": train}).facts()


@pytest.mark.parametrize("name", MAP_MAKERS)
def test_the_official_layout_is_read_with_the_authors_split_and_the_classes_numbers(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_maps(name, tmp_path, monkeypatch)
    data = opened(name, tmp_path, validation_images=2)
    splits, facts = data.load(), data.facts()
    assert (facts.train_images, facts.validation_images, facts.test_images) == (MAP_TRAIN - 2, 2, MAP_VAL)
    wanted: dict[str, dict[bytes, list[list[int]]]] = {"train": {}, "val": {}}
    for split, index in maps():
        numbers = numbers_of(name, split, index)
        wanted[split][(255 - numbers[:, 4:16]).tobytes()] = read_as(numbers, expected(name))
    found = [
        {image.tobytes(): labels.tolist() for image, labels in squares(split)}
        for split in (splits.train, splits.validation, splits.test)
    ]
    assert [len(split) for split in found] == [MAP_TRAIN - 2, 2, MAP_VAL]
    assert {**found[0], **found[1]} == wanted["train"]
    assert found[2] == wanted["val"]
    assert len(opened(name, tmp_path).load().validation) == 1
    nothing = opened(name, tmp_path, validation_images=0).load()
    assert (len(nothing.train), len(nothing.validation)) == (MAP_TRAIN, 0)
    assert len(data.verify(silent)) == 3 + len(data.archives)  # type: ignore[attr-defined]


def test_options_decide_on_pixels_of_no_class(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, options, classes in (
        ("pascal-context", {"background": "class"}, {number: number for number in range(60)}),
        ("oxford-pets", {"border": "ignored"}, {1: 0, 2: 1, 3: 255}),
    ):
        make_maps(name, tmp_path, monkeypatch)
        data = opened(name, tmp_path, validation_images=0, **options)
        labels = [labels.tolist() for _, labels in squares(data.load().test)]
        assert labels == [read_as(numbers_of(name, "val", index), classes) for index in range(MAP_VAL)]
        assert len(data.facts().class_names) == data.facts().classes == len({*classes.values()} - {255})


def test_train_ids_of_cityscapes_say_the_same_as_its_label_ids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_maps("cityscapes", tmp_path, monkeypatch)
    by_id = opened("cityscapes", tmp_path).load()
    expected_squares = {split: squares(getattr(by_id, split)) for split in ("train", "validation", "test")}
    for path in list(tmp_path.rglob("*_labelIds.png")):
        classes = [expected("cityscapes").get(number, 255) for number in range(256)]
        train_ids = np.array(classes, np.uint8)[np.asarray(Image.open(path))]
        Image.fromarray(train_ids).save(path.with_name(path.name.replace("labelIds", "labelTrainIds")))
        path.unlink()
    by_train_id = opened("cityscapes", tmp_path).load()
    for split, pairs in expected_squares.items():
        np.testing.assert_array_equal(squares(getattr(by_train_id, split)), pairs)


def test_archives_and_folders_are_torchvisions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torchvision.datasets import Cityscapes, OxfordIIITPet, VOCSegmentation
    from torchvision.datasets.voc import DATASET_YEAR_DICT

    for name in ("voc2012", "oxford-pets", "cityscapes"):
        make_maps(name, tmp_path, monkeypatch)
    readers = {
        "voc2012": [VOCSegmentation(tmp_path, "2012", split) for split in ("train", "val")],
        "oxford-pets": [OxfordIIITPet(tmp_path, split, target_types="segmentation") for split in ("trainval", "test")],
        "cityscapes": [Cityscapes(tmp_path, split, target_type="semantic") for split in ("train", "val")],
    }
    for name, (train, test) in readers.items():
        pairs = opened(name, tmp_path, validation_images=0)._pairs  # type: ignore[attr-defined]
        for split, reader in ((pairs.train, train), (pairs.test, test)):
            theirs = {tuple(np.asarray(part).tobytes() for part in item) for item in reader}
            ours = [(Image.open(pair.image).convert("RGB"), Image.open(pair.annotation)) for pair in split]
            assert {tuple(np.asarray(part).tobytes() for part in item) for item in ours} == theirs
    voc, pets = (DATASETS.get(name).archives for name in ("voc2012", "oxford-pets"))  # type: ignore[attr-defined]
    known = DATASET_YEAR_DICT["2012"]
    assert [(archive.url, archive.checksum) for archive in voc] == [(known["url"], f"md5:{known['md5']}")]
    assert {(archive.url, archive.checksum) for archive in pets} == {
        (url, f"md5:{md5}") for url, md5 in OxfordIIITPet._RESOURCES
    }


@pytest.mark.parametrize("name", DOWNLOADED)
def test_preparing_downloads_checks_and_unpacks(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_maps(name, tmp_path / "made", monkeypatch)
    pack(name, tmp_path / "made", tmp_path / "published", monkeypatch)
    root = tmp_path / "root"
    assert opened(name, root).prepare(silent)[-1] == f"{MAP_TRAIN} training and {MAP_VAL} test images"
    np.testing.assert_array_equal(
        squares(opened(name, root).load().test), squares(opened(name, tmp_path / "made").load().test)
    )
    assert all(line.endswith("there already") for line in opened(name, root).prepare(silent)[:-1])


@pytest.mark.parametrize("name", PUBLISHED)
def test_what_is_missing_is_said_with_the_way_to_get_it(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ways = {
        "pascal-context": "make label maps and lists by mmsegmentation's tools/dataset_converters/pascal_context.py",
        "cityscapes": "unpack leftImg8bit_trainvaltest.zip and gtFine_trainvaltest.zip of https://www.cityscapes",
    }
    assert run_command(["data", "verify", name, "--root", str(tmp_path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"lgbench: {tmp_path}")
    assert ways.get(name, f"`lgbench data prepare {name} --root {tmp_path}` brings ") in line


Damage = Callable[[Path, Path], Path]
"""Damages a data set, given an image and its annotation, and returns the path that is to be named."""


def _replaced(array: np.ndarray) -> Damage:
    def damage(image: Path, annotation: Path) -> Path:
        Image.fromarray(array).save(annotation)
        return annotation

    return damage


def _removed(image: Path, annotation: Path) -> Path:
    annotation.unlink()
    return annotation


def _truncated_image(image: Path, annotation: Path) -> Path:
    image.write_bytes(image.read_bytes()[:-40])
    return image


def _truncated_annotation(image: Path, annotation: Path) -> Path:
    annotation.write_bytes(annotation.read_bytes()[:-40])
    return annotation


def _emptied(image: Path, annotation: Path) -> Path:
    folder = image.parents[1] if "leftImg8bit" in image.parts else image.parent  # which has a folder for each city
    for path in [path for path in folder.rglob("*") if path.is_file()]:
        path.unlink()
    return folder


DAMAGES: dict[str, tuple[Damage, str]] = {
    "label out of range": (_replaced(np.full((12, 20), 200, np.uint8)), "label 200 in it, but the classes are "),
    "another size": (_replaced(np.ones((12, 16), np.uint8)), "16 x 12 pixels, but its image has 20 x 12"),
    "in colours": (_replaced(np.ones((12, 20, 3), np.uint8)), "its pixels are of the mode RGB, not one byte each"),
    "no annotation": (_removed, "not there, and the image"),
    "truncated image": (_truncated_image, "does not decode: "),
    "truncated annotation": (_truncated_annotation, "does not decode: "),
    "empty folder": (_emptied, ""),
}


def _folder_pair(root: Path) -> None:
    for split in ("train", "val"):
        for index in range(3):
            for kind in ("images", "annotations"):
                path = root / kind / split / f"{index}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(np.random.default_rng(index).integers(0, 4, (12, 20), np.uint8)).save(path)


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", [*MAP_MAKERS, "segmentation-folder"])
def test_bad_data_are_one_line_that_names_the_file(
    name: str, damage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    change, expected = DAMAGES[damage]
    options: dict[str, Any] = {"image_size": 12, "channels": 1}
    if name == "segmentation-folder":
        _folder_pair(tmp_path)
        options["classes"] = 4
    else:
        make_maps(name, tmp_path, monkeypatch)
    pair = dataset({"name": name, "root": str(tmp_path), **options})._pairs.test[1]  # type: ignore[attr-defined]
    named = change(pair.image, pair.annotation)
    settings = [word for key, value in options.items() for word in ("--set", f"{key}={value}")]
    assert run_command(["data", "verify", name, "--root", str(tmp_path), *settings]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"lgbench: {tmp_path}")
    assert str(named) in line
    assert expected in line
    with pytest.raises(UserError, match="^" + str(tmp_path)):
        squares(dataset({"name": name, "root": str(tmp_path), **options}).load().test)
