"""Loads batches whose images are decoded or augmented one by one, in processes that work ahead of training.

An image's random numbers depend on its place in the epoch only. So a batch is the same whichever process loads it,
however many there are, and wherever training is continued.
"""

from __future__ import annotations

import math
import os
import re
import sys
from abc import abstractmethod
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from types import TracebackType
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from learngene_bench.config.preset import Compute
from learngene_bench.config.recipe import Augmentation
from learngene_bench.contracts.dataset import Split
from learngene_bench.contracts.task import TaskKind
from learngene_bench.data.batch_augment import Batch, Normalization, SplitImages, most_at_a_time
from learngene_bench.data.image_transforms import EvalDataset, ImageRequest, TransformDataset
from learngene_bench.data.sampler import AugmentationRng, ScheduledBatch
from learngene_bench.util.errors import UserError
from learngene_bench.util.hardware import cores_per_worker
from learngene_bench.util.signals import IGNORED, blocked, ignore_all_but_parent

CHUNK = 32
"""Most images that a process loads at a time. A batch is loaded by all processes together, also in small epochs."""
CHUNK_BYTES = 2**23
"""Most bytes that a process loads at a time; one image is more if it has to be."""
PREFETCH = 8
"""Chunks that each process may be ahead of training."""


_SHARED_MEMORY = re.compile(r"shared memory|unable to (write to|open|mmap|resize) file </?torch_|</torch_")


class LoadedImages(SplitImages):
    """Images that are loaded by other processes, ahead of training.

    Attributes:
        training: what these processes make of a request, for training.
        loaded_shape: shape of that, of an image.

    Args:
        num_workers: processes that load images; 0 to load them in this one.
    """

    training: TransformDataset
    loaded_shape: tuple[int, int, int]

    def __init__(
        self,
        split: Split,
        normalization: Normalization,
        device: torch.device,
        augmentations: tuple[Augmentation, ...] = (),
        kind: TaskKind | None = None,
        num_workers: int = 0,
    ) -> None:
        super().__init__(split, normalization, device, augmentations, kind)
        self.num_workers = num_workers

    @abstractmethod
    def finished(self, loaded: Tensor, index: Tensor, rng: AugmentationRng) -> Batch:
        """Makes a training batch of what was loaded for it, uint8 (B, ...), and of its positions in the split (B,)."""

    def batches(self, schedule: Iterable[ScheduledBatch], rng: AugmentationRng) -> Generator[Batch, None, None]:
        requested: deque[Tensor] = deque()

        def chunks() -> Iterator[list[ImageRequest]]:
            for scheduled in schedule:
                requested.append(scheduled.index)
                seeds = (rng.image_seed(scheduled.epoch, scheduled.first + i) for i in range(len(scheduled.index)))
                yield from self._chunks(list(zip(scheduled.index.tolist(), seeds, strict=True)))

        with self._loaded(self.training, chunks()) as loaded:
            for chunk in loaded:
                index = requested.popleft()
                yield self.finished(self._batch(chunk, loaded, len(index)), index, rng)

    def _batch(self, first: Tensor, loaded: Iterator[Tensor], count: int) -> Tensor:
        """Joins the first chunk of a batch and those that come next: `count` uint8 images on the device."""
        images = torch.empty((count, *self.loaded_shape), dtype=torch.uint8, device=self.device)
        start = 0
        for chunk in (first, *islice(loaded, -(-count // self._chunk) - 1)):
            images[start : start + len(chunk)].copy_(chunk, non_blocking=True)
            start += len(chunk)
        return images

    @property
    def _chunk(self) -> int:
        return max(1, min(CHUNK, CHUNK_BYTES // math.prod(self.loaded_shape)))

    def _chunks(self, requests: list[ImageRequest]) -> Iterator[list[ImageRequest]]:
        for start in range(0, len(requests), self._chunk):
            yield requests[start : start + self._chunk]

    @contextmanager
    def _loaded(self, images: TransformDataset, chunks: Iterator[list[ImageRequest]]) -> Iterator[Iterator[Any]]:
        """Loads the chunks ahead and in their order; the processes end with the `with` block.

        Raises:
            UserError: a file is damaged, or a process was killed.
        """
        several = self.num_workers > 0
        loader = DataLoader(
            images,
            batch_sampler=chunks,
            num_workers=self.num_workers,
            collate_fn=identity_collate,
            pin_memory=self.device.type == "cuda",
            worker_init_fn=_start_worker if several else None,
            prefetch_factor=PREFETCH if several else None,
            generator=torch.Generator(),  # else it draws from the global one, which is drop path's
        )
        with translate_loader_errors():
            with blocked(IGNORED):  # until `_start_worker` says what becomes of them
                iterator = iter(loader)
            yield map(_images_or_error, iterator)


class StreamedImages(LoadedImages):
    """A split that is on disk, or is augmented one image at a time."""

    def __init__(
        self,
        split: Split,
        normalization: Normalization,
        device: torch.device,
        augmentations: tuple[Augmentation, ...] = (),
        kind: TaskKind | None = None,
        num_workers: int = 0,
    ) -> None:
        super().__init__(split, normalization, device, augmentations, kind, num_workers)
        self.labels = torch.from_numpy(split.labels).to(device)
        self.training, self.plain = TransformDataset(split, augmentations, normalization.mean), EvalDataset(split)
        self.loaded_shape = split.shape

    def finished(self, loaded: Tensor, index: Tensor, rng: AugmentationRng) -> Batch:
        labels = self.labels[index.to(self.device, non_blocking=True)]
        return self.augmented(loaded, labels, rng.cpu_generator, rng.noise)

    def eval_batches(self, batch_size: int | None = None, first: int = 0, end: int | None = None) -> Iterator[Batch]:
        batch_size, end = batch_size or most_at_a_time(self.labels), len(self) if end is None else end
        batches = [range(start, min(start + batch_size, end)) for start in range(first, end, batch_size)]
        chunks = (chunk for batch in batches for chunk in self._chunks([(position, 0) for position in batch]))
        with self._loaded(self.plain, chunks) as loaded:
            for batch, chunk in zip(batches, loaded, strict=True):
                images = self._batch(chunk, loaded, len(batch)).float().div_(255)
                yield self.normalization(images), self.labels[batch.start : batch.stop]


def loader_workers(compute: Compute) -> int:
    """Returns how many processes load images for one that trains: one for each of its cores, unless the user says."""
    if compute.num_workers is not None:
        return compute.num_workers
    return max(1, cores_per_worker() // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))


@contextmanager
def translate_loader_errors() -> Iterator[None]:
    """Raises `UserError` where this machine cannot do it: no method and no image is the cause.

    torch's error about a killed loading process comes up wherever this one just is.
    """
    try:
        yield
    except OSError as error:
        raise UserError(
            f"processes that load images cannot be started: {error.strerror or error}; shared memory (/dev/shm) must "
            "be writable, or compute.num_workers=0"
        ) from error
    except RuntimeError as error:
        if _SHARED_MEMORY.search(str(error)):
            raise UserError(
                "shared memory (/dev/shm) is full or not writable, and images come through it from the processes that "
                "load them: make it larger, or set compute.num_workers=0"
            ) from error
        if not re.match(r"DataLoader worker .*(killed|exited)", str(error)):
            raise
        raise UserError(
            "a process that loads images was killed: memory, or shared memory (/dev/shm), may be too small for "
            "compute.num_workers of them"
        ) from error


def _start_worker(_: int) -> None:
    """Leaves to the parent what is to be done about signals.

    torch's watchdog ends a loading process within five seconds of its parent's end, also if the parent is killed.
    """
    ignore_all_but_parent()
    sys.excepthook = _ignore_lost_parent


def _ignore_lost_parent(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    """Suppresses the traceback that multiprocessing prints when the parent process exits."""
    if not isinstance(error, ConnectionError | EOFError):
        sys.__excepthook__(kind, error, traceback)


def identity_collate(chunk: Any) -> Any:
    """Returns what `__getitems__` returned, which is a batch already."""
    return chunk


def _images_or_error(chunk: Any) -> Any:
    if isinstance(chunk, str):
        raise UserError(chunk)
    return chunk
