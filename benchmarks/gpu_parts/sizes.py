"""The models whose steps are measured: DeiT at 224 pixels, and those of the preset `tiny-imagenet`."""

from __future__ import annotations

from dataclasses import replace

from gpu_parts.plan import Settings
from learngene_bench.config.loader import load_grid, load_preset
from learngene_bench.contracts.family import family_of
from learngene_bench.models.vit import ViTSpec

DEIT = {"DeiT-Ti": 192, "DeiT-S": 384, "DeiT-B": 768}
CLASSES = 200
"""Classes of Tiny ImageNet."""


def deit(name: str, settings: Settings) -> ViTSpec:
    """Describes one of DeiT's sizes at 224 pixels, without a class token as the WAVE paper has it."""
    full = ViTSpec(depth=12, width=DEIT[name], heads=DEIT[name] // 64, patch_size=16, image_size=224)
    return settings.choose(full, replace(full, depth=2, width=DEIT[name] // 16, image_size=32, classes=10))


def tiny_imagenet(settings: Settings) -> dict[str, ViTSpec]:
    """Describes the models of the preset's sizes, by name."""
    preset = load_preset("tiny-imagenet", {}, load_grid("depth", {}))
    found = {}
    for name, size in preset.sizes.items():
        family = family_of(ViTSpec(depth=1, width=1, heads=1, patch_size=1, image_size=1))
        options = {key: value for key, value in preset.model.items() if key != "family"}
        spec = family.base_spec(
            family.Architecture(**options),
            width=size.width,
            image_size=preset.data["image_size"],
            channels=3,
            classes=CLASSES,
        )
        assert isinstance(spec, ViTSpec)
        found[f"tiny-imagenet {name}"] = settings.choose(
            spec, replace(spec, depth=2, width=spec.width // 8, patch_size=8)
        )
    return found


def batch_of(spec: ViTSpec, settings: Settings) -> int:
    """Returns the images of a step: 256, as the presets for GPUs have."""
    return settings.choose(256, 4)
