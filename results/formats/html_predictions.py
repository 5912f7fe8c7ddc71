"""Packs which images each model classifies right, for the page's comparison of two rows.

A bit for each image, in base64: what two models have in common grows with the number of pairs, the bits only with the
number of models.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from learngene_bench.results.records.predictions import KeptPredictions, predictions_of
from learngene_bench.results.records.types import Record
from learngene_bench.util.errors import DamagedFile
from learngene_bench.util.lazy import np

MOST_CHARACTERS = 1_000_000
"""Largest number of characters that the bits of all models together may have in a page."""


@dataclass(frozen=True)
class RightImages:
    """The images that models classify right.

    Attributes:
        sets: number of images, and of those in a row that show one thing, of each set of images.
        right: position of the set and bits in base64, most significant bit first, by the position of the record.
        problems: what is wrong with files, in lines.
        too_large: True if the bits are left out because they would have more than `MOST_CHARACTERS`.
    """

    sets: tuple[tuple[int, int], ...] = ()
    right: Mapping[int, tuple[int, str]] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    too_large: bool = False

    def facts(self) -> dict[str, Any]:
        """Returns what the script knows beside the bits, which stand with the records."""
        return {"sets": self.sets, "problems": self.problems, "tooLarge": self.too_large}


def right_images(records: Mapping[int, Record]) -> RightImages:
    """Reads the predictions of some records, by their positions; stops where they are too many for a page."""
    sets: dict[tuple[str, str], int] = {}
    sizes: list[tuple[int, int]] = []
    right: dict[int, tuple[int, str]] = {}
    problems: list[str] = []
    characters = 0
    for position, record in records.items():
        try:
            kept = predictions_of(record)
        except DamagedFile as error:
            problems.append(str(error))
            continue
        if kept is None:
            continue
        bits = base64.b64encode(np.packbits(kept.predictions.right).tobytes()).decode()
        characters += len(bits)
        if characters > MOST_CHARACTERS:
            return RightImages(problems=tuple(problems), too_large=True)
        place = sets.setdefault(_images(kept), len(sets))
        if place == len(sizes):
            sizes.append((kept.evaluation.images, kept.evaluation.views))
        right[position] = place, bits
    return RightImages(tuple(sizes), right, tuple(problems))


def _images(kept: KeptPredictions) -> tuple[str, str]:
    """Returns what is the same for two models exactly if they were measured on the same images."""
    labels = kept.predictions.label.astype(np.int64).tobytes()
    return kept.evaluation.model_dump_json(), hashlib.sha256(labels).hexdigest()
