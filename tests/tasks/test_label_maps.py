"""Data sets with a label for each pixel: geometry, meaning of numbers, and what is wrong with a file, in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from learngene_bench.cli.main import run_command
from learngene_bench.contracts.dataset import Dataset
from learngene_bench.plugins.registry import dataset
from learngene_bench.tasks.datasets.label_maps import Meaning
from learngene_bench.util.errors import UserError


def write(root: Path, *, splits: tuple[str, ...] = ("train", "val", "test"), size: tuple[int, int] = (20, 12)) -> Path:
    """Images whose grey value is 20 times the class of each pixel, with their annotations."""
    random = np.random.default_rng(0)
    for split in splits:
        for index in range(4):
            blocks = random.integers(0, 4, (size[1] // 4, size[0] // 4)).astype(np.uint8)
            labels = np.kron(blocks, np.ones((4, 4), np.uint8))
            for kind, array in (("images", labels * 20), ("annotations", labels)):
                path = root / kind / split / f"{index}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(array).save(path)
    return root


def folder(root: Path, **options: Any) -> Dataset:
    return dataset(
        {"name": "segmentation-folder", "root": str(root), "classes": 4, "image_size": 12, "channels": 1, **options}
    )


def test_images_and_labels_are_cut_alike(tmp_path: Path) -> None:
    data = folder(write(tmp_path))
    splits, facts = data.load(), data.facts()
    assert (facts.train_images, facts.validation_images, facts.test_images) == (4, 4, 4)
    assert facts.kind == "segmentation"
    for split in (splits.train, splits.validation, splits.test):
        labels = split.labels[np.arange(4)]
        assert labels.shape == (4, 12, 12)
        np.testing.assert_array_equal(split.take(np.arange(4))[:, 0], labels * 20)  # the centre, not resized
    halved = folder(tmp_path, image_size=6).load().train.labels[np.arange(4)]
    np.testing.assert_array_equal(
        halved, splits.train.labels[np.arange(4)][:, 1::2, 1::2]
    )  # nearest: no label between two
    assert folder(tmp_path, decoder="mask").facts().kind == "segmentation-mask"


def test_hidden_files_are_no_images(tmp_path: Path) -> None:
    before = folder(write(tmp_path)).fingerprint()
    for place in ("images/train/._0.png", "annotations/train/._0.png", "images/train/.thumbnails/0.png"):
        (tmp_path / place).parent.mkdir(exist_ok=True)
        (tmp_path / place).write_bytes(b"as macOS writes them beside files")
    data = folder(tmp_path)
    assert data.fingerprint() == before
    assert len(data.load().train.labels) == 4


def test_validation_is_taken_from_training_where_there_is_no_test(tmp_path: Path) -> None:
    data = folder(write(tmp_path, splits=("train", "val")), validation_fraction=0.25)
    facts = data.facts()
    assert (facts.train_images, facts.validation_images, facts.test_images) == (3, 1, 4)


def test_numbers_mean_what_the_options_say() -> None:
    numbers, path = np.array([[0, 1, 2, 3, 255]], np.uint8), Path("x.png")
    assert Meaning(range(4)).read(numbers, path).tolist() == [[0, 1, 2, 3, 255]]
    assert Meaning([1, 2, 3], frozenset({0, 255})).read(numbers, path).tolist() == [[255, 0, 1, 2, 255]]  # ADE20K's
    assert Meaning(range(3), frozenset({3, 255})).read(numbers, path).tolist() == [[0, 1, 2, 255, 255]]  # CamVid's
    with pytest.raises(UserError, match=r"x.png: label 3 in it, but the classes are 0 to 2 \(ignored: 255\)"):
        Meaning(range(3)).read(numbers, path)
    with pytest.raises(UserError, match=r"label 255 in it, but the classes are 0, 2 to 3 \(ignored: 1\)"):
        Meaning([3, 0, 2], frozenset({1})).read(numbers, path)


@pytest.mark.parametrize(
    ("array", "error"),
    [
        (np.full((12, 20), 9, np.uint8), "label 9 in it, but the classes are 0 to 3"),
        (np.zeros((12, 16), np.uint8), "16 x 12 pixels, but its image has 20 x 12"),
        (np.zeros((12, 20, 3), np.uint8), "its pixels are of the mode RGB, not one byte each"),
        (None, "not there, and the image"),
    ],
)
def test_bad_annotations_are_named_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], array: Any, error: str
) -> None:
    bad = write(tmp_path) / "annotations" / "val" / "2.png"
    bad.unlink() if array is None else Image.fromarray(array).save(bad)
    settings = [word for text in ("classes=4", "image_size=12", "channels=1") for word in ("--set", text)]
    assert run_command(["data", "verify", "segmentation-folder", "--root", str(tmp_path), *settings]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert error in said
    assert "val/2.png" in said.replace(" ", "")


def test_camvid_reads_both_layouts_and_counts(tmp_path: Path) -> None:
    data = dataset({"name": "camvid", "root": str(tmp_path)})
    assert data.facts().train_images == 367
    assert len(data.facts().class_names) == data.facts().classes == 11
    with pytest.raises(UserError, match="copy the folder CamVid of https"):
        data.check_available()
    write(tmp_path)
    with pytest.raises(UserError, match=r"\(4, 4, 4\) images for training, validation and test, not \(367, 101, 233\)"):
        dataset({"name": "camvid", "root": str(tmp_path)}).check_available()
    (tmp_path / "images").rename(tmp_path / "aside")
    for split in ("train", "val", "test"):
        (tmp_path / "aside" / split).rename(tmp_path / split)
        (tmp_path / "annotations" / split).rename(tmp_path / f"{split}annot")
    np.testing.assert_array_equal(
        dataset({"name": "camvid", "root": str(tmp_path), "image_size": 12, "channels": 1})
        .load()
        .train.labels[np.arange(4)]
        .max((1, 2))
        < 4,
        True,
    )


def test_scenes_are_made_of_the_digits_of_their_split_and_labels_stand_where_these_are() -> None:
    scenes, digits = dataset({"name": "digit-scenes", "noise": 0.0}), dataset({"name": "digits"})
    parts = digits.pictures()  # type: ignore[attr-defined]
    loaded, facts = scenes.load(), scenes.facts()
    for split, part in zip((loaded.train, loaded.validation, loaded.test), parts, strict=True):
        known = {picture.tobytes(): label for picture, label in zip(part.pixels, part.labels, strict=True)}
        assert len(split) == len(part.labels)
        for image, label in list(zip(split.images[:, 0], split.labels, strict=True))[:20]:
            for row in (0, 12):
                for column in (0, 12):
                    cell, marked = (
                        image[row : row + 12, column : column + 12],
                        label[row : row + 12, column : column + 12],
                    )
                    if not marked.any():
                        assert not cell.any()
                        continue
                    found = [
                        known[cell[top : top + 8, left : left + 8].tobytes()]
                        for top in range(5)
                        for left in range(5)
                        if cell[top : top + 8, left : left + 8].tobytes() in known
                    ]
                    assert np.unique(marked[marked > 0]).tolist() == [1 + label for label in set(found)]
                    assert (cell[marked == 0] < 64).all()
    assert np.unique(loaded.train.labels).tolist() == list(range(facts.classes))
    assert scenes.overlap_with(digits) is None
    moved = dataset({"name": "digits", "test_digits": 300})
    assert "test_digits is 360 here and 300 at the source" in (scenes.overlap_with(moved) or "")
