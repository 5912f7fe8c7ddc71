"""Small models and data that several tests share."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from learngene_bench.models.vit import ViTSpec

# One thread, as the presets compute: sums come in one order.
torch.set_num_threads(1)
os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skips what needs a GPU where there is none; `make gpu-check` runs it on a machine with one."""
    if not torch.cuda.is_available():
        for item in items:
            if item.get_closest_marker("gpu"):
                item.add_marker(pytest.mark.skip(reason="needs a GPU"))


@pytest.fixture(autouse=True, scope="session")
def _own_cache() -> Iterator[None]:
    """No test reads or fills the cache of the person who runs it."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["LGBENCH_CACHE"] = folder
        yield
        del os.environ["LGBENCH_CACHE"]


@pytest.fixture
def tiny() -> ViTSpec:
    """Two heads, nine tokens, three blocks."""
    return ViTSpec(depth=3, width=8, heads=2, patch_size=2, image_size=6, channels=1, classes=5)


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 600 KB of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", str(folder)], capture_output=True)
    if mounted.returncode:
        pytest.skip("a small file system cannot be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)
