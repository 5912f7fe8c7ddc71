"""Light commands do not import torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = (
    *("torch", "timm", "torchvision", "scipy", "sklearn", "pandas", "matplotlib"),
    *("tensorboard", "wandb", "mlflow", "trackio", "huggingface_hub"),
)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["list"],
        ["info", "wave"],
        ["plan", "--method", "all", "--seeds", "3"],
        ["plan", "-m", "he", "--format", "json"],
        ["plan", "--method", "all", "--set", "model.family=swin"],
        ["plan", "--method", "all", "--set", "model.family=convnext", "--preset", "imagenet"],
        ["data", "list"],
    ],
)
def test_light_verbs_import_nothing_heavy(arguments: list[str], tmp_path: Path) -> None:
    code = (
        "import sys; sys.argv = ['lgbench', *sys.argv[1:]]\n"
        "from learngene_bench.cli.main import main\n"
        "try:\n    main()\nexcept SystemExit as e:\n    assert not e.code, e.code\n"
        f"print('HEAVY', sorted(set({HEAVY}) & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "HEAVY []"


def test_the_facade_gives_every_name_without_torch() -> None:
    code = (
        "import sys, learngene_bench\n"
        "assert set(learngene_bench._HOMES) == set(learngene_bench.__all__) - {'PROTOCOL', '__version__'}\n"
        "for name in sorted(set(learngene_bench.__all__) - {'initialize'}): getattr(learngene_bench, name)\n"
        f"print('HEAVY', sorted(set({HEAVY}) & set(sys.modules)))\n"
        "assert callable(learngene_bench.initialize)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "HEAVY []"
