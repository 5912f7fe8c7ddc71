"""MLflow: a server that MLFLOW_TRACKING_URI names, else a data base in the runs folder."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from learngene_bench.contracts.tracker import StageOutcome, TrackedStage, Tracker
from learngene_bench.util.locks import exclusively

_STATUS: dict[StageOutcome, str] = {"done": "FINISHED", "failed": "FAILED", "stopped": "KILLED"}
_MOST_SETTINGS = 100
"""Settings that MLflow takes at once."""
_LONGEST_SETTING = 6000
"""Letters of a setting that MLflow takes."""
_PATIENCE = 240.0
"""Seconds to wait for another process that makes the data base."""


class MLflow(Tracker):
    """Writes a run for each stage in the experiment `learngene-bench` (MLFLOW_EXPERIMENT_NAME: another)."""

    name, title, module = "mlflow", "MLflow, a data base in the runs folder or a server", "mlflow"

    def open(self, stage: TrackedStage, folder: Path, run: str | None) -> str:
        from mlflow.entities import Param
        from mlflow.tracking import MlflowClient

        server = os.environ.get("MLFLOW_TRACKING_URI")
        with exclusively(folder, wait=_PATIENCE):  # two processes that make one data base spoil it
            self.client: Any = MlflowClient(tracking_uri=server or _data_base(folder))
            experiment = self._experiment(None if server else (folder / "artifacts").as_uri())
        if run is not None:
            self.client.update_run(run, status="RUNNING")
            self.run = run
            return run
        tags = {"stage": stage.kind, "address": stage.address}
        self.run = str(self.client.create_run(experiment, run_name=stage.label, tags=tags).info.run_id)
        settings = [Param(name, str(value)[:_LONGEST_SETTING]) for name, value in stage.settings.items()]
        for first in range(0, len(settings), _MOST_SETTINGS):
            self.client.log_batch(self.run, params=settings[first : first + _MOST_SETTINGS])
        return self.run

    def log(self, step: int, values: Mapping[str, float]) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        self.client.log_batch(self.run, metrics=[Metric(name, value, now, step) for name, value in values.items()])

    def close(self, outcome: StageOutcome) -> None:
        self.client.set_terminated(self.run, _STATUS[outcome])

    @classmethod
    def where(cls, folder: Path) -> str:
        server = os.environ.get("MLFLOW_TRACKING_URI")
        return server or f"mlflow ui --backend-store-uri {_data_base(folder)}"

    def _experiment(self, artifacts: str | None) -> str:
        """Returns the id of the experiment, which is made if there is none; another process may make it meanwhile."""
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or "learngene-bench"
        found = self.client.get_experiment_by_name(name)
        if found is None:
            try:
                return str(self.client.create_experiment(name, artifact_location=artifacts))
            except Exception:
                found = self.client.get_experiment_by_name(name)
                if found is None:
                    raise
        return str(found.experiment_id)


def _data_base(folder: Path) -> str:
    return f"sqlite:///{folder / 'mlflow.db'}"
