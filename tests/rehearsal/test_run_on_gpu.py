"""A whole `lgbench run` on a GPU: ancestor, gene, targets, predictions and records, on a simulated one."""

from __future__ import annotations

import json
from pathlib import Path

from allowed_waits import unexplained
from whole_runs import lgbench_here

from learngene_bench.conformance.simulated_gpu import SimulatedGpu


def test_a_run_computes_all_its_stages_on_a_gpu(tmp_path: Path) -> None:
    few = ("--quick", "--set", "grid.depths=[4]", "--runs", str(tmp_path / "runs"), "--executor", "inline")
    with SimulatedGpu() as gpu:
        lgbench_here("run", "--method", "wave,he", "--set", "compute.device=cuda", *few)
    records = [json.loads(path.read_text()) for path in (tmp_path / "runs").glob("*/*/result.json")]
    assert len(records) == 4
    assert {record["provenance"]["hardware"]["device"] for record in records} == {"cuda"}
    assert {record["provenance"]["hardware"]["accelerator"] for record in records} == {"a simulated GPU"}
    assert unexplained(gpu.waits) == []
