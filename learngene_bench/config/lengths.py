"""Doubts about the length of fine-tuning: what makes no sense for the size of the data, in words."""

from __future__ import annotations

FEWEST_STEPS = 30
"""Steps of fine-tuning below which a model has hardly begun to learn."""
MOST_OFTEN = 10
"""Images that an initialization may train on, over those of fine-tuning; beyond it, it is fine-tuning itself."""


def doubts(task: str, steps: float, batch: float, initializing: dict[str, float]) -> list[str]:
    """Says what makes no sense about how long targets are fine-tuned; nothing where all is well.

    Args:
        task: the task that targets are fine-tuned on.
        steps: optimizer steps of fine-tuning; with 0 nothing is fine-tuned.
        batch: images of a step.
        initializing: images that a method trains on while it initializes a target, by what tables call it.
    """
    if not steps:
        return []
    found = []
    if steps < FEWEST_STEPS:
        found.append(
            f"Fine-tuning on {task} is only {steps:.0f} steps of {batch:.0f} images, as the recipe is made for more "
            "images: give it more epochs, or smaller batches"
        )
    for method, images in initializing.items():
        if images > MOST_OFTEN * steps * batch:
            ratio = images / (steps * batch)
            found.append(
                f"{method} trains on {ratio:.0f} times as many images before fine-tuning on {task} as in it: compare "
                "methods with --equal-budget, or fine-tune for longer"
            )
    return found
