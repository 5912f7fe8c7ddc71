"""The Vision Transformer: its description, its timm module, its base initialization."""
