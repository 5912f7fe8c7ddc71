"""Seeds of a plan: one number for everything that a run draws, or every gene seed with every target seed."""

from __future__ import annotations

import re

from pydantic import Field

from learngene_bench.schema.base import Document
from learngene_bench.util.errors import UserError


class CrossedSeeds(Document):
    """Two numbers of seeds, `3x4`: every gene is inherited by targets of every target seed.

    Attributes:
        genes: number of gene seeds, counted from 0; one decides a gene and the ancestors that it is made from.
        targets: number of target seeds, counted from 0; one decides all that is drawn for a target and its fine-tuning.
    """

    genes: int = Field(ge=1)
    targets: int = Field(ge=1)

    @property
    def independent(self) -> int:
        """Number of runs of a method that have neither seed in common: those whose two seeds are the same."""
        return min(self.genes, self.targets)

    @property
    def text(self) -> str:
        """The numbers as one types them."""
        return f"{self.genes}x{self.targets}"


Seeds = int | CrossedSeeds
"""Number of seeds that decide a whole run each, or the two numbers of crossed seeds."""


def parse_seeds(text: str) -> Seeds:
    """Reads `--seeds`: `6`, or genes x targets as in `3x4`.

    Raises:
        UserError: it is neither.
    """
    found = re.fullmatch(r"([0-9]{1,6})(?:[xX×]([0-9]{1,6}))?", text.strip())
    numbers = [int(number) for number in found.groups() if number] if found else []
    if not numbers or min(numbers) < 1:
        raise UserError(
            f"--seeds {text!r}: expected a number of seeds from 1, as in --seeds 6, or genes x targets, as in "
            "--seeds 3x4"
        )
    return numbers[0] if len(numbers) == 1 else CrossedSeeds(genes=numbers[0], targets=numbers[1])
