"""ConvNeXts, version 1 and 2: their description, their timm module, their base initialization."""

from learngene_bench.models.convnext.spec import ConvNeXtSpec

__all__ = ["ConvNeXtSpec"]
