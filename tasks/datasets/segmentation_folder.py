"""Images with a label for each pixel, in two trees of files of the same names: `images/` and `annotations/`."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, partial
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple, Self

from pydantic import Field, model_validator

from learngene_bench.config.joint import JointAugmentation
from learngene_bench.config.section import Section
from learngene_bench.config.typed import user_path
from learngene_bench.contracts.dataset import Dataset, DatasetFacts, ProgressCallback, Splits, Windows
from learngene_bench.data.decoding import decoded
from learngene_bench.data.map_files import MapFiles
from learngene_bench.tasks.datasets import arrays
from learngene_bench.tasks.datasets.arrays import Square
from learngene_bench.tasks.datasets.imagefolder import SUFFIXES
from learngene_bench.tasks.datasets.label_maps import IGNORED, Meaning, whole_labels
from learngene_bench.tasks.datasets.listed import IMAGENET, checked_size
from learngene_bench.util.errors import Faults, UserError
from learngene_bench.util.files import address_of, readable
from learngene_bench.util.hardware import usable_cores

MEASURED = 1000
"""Most training images that mean and standard deviation are measured on, evenly chosen."""


class MapOptions(Section):
    image_size: int = Field(ge=1, description="side of the square crops and windows that networks see, pixels")
    shorter_side: int | None = Field(
        None, ge=1, description="shorter side that whole images are resized to, pixels; image_size when absent"
    )
    stride: int | None = Field(
        None, ge=1, description="pixels from a window of the evaluation to the next; image_size when absent"
    )
    augmentation: JointAugmentation = Field(
        JointAugmentation(), description="random changes of an image and its labels"
    )
    channels: Literal[1, 3] = Field(3, description="3: RGB; 1: grey")
    normalization: Literal["measured", "imagenet"] = Field(
        "measured", description="mean and standard deviation of 1,000 of these training images, or those of ImageNet"
    )
    decoder: Literal["linear", "mask"] = Field("linear", description="decoder of the network, see docs/segmentation.md")

    @model_validator(mode="after")
    def _windows_cover_images(self) -> Self:
        if self.shorter_side is not None and self.shorter_side < self.image_size:
            raise ValueError("shorter_side is at least image_size: windows do not reach over the border")
        if self.stride is not None and self.stride > self.image_size:
            raise ValueError("stride is at most image_size, or pixels between two windows would be left out")
        return self

    @property
    def windows(self) -> Windows:
        """Windows of the evaluation, with their defaults."""
        return Windows(self.shorter_side or self.image_size, self.stride or self.image_size)


class SegmentationFolderOptions(MapOptions):
    root: Path = Field(description="the folder that holds images/ and annotations/")
    classes: int = Field(ge=2, le=IGNORED, description="number of classes")
    first_class: Literal[0, 1] = Field(0, description="number of the first class; 1 where 0 stands for no class")
    ignored: list[int] = Field([IGNORED], description="numbers that stand for no class")
    validation_fraction: float = Field(
        0.1, gt=0, lt=1, description="part of train/ that is used for validation if there is no test/"
    )


class Pair(NamedTuple):
    """An image and its label map.

    Attributes:
        name: path of the image within its split, without suffix.
        sizes: bytes of both files.
    """

    name: str
    image: Path
    annotation: Path
    sizes: tuple[int, int]


class Pairs(NamedTuple):
    """The files of the three splits, each sorted by name."""

    train: list[Pair]
    validation: list[Pair]
    test: list[Pair]


class SegmentationFolder(Dataset):
    """`ROOT/images/SPLIT/NAME.jpg` and `ROOT/annotations/SPLIT/NAME.png` for the splits train, val and perhaps test.

    An annotation is a grey or palette image of the size of its image, whose pixels are class numbers. Training
    sees random squares of both, evaluation the whole images. Files are decoded each time they are seen, so that no
    data set is too large for memory.

    With `test/`, `val/` is the validation split; without, `val/` is the test split, and validation images are taken
    from `train/` by a hash of their name.
    """

    Options: ClassVar[type[Section]] = SegmentationFolderOptions
    location: ClassVar[frozenset[str]] = frozenset({"root"})
    class_names: ClassVar[tuple[str, ...]] = ()

    @property
    def _class_names(self) -> tuple[str, ...]:
        return self.class_names

    @property
    def _root(self) -> Path:
        root: Path = self.options.root  # type: ignore[attr-defined]
        return user_path(root)

    @property
    def _map_options(self) -> MapOptions:
        assert isinstance(self.options, MapOptions)
        return self.options

    @property
    def _meaning(self) -> Meaning:
        options = self.options
        assert isinstance(options, SegmentationFolderOptions)
        first = options.first_class
        return Meaning(range(first, first + options.classes), frozenset({*options.ignored, *range(first)}))

    def label(self, name: str) -> str:
        """Returns the folder's name, as every tree is another task."""
        return self._root.resolve().name

    def facts(self) -> DatasetFacts:
        return self._facts(*map(len, self._pairs))

    def _facts(self, train: int, validation: int, test: int) -> DatasetFacts:
        options = self._map_options
        return DatasetFacts(
            len(self._meaning.numbers),
            options.channels,
            options.image_size,
            train,
            validation,
            test,
            kind="segmentation" if options.decoder == "linear" else "segmentation-mask",
            class_names=self._class_names,
            windows=options.windows,
        )

    def fingerprint(self) -> str:
        """Hash of the names and sizes of the files in each split: quick, and the same wherever the root lies."""
        return address_of(
            {split: [(pair.name, *pair.sizes) for pair in pairs] for split, pairs in self._pairs._asdict().items()}
        )

    @cached_property
    def _pairs(self) -> Pairs:
        train, val = self._pairs_of("train"), self._pairs_of("val")
        if self._folders("test")[0].is_dir():
            return Pairs(train, val, self._pairs_of("test"))
        assert isinstance(self.options, SegmentationFolderOptions)
        taken = max(1, round(self.options.validation_fraction * len(train)))
        if taken >= len(train):
            raise UserError(f"{self._folders('train')[0]}: {len(train)} image is too few for training and validation")
        return with_validation(train, taken, val)

    def _folders(self, split: str) -> tuple[Path, Path]:
        """Returns the folders of a split's images and annotations."""
        return self._root / "images" / split, self._root / "annotations" / split

    def _pairs_of(self, split: str) -> list[Pair]:
        images, annotations = self._folders(split)
        for folder in (images, annotations):
            if not folder.is_dir():
                raise UserError(f"{folder}: no such folder; {self._how_to_get_it()}")
        found = []
        for image in self._images(split, images):
            name = image.relative_to(images).with_suffix("").as_posix()
            annotation = annotations / f"{self._annotation_name(name)}.png"
            if not annotation.is_file():
                raise UserError(f"{annotation}: not there, and the image {image} needs it")
            found.append(Pair(name, image, annotation, (_bytes(image), _bytes(annotation))))
        if not found:
            raise UserError(f"{images}: no images in it (known suffixes: {' '.join(SUFFIXES)})")
        return found

    def _images(self, split: str, images: Path) -> list[Path]:
        """Lists the image files of a split, sorted, without hidden ones; `images` is their folder."""
        found = (path for path in images.rglob("*") if path.suffix.lower() in SUFFIXES)
        return sorted(path for path in found if not any(p.startswith(".") for p in path.relative_to(images).parts))

    def _annotation_name(self, name: str) -> str:
        """Returns the name of an image's annotation, without suffix."""
        return name

    def _how_to_get_it(self) -> str:
        return "data.root must hold images/SPLIT and annotations/SPLIT for the splits train and val"

    def load(self) -> Splits:
        options, pairs = self._map_options, self._pairs
        train, validation, test = map(self._split, pairs)
        if options.normalization == "imagenet":
            return Splits(train, validation, test, *IMAGENET)
        some = [pair.image for pair in pairs.train[:: -(-len(pairs.train) // MEASURED)]]
        moments = arrays.measured_on_disk(some, Square(options.image_size, options.channels))
        return Splits(train, validation, test, *moments)

    def _split(self, pairs: Sequence[Pair]) -> MapFiles:
        options = self._map_options
        read = partial(whole_labels, meaning=self._meaning)
        split = MapFiles(
            [(pair.image, pair.annotation) for pair in pairs],
            read,
            options.channels,
            options.image_size,
            options.windows.shorter_side,
            options.augmentation,
        )
        # Decodes one, as a rule.
        if pairs and all((read(pair.annotation, pair.image) == IGNORED).all() for pair in pairs):
            raise UserError(
                f"{pairs[0].annotation.parent}: every pixel of a split is ignored ({IGNORED}), so there is nothing to "
                "train on or measure"
            )
        return split

    def verify(self, progress: ProgressCallback) -> list[str]:
        """Decodes every image and every annotation, whole, and keeps none of them; names all that are wrong."""
        faults = Faults()
        found = self._verified(progress, faults)
        faults.raise_all()
        return found

    def _verified(self, progress: ProgressCallback, faults: Faults) -> list[str]:
        """Checks all of the data. Returns lines that say what was found, and adds what is wrong to the faults."""
        return [self._verified_split(split, pairs, progress, faults) for split, pairs in self._pairs._asdict().items()]

    def _verified_split(self, split: str, pairs: Sequence[Pair], progress: ProgressCallback, faults: Faults) -> str:
        ignored, channels, meaning = [], self._map_options.channels, self._meaning

        def part_ignored(pair: Pair) -> tuple[float, Faults]:
            part, wrong = 0.0, Faults()
            with wrong.collected():
                decoded(pair.image, channels)
                part = float((whole_labels(pair.annotation, pair.image, meaning) == IGNORED).mean())
            return part, wrong

        with ThreadPoolExecutor(len(usable_cores())) as pool:
            try:
                for part, wrong in pool.map(part_ignored, pairs):
                    ignored.append(part)
                    faults.lines += wrong.lines
                    progress(f"decoding {split}", len(ignored), len(pairs))
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        part = sum(ignored) / max(1, len(ignored))
        return f"{split}: {len(pairs)} images with annotations, all decode; {part:.1%} of pixels ignored"


def with_validation(train: Sequence[Pair], taken: int, test: list[Pair]) -> Pairs:
    """Takes validation pairs from the training pairs: so many, chosen by a hash of their names."""
    by_hash = sorted(train, key=lambda pair: hashlib.sha256(pair.name.encode("utf-8", "surrogateescape")).digest())
    return Pairs(sorted(by_hash[taken:]), sorted(by_hash[:taken]), test)


def _bytes(path: Path) -> int:
    with readable(path):
        return checked_size(path, path.stat().st_size)
