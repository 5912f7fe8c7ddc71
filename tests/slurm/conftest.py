"""The cluster of a test process: started once, empty before each test; its logs are printed with a failure."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator

import pytest
from cluster import Cluster, missing


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A running cluster without jobs, whose arrays have 5 elements at most."""
    if reason := missing():
        pytest.skip(f"no SLURM cluster: {reason}")
    with Cluster(tmp_path_factory.mktemp("slurm"), MaxArraySize=5) as running:
        yield running


@pytest.fixture(autouse=True)
def _in_cluster(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Jobs that a test submits in its own process go to the cluster, and end with the test."""
    environment = cluster.environment()
    for name in os.environ.keys() - environment.keys():
        monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    yield
    cluster.start_slurmd()
    cluster.cancel_all()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    running = item.funcargs.get("cluster") if isinstance(item, pytest.Function) else None
    if report.failed and isinstance(running, Cluster):
        report.sections += [(f"{name}.log", tail) for name, tail in running.log_tails().items()]
    return report
