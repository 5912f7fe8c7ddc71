"""Peak rates of GPUs for dense bfloat16 products that add in float32, as the makers' data sheets say, by card name."""

from __future__ import annotations

import re

PEAKS = {
    "B300": 2250.0,
    "GB200": 2500.0,
    "B200": 2250.0,
    "GH200": 989.4,
    "H200 NVL": 835.5,
    "H200": 989.4,
    "H100 NVL": 835.5,
    "H100 PCIe": 756.0,
    "H100": 989.4,
    "H800 PCIe": 756.0,
    "H800": 989.4,
    "A100": 312.0,
    "A800": 312.0,
    "A40": 149.7,
    "A30": 165.0,
    "A10G": 70.0,
    "A10": 125.0,
    "L40S": 362.0,
    "L40": 181.0,
    "L4": 121.0,
    "RTX 6000 Ada": 364.2,
    "RTX A6000": 154.8,
    "RTX 5090": 209.5,
    "RTX 4090": 165.2,
    "RTX 3090": 71.0,
}
"""TFLOP/s without sparsity, by a part of the name that the driver gives."""


def peak_of(card: str) -> float | None:
    """Returns the peak of a card in TFLOP/s; None for one that is not in the table.

    Args:
        card: name as `torch.cuda.get_device_name` gives it: "NVIDIA H200", "NVIDIA A100-SXM4-80GB".
    """
    for name in sorted(PEAKS, key=len, reverse=True):
        if re.search(rf"(?<![A-Za-z0-9]){re.escape(name)}(?![A-Za-z0-9])", card):
            return PEAKS[name]
    return None


def share(tflops: float, peak: float | None) -> str:
    """Returns a rate as a share of the peak, in words; a dash where the peak is not known."""
    return f"{tflops / peak:.1%}" if peak else "-"
