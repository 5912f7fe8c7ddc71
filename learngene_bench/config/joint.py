"""Settings of the augmentation of an image together with its label map."""

from __future__ import annotations

from pydantic import Field, model_validator

from learngene_bench.config.section import Section


class JointAugmentation(Section):
    """Random changes of a training image and of its label map, in this order; the defaults are Segmenter's.

    The image is resized, a square is cut out of it, mirrored, and its colours change. A square that the image does not
    fill is filled up: with 0 after normalisation, and with the label 255, which is ignored.
    """

    scale: tuple[float, float] = Field(
        (0.5, 2.0), description="shorter side of the resized image over data.shorter_side, smallest and largest"
    )
    largest_class: float = Field(
        0.75, gt=0, le=1, description="part of a crop that its largest class stays below, in one of up to 10 draws"
    )
    flip: bool = Field(True, description="mirror left and right with probability 1/2")
    photometric: bool = Field(
        True, description="change brightness, contrast, saturation, hue, each with probability 1/2"
    )

    @model_validator(mode="after")
    def _ascending(self) -> JointAugmentation:
        if not 0 < self.scale[0] <= self.scale[1]:
            raise ValueError("scale is two numbers above 0, the smaller one first")
        return self
