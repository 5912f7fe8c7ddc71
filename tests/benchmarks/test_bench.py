"""The frame of the benchmarks: ways take turns, ratios are of rounds, the table of the page is that of the CSV."""

from __future__ import annotations

import importlib
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import bench
import pytest
from supervised import Finding, Outcome, Part, Report, read_findings
from timing import Ratio, alternate, describe, ratio

ROOT = Path(__file__).parents[2]


def test_ways_take_turns_in_both_orders() -> None:
    called: list[str] = []
    ways = {name: lambda name=name: called.append(name) for name in "ab"}
    taken = alternate(ways, rounds=3, warmup=1)
    assert "".join(called) == "ab" + "ab" + "ba" + "ab"
    assert [len(times) for times in taken.values()] == [3, 3]


def test_a_duration_bounds_the_rounds_and_three_are_measured_at_least() -> None:
    taken = alternate({"a": lambda: time.sleep(0.01)}, seconds=0.0)
    assert len(taken["a"]) == 3
    assert len(alternate({"a": lambda: None}, seconds=5.0, rounds=4)["a"]) == 4
    with pytest.raises(ValueError, match="rounds, seconds or both"):
        alternate({"a": lambda: None})


def test_the_ratio_is_the_median_of_the_rounds_ratios() -> None:
    """Another program slows the second round of both: the ratio of the medians would be 1.5."""
    found = ratio({"ours": [2.0, 30.0, 3.0], "theirs": [1.0, 10.0, 2.0]}, "ours", "theirs")
    assert found.by_round == [2.0, 3.0, 1.5]
    assert found.median == 2.0
    assert found.spread == (1.5, 3.0)
    assert describe(found) == "ours: 3 s; theirs: 2 s; ratio 2.000 (1.500 to 3.000, 3 rounds)"
    many = Ratio("a", "b", "s", tuple(map(float, range(1, 9))), (1.0,) * 8)
    assert many.spread == (2.25, 6.75)


def test_every_benchmark_gives_ratios_and_all_are_bounded() -> None:
    assert sum(part.seconds for part in bench.BENCHMARKS) <= 600
    for part in bench.BENCHMARKS:
        assert "\ndef ratios(seconds: float) -> Iterator[Ratio]:" in (ROOT / f"benchmarks/{part.name}.py").read_text()


def test_what_a_benchmark_yields_becomes_rows(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    module = ModuleType("made_up")

    def ratios(seconds: float) -> Iterator[Ratio]:
        yield Ratio("ours", "theirs", "s", (seconds, seconds, seconds), (8.0, 8.0, 8.0), "a step")
        raise RuntimeError("the second one fails")

    module.ratios = ratios  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "made_up", module)
    with pytest.raises(RuntimeError, match="second"):
        bench.measure("made_up", 10.0, Report(tmp_path / "lines", "made_up"))
    outcome = Outcome(Part("made_up", "", 10.0), "exit status 1", 1.0, read_findings(tmp_path / "lines"))
    (row,) = bench.rows_of([outcome])
    assert (row["subject_median"], row["peer_median"], row["ratio"], row["rounds"]) == ("10.0", "8.0", "1.25", "3")
    assert bench.tabulated([row])[2].startswith("| `made_up` | ours | theirs | 10 s | 8 s | 1.25 | 1.25 to 1.25 | 3 |")


def test_rows_of_benchmarks_that_were_not_measured_stay(tmp_path: Path) -> None:
    def rows(name: str, value: float) -> list[dict[str, str]]:
        values = {"subject": "a", "peer": "b", "unit": "s", "subject_median": value, "peer_median": 1.0}
        values |= {"ratio": value, "low": value, "high": value, "rounds": 3}
        return bench.rows_of([Outcome(Part(name, "", 1.0), "", 1.0, [Finding(name, values)])])

    page, file = tmp_path / "README.md", tmp_path / "ratios.csv"
    page.write_text(f"Before.\n\n{bench.BEGIN}{bench.END}\nAfter.\n")
    bench.write(rows("streaming", 2.0) + rows("training_step", 3.0), file, page, ["streaming", "training_step"])
    bench.write(rows("streaming", 4.0), file, page, ["streaming"])
    assert [(row["benchmark"], row["ratio"]) for row in bench.read(file)] == [
        ("training_step", "3.0"),
        ("streaming", "4.0"),
    ]
    text = page.read_text()
    assert text.startswith("Before.\n")
    assert text.endswith("After.\n")
    assert "| 4.00 |" in text
    assert "| 2.00 |" not in text


def test_the_table_of_the_page_is_that_of_the_csv() -> None:
    rows, text = bench.read(ROOT / "benchmarks" / "ratios.csv"), (ROOT / "benchmarks" / "README.md").read_text()
    assert bench.with_table(text, rows) == text, "run: make bench"


def test_an_unknown_benchmark_is_a_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["bench.py", "--only", "speed"])
    with pytest.raises(SystemExit, match="2"):
        bench.main()
    assert "there is no benchmark 'speed' (valid: training_step, condensation_step" in capsys.readouterr().err


def test_the_smallest_benchmark_measures(tmp_path: Path) -> None:
    (found,) = importlib.import_module("materialise").ratios(0.1)
    assert found.median > 0
    assert len(found.subjects) >= 3
    assert json.dumps(found.by_round)
