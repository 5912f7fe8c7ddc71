from __future__ import annotations

import subprocess
import sys

HEAVY = {"torch", "numpy", "pandas", "scipy", "matplotlib"}


def test_tables_need_no_heavy_package() -> None:
    code = f"import sys, learngene_bench.results; print({HEAVY!r} & set(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert loaded.strip() == "set()"
