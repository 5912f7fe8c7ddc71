"""Parts of a training set: as many images of every class as there can be, nested, drawn by a seed."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from image_folders import folder, write_images

from learngene_bench.contracts.dataset import Splits
from learngene_bench.data.splits import ImageFiles, Images
from learngene_bench.data.subsets import draw, part_size, with_part
from learngene_bench.schema.provenance import Part
from learngene_bench.util.errors import UserError


@pytest.mark.parametrize(
    ("images", "classes", "share", "size"),
    [
        (1257, 10, 1, 13),
        (1257, 2, 1, 13),
        (800, 8, 3, 24),
        (1257, 10, 100, 1257),
        (2040, 102, 1, 102),  # one of each class
        (250, 2, 1, 3),  # a half is rounded up
        (5, 10, 50, 5),
    ],
)
def test_size_of_a_part(images: int, classes: int, share: float, size: int) -> None:
    assert part_size(images, classes, share) == size


def test_parts_take_turns_among_the_classes_and_lie_within_each_other() -> None:
    labels = np.random.default_rng(5).permutation(np.repeat(np.arange(4), [40, 3, 25, 12]))
    for seed in range(3):
        parts = [draw(labels, size, seed) for size in range(1, len(labels) + 1)]
        for size, part in enumerate(parts, start=1):
            assert len(set(part.tolist())) == size
            left, turns = dict(enumerate([40, 3, 25, 12])), size
            expected = dict.fromkeys(range(4), 0)
            while turns >= sum(count > 0 for count in left.values()) and turns:
                for label in [label for label, count in left.items() if count]:
                    left[label], expected[label], turns = left[label] - 1, expected[label] + 1, turns - 1
            found = np.bincount(labels[part], minlength=4)
            assert all(expected[label] <= found[label] <= expected[label] + 1 for label in range(4))
        assert all(set(small.tolist()) < set(large.tolist()) for small, large in itertools.pairwise(parts))
    assert draw(labels, 8, seed=0).tolist() != draw(labels, 8, seed=1).tolist()


def test_a_part_of_images_on_disk_is_of_the_same_files_as_in_memory(tmp_path: Path) -> None:
    """Test images, validation images and normalisation stay those of the whole."""
    root = write_images(tmp_path)
    whole = folder(root).load()
    streamed, decoded = (
        with_part(folder(root, stream=stream).load(), 3, Part(share=50, seed=1)) for stream in (True, False)
    )
    assert isinstance(streamed.train, ImageFiles)
    assert isinstance(decoded.train, Images)
    assert np.bincount(streamed.train.labels).tolist() == [3, 3, 3]
    assert set(streamed.train.names.tolist()) < set(whole.train.names.tolist())  # type: ignore[attr-defined]
    index = np.arange(9)
    assert np.array_equal(streamed.train.take(index), decoded.train.take(index))
    assert (len(streamed.test), len(streamed.validation)) == (len(whole.test), len(whole.validation))
    assert (streamed.mean, streamed.std) == (whole.mean, whole.std)


class Own:
    """Images that somebody's plugin keeps in a way of its own."""

    labels = np.array([0, 1, 0, 1])
    shape = (1, 2, 2)

    def __len__(self) -> int:
        return 4

    def take(self, indices: np.ndarray) -> np.ndarray:
        return np.broadcast_to(indices.astype(np.uint8)[:, None, None, None], (len(indices), *self.shape))

    def image(self, index: int, *, whole: bool = False) -> str:
        return f"{index} {whole}"


def test_a_part_of_images_of_any_other_kind() -> None:
    own = Own()
    part = with_part(Splits(own, own, own, (0.5,), (0.5,)), 2, Part(share=50, seed=0)).train  # type: ignore[arg-type]
    chosen = draw(own.labels, 2, 0)
    assert (len(part), part.shape, part.labels.tolist()) == (2, (1, 2, 2), own.labels[chosen].tolist())
    assert part.take(np.array([1, 0]))[:, 0, 0, 0].tolist() == chosen[::-1].tolist()
    assert part.image(1, whole=True) == f"{chosen[1]} True"


@pytest.mark.parametrize(
    ("labels", "message"),
    [([0, 0, 2], "class 1 has none"), ([[0, 1], [1, 0]], "these have several labels each")],
)
def test_labels_that_no_part_can_be_drawn_by(labels: list[int], message: str) -> None:
    split = Images(np.zeros((len(labels), 1, 2, 2), np.uint8), np.array(labels))
    with pytest.raises(UserError, match=message):
        with_part(Splits(split, split, split, (0.5,), (0.5,)), 3, Part(share=10, seed=0))
