"""Training batches whose images are decoded or augmented one by one, in processes that work ahead of training.

What is drawn for an image is decided by its place in the epoch, so that a batch is the same whichever process loads
it, however many there are, and wherever training is continued.
"""

from __future__ import annotations

import ctypes
import os
import re
import signal
import sys
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from types import TracebackType
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from learngene_bench.config.preset import Compute
from learngene_bench.config.recipe import Augmentation
from learngene_bench.contracts.dataset import Split
from learngene_bench.data.batch_augment import Normalization, Shown, SplitImages
from learngene_bench.data.image_transforms import OneByOne, Plain, Wanted
from learngene_bench.data.sampler import Batch, Draws
from learngene_bench.util.errors import UserError
from learngene_bench.util.hardware import cores_per_worker
from learngene_bench.util.signals import IGNORED, held_back, ignore_all_but_the_parents

PIECE = 32
"""Images that a process loads at a time: a batch comes from all processes together, and small epochs use all too."""
PR_SET_PDEATHSIG = 1
"""From linux/prctl.h."""
AHEAD = 8
"""Pieces that each process may be ahead of training."""


class StreamedImages(SplitImages):
    """A split that is on disk, or is augmented one image at a time.

    Args:
        loaders: processes that load images; 0 for this one.
    """

    def __init__(
        self,
        split: Split,
        normalization: Normalization,
        device: torch.device,
        augmentations: tuple[Augmentation, ...] = (),
        loaders: int = 0,
    ) -> None:
        super().__init__(split, normalization, device, augmentations)
        self.shape, self.loaders = split.shape, loaders
        self.training, self.plain = OneByOne(split, augmentations, normalization.mean), Plain(split)

    def batches(self, wanted: Iterable[Batch], draws: Draws) -> Generator[Shown, None, None]:
        asked_for: deque[Batch] = deque()

        def pieces() -> Iterator[list[Wanted]]:
            for batch in wanted:
                asked_for.append(batch)
                places, index = batch.part.select(torch.arange(len(batch.index))), batch.part.select(batch.index)
                numbers = [draws.of_image(batch.epoch, batch.first + place) for place in places.tolist()]
                yield from _pieces(list(zip(index.tolist(), numbers, strict=True)))

        with self._loaded(self.training, pieces()) as loaded:
            for piece in loaded:
                batch = asked_for.popleft()
                index = batch.part.select(batch.index)
                images = self._whole(piece, loaded, len(index))
                labels = self.labels[index.to(self.device, non_blocking=True)]
                yield self.augmented(images, draws.small, draws.noise, batch.part), labels

    def in_order(self, batch_size: int, first: int = 0, end: int | None = None) -> Iterator[Shown]:
        end = len(self) if end is None else end
        batches = [range(start, min(start + batch_size, end)) for start in range(first, end, batch_size)]
        pieces = (piece for batch in batches for piece in _pieces([(place, 0) for place in batch]))
        with self._loaded(self.plain, pieces) as loaded:
            for batch, piece in zip(batches, loaded, strict=True):
                images = self._whole(piece, loaded, len(batch)).float().div_(255)
                yield self.normalization(images), self.labels[batch.start : batch.stop]

    def _whole(self, first: Tensor, loaded: Iterator[Tensor], count: int) -> Tensor:
        """A batch's uint8 images on the device, of its first piece and those that come next."""
        images = torch.empty((count, *self.shape), dtype=torch.uint8, device=self.device)
        start = 0
        for piece in (first, *islice(loaded, -(-count // PIECE) - 1)):
            images[start : start + len(piece)].copy_(piece, non_blocking=True)
            start += len(piece)
        return images

    @contextmanager
    def _loaded(self, images: OneByOne, pieces: Iterator[list[Wanted]]) -> Iterator[Iterator[Tensor]]:
        """The pieces in their order, loaded ahead; the processes end with the `with` block.

        Raises:
            UserError: a file is damaged, or a process was killed.
        """
        several = self.loaders > 0
        loader = DataLoader(
            images,
            batch_sampler=pieces,
            num_workers=self.loaders,
            collate_fn=_as_it_is,
            pin_memory=self.device.type == "cuda",
            worker_init_fn=_begin if several else None,
            prefetch_factor=AHEAD if several else None,
            generator=torch.Generator(),  # else it draws from the global one, which is drop path's
        )
        with lost_loader_explained():
            with held_back(IGNORED):  # until `_begin` says what becomes of them
                iterator = iter(loader)
            yield map(_checked, iterator)


def loaders(compute: Compute) -> int:
    """How many processes load images for one that trains: as many as it has cores, unless the user says otherwise."""
    if compute.num_workers is not None:
        return compute.num_workers
    return max(1, cores_per_worker() // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))


@contextmanager
def lost_loader_explained() -> Iterator[None]:
    """torch tells of a killed process in an error of its own, which it raises wherever this process just is."""
    try:
        yield
    except RuntimeError as error:
        if not re.match(r"DataLoader worker .*(killed|exited)", str(error)):
            raise
        raise UserError(
            "a process that loads images was killed: memory, or shared memory (/dev/shm), may be too small for "
            "compute.num_workers of them"
        ) from error


def _begin(_: int) -> None:
    """In a new process: it ends when its parent does, and leaves to the parent what is to be done about signals."""
    ignore_all_but_the_parents()
    sys.excepthook = _silent_about_the_parent
    with suppress(AttributeError, OSError):  # Linux has this; elsewhere torch looks for the parent every few seconds
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _silent_about_the_parent(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    """That a parent went away while it fetched an image is nothing to report: a thread of multiprocessing would."""
    if not isinstance(error, ConnectionError | EOFError):
        sys.__excepthook__(kind, error, traceback)


def _pieces(wanted: list[Wanted]) -> Iterator[list[Wanted]]:
    for start in range(0, len(wanted), PIECE):
        yield wanted[start : start + PIECE]


def _as_it_is(piece: Any) -> Any:
    """What `__getitems__` returns is a batch already."""
    return piece


def _checked(piece: Tensor | str) -> Tensor:
    if isinstance(piece, str):
        raise UserError(piece)
    return piece
