"""The gene that tests of the Python interface share."""

from __future__ import annotations

from pathlib import Path

import pytest
from own_timm_models import DEIT, wave_gene


@pytest.fixture(scope="module")
def gene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The gene of a DeiT-Ti."""
    path = tmp_path_factory.mktemp("gene") / "gene.safetensors"
    wave_gene(DEIT).save(path)
    return path
