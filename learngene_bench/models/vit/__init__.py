"""The plain Vision Transformer: its description, its timm module, iRPE, its base initialization."""

from learngene_bench.models.vit.spec import ViTSpec

__all__ = ["ViTSpec"]
