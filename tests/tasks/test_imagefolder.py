"""Trees of image files, on images that the tests make: splits, pixels, and what is wrong with a tree."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
from PIL import Image

from learngene_bench.contracts.dataset import Dataset, Splits
from learngene_bench.data.splits import ImageFiles, Images
from learngene_bench.plugins.registry import dataset
from learngene_bench.tasks.datasets.imagefolder import natural as natural_key
from learngene_bench.util.errors import UserError

CLASSES = ["ant", "bee", "cat"]
EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n%%EOF\n"


@pytest.fixture(autouse=True)
def several_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Splits of a few images are decoded in several pieces, the last one partial, as large ones are."""
    monkeypatch.setattr("learngene_bench.tasks.datasets.arrays.IMAGES_PER_TASK", 7)


def save(path: Path, number: int, side: int = 4) -> None:
    """An image of one colour that says which image it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (side, side), (number // 256, number % 256, 0)).save(path)


def make_tree(root: Path, **images_per_class: int) -> Path:
    """A tree with so many images for each class of each split, of increasing numbers."""
    number = 0
    for split, count in images_per_class.items():
        for name in CLASSES:
            for image in range(count):
                save(root / split / name / f"{image:03}.png", number)
                number += 1
    return root


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Makes a tree without test/: images 0-59 for training and validation, 60-74 for the test."""
    return make_tree(tmp_path / "tree", train=20, val=5)


def folder(root: Path, **options: Any) -> Dataset:
    return dataset({"name": "imagefolder", "root": str(root), "image_size": 4, **options})


def numbers(split: Images) -> list[int]:
    return [int(image[0, 0, 0]) * 256 + int(image[1, 0, 0]) for image in split.images]


def numbers_by_split(data: Dataset) -> tuple[set[int], set[int], set[int]]:
    splits = data.load()
    return set(numbers(splits.train)), set(numbers(splits.validation)), set(numbers(splits.test))


def test_without_test_folder_val_is_the_test_and_validation_is_taken_from_every_class(tree: Path) -> None:
    data = folder(tree, validation_fraction=0.15)
    splits, facts = data.load(), data.facts()
    assert sorted(numbers(splits.train) + numbers(splits.validation)) == list(range(60))
    assert sorted(numbers(splits.test)) == list(range(60, 75))
    assert np.bincount(splits.validation.labels).tolist() == [3, 3, 3]
    for split, first, of_each in ((splits.train, 0, 20), (splits.validation, 0, 20), (splits.test, 60, 5)):
        assert [(number - first) // of_each for number in numbers(split)] == split.labels.tolist()
    assert (facts.classes, facts.channels, facts.image_size) == (3, 3, 4)
    assert (facts.train_images, facts.validation_images, facts.test_images) == (51, 9, 15)


def test_with_test_folder_val_is_the_validation(tmp_path: Path) -> None:
    root = make_tree(tmp_path, train=4, val=2, test=3)
    assert numbers_by_split(folder(root)) == (set(range(12)), set(range(12, 18)), set(range(18, 27)))


def test_validation_is_never_none_and_never_all_of_a_class(tmp_path: Path) -> None:
    root = make_tree(tmp_path, train=3, val=1)
    assert folder(root, validation_fraction=0.01).facts().validation_images == 3
    assert folder(root, validation_fraction=0.99).facts().train_images == 3


def test_added_files_move_at_most_one_other_each_and_none_of_other_classes(tree: Path) -> None:
    _, before, _ = numbers_by_split(folder(tree))
    for added in range(30):
        save(tree / "train" / "bee" / f"new-{added}.png", 1000 + added)
        _, after, _ = numbers_by_split(folder(tree))
        assert len(before ^ after) <= 2, "one joins, new or old, or the new file joins and another leaves for it"
        assert before ^ after <= {*range(20, 40), *range(1000, 1030)}
        before = after
    assert len(before) == 2 + 5 + 2


def test_the_split_does_not_depend_on_where_the_tree_lies_or_how_old_it_is(tree: Path, tmp_path: Path) -> None:
    moved = shutil.copytree(tree, tmp_path / "elsewhere", copy_function=shutil.copyfile)
    assert folder(moved).fingerprint() == folder(tree).fingerprint()
    assert numbers_by_split(folder(moved)) == numbers_by_split(folder(tree))


def test_the_fingerprint_tells_another_name_size_or_split_but_not_what_is_ignored(tree: Path) -> None:
    original = folder(tree).fingerprint()
    for ignored in ("notes.txt", ".DS_Store", "._001.png"):
        (tree / "train" / "cat" / ignored).write_text("not an image")
    (tree / "train" / ".cache").mkdir()
    assert folder(tree).fingerprint() == original
    file = tree / "train" / "cat" / "001.png"
    with file.open("ab") as stream:
        stream.write(b" ")
    larger = folder(tree).fingerprint()
    renamed = file.rename(file.with_name("again.png"))
    others = {larger, folder(tree).fingerprint(), folder(tree, validation_fraction=0.5).fingerprint()}
    renamed.unlink()
    others.add(folder(tree).fingerprint())
    assert len(others | {original}) == 5


def test_what_does_not_fit_into_memory_stays_on_disk_and_that_is_no_part_of_an_address(tree: Path) -> None:
    small, large = folder(tree), folder(tree, memory_limit_gb=1e-6)
    assert isinstance(small.load().train, Images)
    train, held = large.load().train, small.load().train
    assert isinstance(train, ImageFiles)
    assert [np.asarray(train.image(i)).tolist() for i in range(5)] == held.images[:5].transpose(0, 2, 3, 1).tolist()  # type: ignore[union-attr]
    assert train.labels.tolist() == held.labels.tolist()
    assert isinstance(folder(tree, training_view="whole").load().train, ImageFiles)
    stay = {"stream", "memory_limit_gb", "root"}
    assert stay <= type(small).location


def test_only_the_first_classes_and_only_so_many_images_of_each(tree: Path) -> None:
    data = folder(tree, classes=2)
    assert sorted(n for split in numbers_by_split(data)[:2] for n in split) == list(range(40))
    chosen = []
    for count in (5, 10, 20):
        train, validation, test = numbers_by_split(folder(tree, images_per_class=count))
        assert np.bincount([n // 20 for n in train | validation]).tolist() == [count] * 3
        assert len(test) == 15
        chosen.append(train | validation)
    assert chosen[0] < chosen[1] < chosen[2], "more images are the same images and others"
    assert chosen[0] != {n for n in range(60) if n % 20 < 5}, "the first by name may be alike: frames of one film"


def test_suffixes_in_any_case_folders_within_a_class_and_any_kind_of_pixels(tree: Path) -> None:
    cat = tree / "val" / "cat"
    (cat / "inside").mkdir()
    kinds = {"a.JPG": "L", "b.webp": "RGBA", "inside/c.PNG": "P", "d.Tiff": "CMYK", "e.jpeg": "RGB", "f.bmp": "1"}
    for name, mode in kinds.items():
        Image.new(mode, (9, 6)).save(cat / name)
    assert folder(tree).load().test.images.shape == (15 + len(kinds), 3, 4, 4)
    assert folder(tree, channels=1).load().test.images.shape == (15 + len(kinds), 1, 4, 4)


@pytest.mark.parametrize(("width", "height"), [(31, 47), (19, 16), (5, 9), (16, 16)])
def test_images_are_resized_and_cut_as_torchvision_does_it(tree: Path, width: int, height: int) -> None:
    from torchvision.transforms import CenterCrop, Compose, InterpolationMode, Resize

    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(tree / "val" / "ant" / "000.png")
    transform = Compose([Resize(16, InterpolationMode.BICUBIC), CenterCrop(16)])
    expected = np.asarray(transform(Image.fromarray(pixels)))
    np.testing.assert_array_equal(folder(tree, image_size=16).load().test.images[0].transpose(1, 2, 0), expected)
    grey = np.asarray(transform(Image.fromarray(pixels).convert("L")))
    np.testing.assert_array_equal(folder(tree, image_size=16, channels=1).load().test.images[0, 0], grey)


def test_mean_and_std_are_of_the_training_images_alone(tree: Path) -> None:
    splits = folder(tree).load()
    assert_moments(splits)
    assert splits.std[2] > 0, "blue is black everywhere, and normalising must not divide by zero"


def assert_moments(splits: Splits) -> None:
    scaled = splits.train.images / 255
    np.testing.assert_allclose(splits.mean, scaled.mean((0, 2, 3)))
    np.testing.assert_allclose(splits.std, scaled.std((0, 2, 3)).clip(1 / 255))


def test_facts_and_fingerprint_decode_nothing_and_import_neither_torch_nor_pil(tree: Path) -> None:
    for file in tree.rglob("*.png"):
        file.write_bytes(b"not an image")
    program = f"""
import sys
from learngene_bench.tasks.datasets.imagefolder import ImageFolder, ImageFolderOptions
data = ImageFolder(ImageFolderOptions(root={str(tree)!r}, image_size=4))
data.facts(), data.fingerprint()
print(sorted({{"torch", "PIL", "numpy"}} & set(sys.modules)))"""
    output = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert output.strip() == "[]"


Change = Callable[[Path], object]


def remove(*paths: str) -> Change:
    def change(root: Path) -> None:
        for path in paths:
            shutil.rmtree(root / path)

    return change


def rename(path: str, name: str) -> Change:
    return lambda root: (root / path).rename(root / name)


def write(path: str, content: bytes) -> Change:
    return lambda root: (root / path).write_bytes(content)


def truncate(root: Path) -> None:
    file = root / "val" / "bee" / "003.jpg"
    Image.effect_noise((64, 64), 50).save(file)
    file.write_bytes(file.read_bytes()[:800])


def only_text(root: Path) -> None:
    for file in (root / "val" / "cat").iterdir():
        file.rename(file.with_suffix(".txt"))


def only_one(root: Path) -> None:
    shutil.rmtree(root / "train" / "cat")
    save(root / "train" / "cat" / "inside" / "1.png", 1)


def only_files(root: Path) -> None:
    save(root / "test" / "1.png", 1)


DAMAGE: dict[str, tuple[Change, str]] = {
    "no root": (remove("."), ": no such folder"),
    "no train": (remove("train"), ": no train/ folder in it (it holds val)"),
    "no val": (rename("val", "valid"), ": no val/ folder in it (it holds train, valid)"),
    "class not in val": (remove("val/bee"), "/val: no folder for class 'bee'"),
    "class not in train": (remove("train/bee"), "/train: no folder for class 'bee'"),
    "test without labels": (
        only_files,
        "/test: no folder for class 'ant', which {root}/train has; move test/ away if its images have no labels",
    ),
    "one class": (
        remove("train/bee", "train/cat", "val/bee", "val/cat"),
        "/train: class folders in it: 1; needed: 2",
    ),
    "empty class": (only_text, "/val/cat: no images in it"),
    "no validation": (only_one, "/train/cat: its one image leaves no image for validation"),
    "text": (write("val/bee/003.png", b"text"), "/val/bee/003.png: does not decode: cannot identify image file"),
    # For EPS, Pillow would start Ghostscript.
    "eps": (write("val/bee/003.png", EPS), "/val/bee/003.png: does not decode: cannot identify image file"),
    "no bytes": (write("val/bee/003.png", b""), "/val/bee/003.png: does not decode: the file is empty"),
    "truncated": (truncate, "/val/bee/003.jpg: does not decode: image file is truncated"),
    "link to nowhere": (
        lambda root: (root / "val/bee/x.png").symlink_to("nowhere"),
        "/val/bee/x.png: cannot be read: No such file",
    ),
    "16 bits": (
        lambda root: Image.new("I;16", (4, 4)).save(root / "val/bee/x.png"),
        "/val/bee/x.png: does not decode: pixels of more than 8 bits",
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_what_is_wrong_with_a_tree_is_said_in_one_line_that_begins_with_the_place(tree: Path, damage: str) -> None:
    change, expected = DAMAGE[damage]
    change(tree)
    with pytest.raises(UserError) as raised:
        folder(tree).load()
    message = str(raised.value)
    assert message.startswith(str(tree) + expected.format(root=tree))
    assert "\n" not in message
    assert len(re.findall(re.escape(str(tree)) + r"\S*\.png", message)) <= 1, "a file is not named twice"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"classes": 4}, "{root}/train: class folders in it: 3; needed: 4"),
        ({"images_per_class": 1}, "{root}/train/ant: images_per_class = 1 leaves no image for validation"),
        ({"memory_limit_gb": 1e-6, "stream": False}, "{root}: 75 images of 3 x 4 x 4 are 3.6e-06 GB in memory"),
        ({"channels": 4}, "data (imagefolder): channels: input should be 1 or 3, not 4"),
        ({"canvas": 12}, "data (imagefolder): unknown key 'canvas'"),
    ],
)
def test_options_that_do_not_fit_are_refused_before_anything_is_decoded(
    tree: Path, options: dict[str, Any], expected: str
) -> None:
    with pytest.raises(UserError, match=re.escape(expected.format(root=tree))):
        folder(tree, **options).facts()


def test_a_digit_that_is_no_number_is_a_letter_of_a_name() -> None:
    assert sorted(["m10", "²", "m²", "m2"], key=natural_key) == ["m2", "m10", "m²", "²"]


def test_labels_follow_the_order_of_folders_that_is_asked_for(tmp_path: Path) -> None:
    names = [str(number) for number in range(12)]
    for number, name in enumerate(names):
        for split, image in (("train", 0), ("train", 1), ("val", 0)):
            save(tmp_path / split / name / f"{image}.png", number)
    by_default, natural = folder(tmp_path), folder(tmp_path, label_order="natural")
    for data, order in ((by_default, sorted(names)), (natural, names)):
        test = data.load().test
        assert isinstance(test, Images)
        assert {label: numbers(test)[i] for i, label in enumerate(test.labels)} == dict(enumerate(map(int, order)))
        (*_, line) = data.verify(silent)
        assert f"order of the folders' names: {', '.join(order)}" in line
        assert "numbers them otherwise" in line
    assert by_default.fingerprint() != natural.fingerprint()
    reader = timm.data.readers.reader_image_folder.find_images_and_targets(str(tmp_path / "val"))
    assert reader[1] == {name: label for label, name in enumerate(names)}


def flat_tree(root: Path, count: int) -> Path:
    """A folder for each class and no splits; images of increasing numbers."""
    for label, name in enumerate(CLASSES):
        for image in range(count):
            save(root / name / f"{image:03}.png", label * count + image)
    return root


def test_class_folders_without_splits_are_split_by_rule(tmp_path: Path) -> None:
    root = flat_tree(tmp_path / "mine", 20)
    data = folder(root)
    facts, splits = data.facts(), data.load()
    assert (facts.train_images, facts.validation_images, facts.test_images) == (42, 6, 12)
    found = [numbers(split) for split in (splits.train, splits.validation, splits.test)]
    assert sorted(number for split in found for number in split) == list(range(60))
    for split, of_each in ((splits.train, 14), (splits.validation, 2), (splits.test, 4)):
        assert [list(split.labels).count(label) for label in range(3)] == [of_each] * 3
    moved = shutil.copytree(root, tmp_path / "elsewhere")
    assert folder(moved).fingerprint() == data.fingerprint()
    assert folder(root, test_fraction=0.3).fingerprint() != data.fingerprint()
    (said,) = data.remarks()
    assert said.startswith(f"{root} has no train/ and val/: of every class, 20% of the images are for testing and 10%")
    # An image that comes moves at most one other of its class from one split to another.
    save(root / "ant" / "new.png", 999)
    more = folder(root).load()
    for before, after in zip(found, (more.train, more.validation, more.test), strict=True):
        assert len(set(before) ^ (set(numbers(after)) - {999})) <= 2


def test_few_images_are_split_so_that_no_split_is_empty(tmp_path: Path) -> None:
    root = flat_tree(tmp_path / "mine", 3)
    facts = folder(root).facts()
    assert (facts.train_images, facts.validation_images, facts.test_images) == (3, 3, 3)
    (root / "bee" / "000.png").unlink()
    with pytest.raises(UserError, match=re.escape(f"{root / 'bee'}: 2 images; 3 are needed, one for each split")):
        folder(root).facts()


def test_splits_of_other_names_are_no_classes(tmp_path: Path) -> None:
    root = flat_tree(tmp_path / "mine", 3)
    (root / "Validation").mkdir()
    with pytest.raises(UserError, match="no train/ folder in it"):
        folder(root).facts()


def silent(what: str, done: int, total: int) -> None:
    assert 0 <= done <= total


def test_verify_names_every_image_that_does_not_decode_and_counts_what_it_ignores(tree: Path) -> None:
    bad = [tree / name for name in ("train/ant/003.png", "train/cat/019.png", "val/bee/001.png")]
    for name in ("train/ant/a.gif", "val/cat/b.gif", "val/cat/.hidden", "val/cat/list.txt"):
        (tree / name).write_text("no image")
    assert folder(tree).verify(silent)[-1] == "ignored: 3 files that are no images by their suffix (2 .gif, 1 .txt)"
    for path in bad:
        path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(UserError) as refused:
        folder(tree).verify(silent)
    first, *named = str(refused.value).splitlines()
    assert first == "3 faults:"
    assert sorted(line.partition(": does not decode")[0] for line in named) == sorted(map(str, bad))
