"""Swin Transformers, version 1 and 2: their description, their timm module, their base initialization."""

from learngene_bench.models.swin.spec import SwinSpec

__all__ = ["SwinSpec"]
