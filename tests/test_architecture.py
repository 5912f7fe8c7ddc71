"""The layers of docs/architecture.md hold: what may import what, and how long a file may be."""

from __future__ import annotations

from pathlib import Path

import architecture
import draw_architecture
import pytest
from PIL import Image


@pytest.fixture(scope="module")
def graph() -> architecture.ImportGraph:
    return architecture.read_import_graph()


@pytest.mark.parametrize("fault", architecture.CHECKS)
def test_the_package_has_no(fault: str, graph: architecture.ImportGraph) -> None:
    assert architecture.CHECKS[fault](graph) == []


def test_every_module_is_in_a_room(graph: architecture.ImportGraph) -> None:
    rooms = {*architecture.LAYERS, *architecture.IMPLEMENTATIONS, architecture.FACADE}
    assert {architecture.room_of(module) for module in graph.files} <= rooms


def test_imports_count_wherever_they_stand(tmp_path: Path) -> None:
    files = {
        "pyproject.toml": '[tool.setuptools.package-dir]\n"learngene_bench" = "core"\n"learngene_bench.methods"="m"\n',
        "core/__init__.py": "",
        "core/version.py": "from learngene_bench.cli import main",
        "core/util/files.py": "def f():\n    import learngene_bench.util.errors as e\n",
        "core/util/errors.py": "if TYPE_CHECKING:\n    from learngene_bench.util.files import write\n",
        "core/cli/main.py": "x = 1\n" * (architecture.MOST_LINES + 1),
        "core/models/vit.py": "from learngene_bench.methods.wave import Wave",
        "m/wave.py": "from learngene_bench.util.files import write",
        "m/long.py": "x = 1\n" * (architecture.MOST_LINES_OF_A_METHOD + 1),
        "m/sws.py": "from learngene_bench.methods import wave",
        "core/results/load.py": "from learngene_bench.util import files\nfrom learngene_bench.runs import store",
        "core/runs/store.py": "from pathlib import Path",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    graph = architecture.read_import_graph(tmp_path)
    assert architecture.upward_imports(graph) == [
        "models.vit -> methods.wave",
        "results.load -> runs.store",
        "version -> cli.main",
    ]
    assert architecture.sibling_imports(graph) == ["methods.sws -> methods.wave"]
    assert architecture.cycles(graph) == ["util.files -> util.errors -> util.files"]
    assert architecture.long_methods(graph) == [f"methods.long: {architecture.MOST_LINES_OF_A_METHOD + 1} lines"]
    assert architecture.long_files(graph) == [f"cli.main: {architecture.MOST_LINES + 1} lines"]


def test_the_picture_shows_the_present_rooms_and_arrows(graph: architecture.ImportGraph) -> None:
    shown = Image.open(draw_architecture.PICTURE).text["Description"]
    assert shown == draw_architecture.content(graph), "run: python tools/draw_architecture.py"
