"""Published data sets in miniature: a few images in the layout of each archive, made by the tests."""

from __future__ import annotations

import hashlib
import json
import pickle
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from learngene_bench.contracts.dataset import DATASETS, Dataset
from learngene_bench.plugins.registry import dataset
from learngene_bench.tasks.datasets.official import Published

CLASSES, TRAIN, TEST = 3, 5, 2
"""Classes, and images of each class in the authors' splits."""


def number_of(split: str, label: int, index: int) -> int:
    """Draws an image that shows its number."""
    return (100 if split == "test" else 0) + 10 * label + index


def draw(path: Path, number: int) -> None:
    """An image of one colour, without loss whatever its suffix says: PIL looks at the bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (40, 36), (number, 255 - number, 7)).save(path, format="PNG")


def members() -> list[tuple[str, int, int]]:
    """(split, label, index) of every image, the classes in turn."""
    counts = {"train": TRAIN, "test": TEST}
    return [
        (split, label, index) for split, count in counts.items() for index in range(count) for label in range(CLASSES)
    ]


def flowers102(root: Path) -> None:
    from scipy.io import savemat

    folder = root / "flowers-102"
    ids: dict[str, list[int]] = {"trnid": [], "valid": [], "tstid": []}
    labels = []
    for number, (split, label, index) in enumerate(members(), start=1):
        draw(folder / "jpg" / f"image_{number:05}.jpg", number_of(split, label, index))
        ids["tstid" if split == "test" else "valid" if index % 2 else "trnid"].append(number)
        labels.append(label + 1)
    savemat(folder / "setid.mat", {name: np.array([values]) for name, values in ids.items()})
    savemat(folder / "imagelabels.mat", {"labels": np.array([labels])})


def cars196(root: Path) -> None:
    from scipy.io import savemat

    folder = root / "stanford_cars"
    (folder / "devkit").mkdir(parents=True)
    files = {"train": "devkit/cars_train_annos.mat", "test": "cars_test_annos_withlabels.mat"}
    for split, file in files.items():
        rows = []
        for number, (_, label, index) in enumerate((m for m in members() if m[0] == split), start=1):
            draw(folder / f"cars_{split}" / f"{number:05}.jpg", number_of(split, label, index))
            rows.append((np.uint8(label + 1), f"{number:05}.jpg"))
        kinds = [("class", object), ("fname", object)]
        savemat(folder / file, {"annotations": np.array([rows], dtype=kinds)})
    savemat(folder / "devkit" / "cars_meta.mat", {"class_names": np.array(["a", "b", "c"], dtype=object)})


def food101(root: Path) -> None:
    lists: dict[str, dict[str, list[str]]] = {"train": {}, "test": {}}
    for split, label, index in members():
        name = f"dish_{label}/{split}{index}"
        draw(root / "food-101" / "images" / f"{name}.jpg", number_of(split, label, index))
        lists[split].setdefault(f"dish_{label}", []).append(name)
    for split, images in lists.items():
        path = root / "food-101" / "meta" / f"{split}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(images))


def inat2019(root: Path) -> None:
    held = []
    for split, label, index in members():
        name = f"{'Birds' if label else 'Fungi'}/{label}/{split}{index}.jpg"
        draw(root / "2019" / name, number_of(split, label, index))
        if split == "test":
            held.append({"id": index, "file_name": f"train_val2019/{name}"})
    (root / "val2019.json").write_text(json.dumps({"images": held, "annotations": []}))


def cub200(root: Path) -> None:
    folder = root / "CUB_200_2011"
    lines: dict[str, list[str]] = {"images.txt": [], "image_class_labels.txt": [], "train_test_split.txt": []}
    for number, (split, label, index) in enumerate(members(), start=1):
        name = f"{label + 1:03}.Bird_{label}/{split}_{index}.jpg"
        draw(folder / "images" / name, number_of(split, label, index))
        lines["images.txt"].append(f"{number} {name}")
        lines["image_class_labels.txt"].append(f"{number} {label + 1}")
        lines["train_test_split.txt"].append(f"{number} {int(split == 'train')}")
    lines["classes.txt"] = [f"{label + 1} {label + 1:03}.Bird_{label}" for label in range(CLASSES)]
    for name, content in lines.items():
        (folder / name).write_text("\n".join(content) + "\n")


def tiny_imagenet(root: Path) -> None:
    folder, names = root / "tiny-imagenet-200", ["n03", "n01", "n02"]
    annotations = []
    for split, label, index in members():
        name = sorted(names)[label]
        if split == "train":
            draw(folder / "train" / name / "images" / f"{name}_{index}.JPEG", number_of(split, label, index))
        else:
            image = f"val_{label}_{index}.JPEG"
            draw(folder / "val" / "images" / image, number_of(split, label, index))
            annotations.append(f"{image}\t{name}\t0\t0\t62\t62")
    (folder / "wnids.txt").write_text("\n".join(names) + "\n")
    (folder / "val" / "val_annotations.txt").write_text("\n".join(annotations) + "\n")


def _cifar(root: Path, kind: Any, label_key: str) -> None:
    """Writes as many batches as the authors have."""
    folder = root / kind.base_folder
    folder.mkdir(parents=True)
    for split, files in (("train", kind.train_list), ("test", kind.test_list)):
        own = [m for m in members() if m[0] == split]
        for part, (name, _) in enumerate(files):
            some = own[part :: len(files)]
            pixels = np.array([[number_of(*m), 255 - number_of(*m), 7] for m in some], np.uint8).repeat(1024, axis=1)
            content = {"data": pixels, label_key: [m[1] for m in some]}
            (folder / name).write_bytes(pickle.dumps(content))
    (folder / kind.meta["filename"]).write_bytes(pickle.dumps({kind.meta["key"]: ["a", "b", "c"]}))


def cifar10(root: Path) -> None:
    from torchvision.datasets import CIFAR10

    _cifar(root, CIFAR10, "labels")


def cifar100(root: Path) -> None:
    from torchvision.datasets import CIFAR100

    _cifar(root, CIFAR100, "fine_labels")


MAKERS: dict[str, Callable[[Path], None]] = {
    "flowers102": flowers102,
    "cub200": cub200,
    "cars196": cars196,
    "cifar10": cifar10,
    "cifar100": cifar100,
    "food101": food101,
    "inat2019": inat2019,
    "tiny-imagenet": tiny_imagenet,
}


def draw_map(image: Path, annotation: Path, numbers: np.ndarray, palette: bool = False) -> None:
    """Writes a label map, and an image that shows 255 less each number."""
    for path, pixels, mode in ((image, 255 - numbers, "L"), (annotation, numbers, "P" if palette else "L")):
        path.parent.mkdir(parents=True, exist_ok=True)
        drawn = Image.fromarray(pixels)
        if mode == "P":
            drawn.putpalette([value for number in range(256) for value in (number, 0, 255 - number)])
        drawn.save(path, format="PNG")


def maps() -> list[tuple[str, int]]:
    """(split, index) of every image with a label map; the authors' validation split is `val`."""
    return [(split, index) for split, count in (("train", MAP_TRAIN), ("val", MAP_VAL)) for index in range(count)]


def numbers_of(name: str, split: str, index: int) -> np.ndarray:
    """Draws a label map, (12, 20), of numbers that this data set has; each occurs."""
    known = MAP_NUMBERS[name]
    random = np.random.default_rng([index, split == "val"])
    numbers = np.concatenate([known, random.choice(known, 12 * 20 - len(known))])
    return random.permutation(numbers).reshape(12, 20).astype(np.uint8)


def ade20k(root: Path) -> None:
    folders = {"train": "training", "val": "validation"}
    for split, index in maps():
        folder, name = root / "ADEChallengeData2016", f"{folders[split]}/ADE_{split}_{index:08}"
        numbers = numbers_of("ade20k", split, index)
        draw_map(folder / "images" / f"{name}.jpg", folder / "annotations" / f"{name}.png", numbers)


def cityscapes(root: Path) -> None:
    for split, index in maps():
        name = f"{split}/city{index % 2}/city{index % 2}_{index:06}_000019"
        image, annotation = (f"leftImg8bit/{name}_leftImg8bit.png", f"gtFine/{name}_gtFine_labelIds.png")
        draw_map(root / image, root / annotation, numbers_of("cityscapes", split, index))


def _voc_devkit(name: str, folder: Path, annotations: str, lists: str) -> None:
    for split, index in maps():
        image = f"2008_{index:06}_{split}"
        numbers = numbers_of(name, split, index)
        draw_map(folder / "JPEGImages" / f"{image}.jpg", folder / annotations / f"{image}.png", numbers, palette=True)
        path = folder / "ImageSets" / lists / f"{split}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as stream:
            stream.write(f"{image}\n")


def voc2012(root: Path) -> None:
    _voc_devkit("voc2012", root / "VOCdevkit" / "VOC2012", "SegmentationClass", "Segmentation")


def pascal_context(root: Path) -> None:
    _voc_devkit("pascal-context", root / "VOCdevkit" / "VOC2010", "SegmentationClassContext", "SegmentationContext")


def oxford_pets(root: Path) -> None:
    folder, lists = root / "oxford-iiit-pet", {"train": "trainval.txt", "val": "test.txt"}
    for split, index in maps():
        name = f"Bengal_{split}{index}"
        annotation = folder / "annotations" / "trimaps" / f"{name}.png"
        draw_map(folder / "images" / f"{name}.jpg", annotation, numbers_of("oxford-pets", split, index))
        with (folder / "annotations" / lists[split]).open("a") as stream:
            stream.write(f"{name} 6 1 2\n")


MAP_TRAIN, MAP_VAL = 5, 2
MAP_NUMBERS: dict[str, list[int]] = {
    "ade20k": list(range(151)),
    "cityscapes": list(range(34)),
    "voc2012": [*range(21), 255],
    "pascal-context": list(range(60)),
    "oxford-pets": [1, 2, 3],
}
"""Numbers in the label maps of each data set."""
MAP_MAKERS: dict[str, Callable[[Path], None]] = {
    "ade20k": ade20k,
    "cityscapes": cityscapes,
    "voc2012": voc2012,
    "pascal-context": pascal_context,
    "oxford-pets": oxford_pets,
}


def make_maps(name: str, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes the data set with label maps below `root`, whose counts then count as the published ones."""
    MAP_MAKERS[name](root)
    kind: Any = DATASETS.get(name)
    known = kind.published
    monkeypatch.setattr(kind, "published", Published(known.title, known.classes, MAP_TRAIN, MAP_VAL))
    monkeypatch.setattr(kind, "held_out", 1)


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


def make(name: str, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes the data set below `root`, whose counts and checksums then count as the published ones."""
    root.mkdir(parents=True, exist_ok=True)
    MAKERS[name](root)
    kind = DATASETS.get(name)
    monkeypatch.setattr(kind, "published", Published(kind.published.title, CLASSES, CLASSES * TRAIN, CLASSES * TEST))
    monkeypatch.setattr(kind, "held_out", 1)
    archives = [
        replace(archive, checksum=f"md5:{md5(root / archive.place)}") if archive.member is None else archive
        for archive in kind.archives
    ]
    monkeypatch.setattr(kind, "archives", tuple(archives))
    if name == "flowers102":
        from torchvision.datasets import Flowers102

        known = {archive.place.split("/")[1]: archive.checksum.removeprefix("md5:") for archive in archives}
        files = {key: (file, known[file]) for key, (file, _) in Flowers102._file_dict.items()}
        monkeypatch.setattr(Flowers102, "_file_dict", files)
    if name.startswith("cifar"):
        from torchvision import datasets

        reader = getattr(datasets, kind.reader)
        folder = root / reader.base_folder
        for key in ("train_list", "test_list"):
            monkeypatch.setattr(reader, key, [[file, md5(folder / file)] for file, _ in getattr(reader, key)])
        monkeypatch.setattr(reader, "meta", {**reader.meta, "md5": md5(folder / reader.meta["filename"])})


def pack(name: str, root: Path, published: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Packs a made data set as its authors did, below `published`, whence it is then downloaded."""
    kind = DATASETS.get(name)
    published.mkdir(parents=True)
    archives = []
    for archive in kind.archives:
        path = published / Path(archive.place).name
        if archive.member is None:
            path.write_bytes((root / archive.place).read_bytes())
        elif path.suffix == ".zip":
            with zipfile.ZipFile(path, "w") as packed:
                for file in sorted((root / archive.becomes).rglob("*")):
                    packed.write(file, Path(archive.member) / file.relative_to(root / archive.becomes))
        else:
            with tarfile.open(path, "w:gz") as packed_tar:
                packed_tar.add(root / archive.becomes, archive.member)
        archives.append(replace(archive, url=path.as_uri(), checksum=f"md5:{md5(path)}"))
    monkeypatch.setattr(kind, "archives", tuple(archives))


def opened(name: str, root: Path, **options: Any) -> Dataset:
    return dataset({"name": name, "root": str(root), "image_size": 32, **options})
