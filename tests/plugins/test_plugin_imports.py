"""Whatever of the user's a plugin file imports is part of its identity; two methods of one name are refused."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from whole_runs import PLUGIN, lgbench_here

from learngene_bench.contracts.initializer import INITIALIZERS
from learngene_bench.plugins.own_modules import find_imports
from learngene_bench.plugins.registry import Registry
from learngene_bench.util.errors import UserError
from learngene_bench.util.files import file_hash
from learngene_bench.util.source_code import snapshot


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on Python's path; what is imported from it is forgotten afterwards."""
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    forget()


def forget() -> None:
    """Does what a new process does: the tests' modules are imported again."""
    for name in [*sys.modules]:
        if name.partition(".")[0] in ("helper", "package", "widgets"):
            del sys.modules[name]


def write(folder: Path, **files: str) -> Path:
    """Writes modules by their paths without suffix, and returns the plugin's file."""
    for name, text in files.items():
        path = folder / f"{name}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return folder / "mine.py"


def identity(plugin: Path) -> str | None:
    forget()
    return Registry([plugin]).get("mine").source_hash


def plugin_with(imports: str, body: str = "pass") -> str:
    return imports + PLUGIN.format(body=body)


@pytest.mark.parametrize(
    ("imports", "body"),
    [
        ("import helper", "helper.use()"),
        ("from helper import *", "pass"),
        ("import importlib; helper = importlib.import_module('help' + 'er')", "pass"),
        ("", "from helper import use"),
        ("", "__import__('helper').use()"),
        ("import package.middle", "pass"),
        ("from package import middle", "pass"),
    ],
)
def test_editing_a_module_that_a_plugin_imports_makes_another_identity(folder: Path, imports: str, body: str) -> None:
    plugin = write(folder, mine=plugin_with(imports, body), helper="use = print")
    write(folder, **{"package/middle": "from . import deep", "package/deep": "import helper"})
    before = identity(plugin)
    assert before == identity(plugin)
    (folder / "helper.py").write_text("use = repr")
    assert identity(plugin) != before


def test_a_plugin_that_is_loaded_twice_has_one_identity(folder: Path) -> None:
    imports = "import importlib; helper = importlib.import_module('help' + 'er')\n"
    plugin = write(folder, helper="def use(): pass\n", mine=plugin_with(imports))
    assert identity(plugin) == Registry([plugin]).get("mine").source_hash


@pytest.mark.parametrize(("imports", "body"), [("import helper\n", "pass"), ("", "import helper")])
def test_a_module_that_was_edited_after_it_was_imported_is_refused_until_it_is_reloaded(
    folder: Path, imports: str, body: str
) -> None:
    plugin = write(folder, helper="def use(): return 1\n", mine=plugin_with(imports, body))
    before = identity(plugin)
    helper = importlib.import_module("helper")
    write(folder, helper="def use(): return 22\n")
    for _ in range(2):
        with pytest.raises(
            UserError, match=r"helper\.py: edited after this process imported it: start Python anew, or"
        ):
            Registry([plugin])
    importlib.reload(helper)
    assert Registry([plugin]).get("mine").source_hash == identity(plugin) != before


def test_a_plugin_that_imports_what_the_suite_has_is_its_file(folder: Path) -> None:
    plugin = write(folder, mine=plugin_with("import json, torch, numpy.linalg, timm.layers"), helper="")
    assert identity(plugin) == file_hash(plugin)


def test_installed_distributions_count_by_version(folder: Path) -> None:
    info = folder / "site-packages" / "widgets-1.0.dist-info"
    info.mkdir(parents=True)
    (info.parent / "widgets.py").write_text("")
    (info / "RECORD").write_text("widgets.py,,\n")
    sys.path.insert(0, str(info.parent))
    try:
        plugin = write(folder, mine=plugin_with("import widgets"))
        seen = []
        for version in ("1.0", "2.0"):
            (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: widgets\nVersion: {version}\n")
            assert find_imports(plugin).distributions == {"widgets": version}
            seen.append(identity(plugin))
    finally:
        sys.path.remove(str(info.parent))
    assert seen[0] != seen[1]


def test_a_method_of_an_editable_package_counts_by_its_files_and_by_those_that_they_import(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(folder, **{"package/method": plugin_with("from . import deep"), "package/deep": "", "package/__init__": ""})
    INITIALIZERS.names()
    point = EntryPoint("mine", "package.method:Mine", INITIALIZERS.group)
    monkeypatch.setitem(INITIALIZERS._points, "mine", [point])

    def found() -> str | None:
        forget()
        return Registry().get("mine").source_hash

    before = found()
    assert before == found()
    (folder / "package" / "deep.py").write_text("use = repr")
    assert found() not in (before, None)
    (folder / "package-1.0.dist-info").mkdir()  # as pip leaves it beside what it copies
    assert found() is None
    assert Registry().get("wave").source_hash is None


def test_a_module_whose_name_is_computed_in_a_function_is_reported(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plugin = write(folder, mine=plugin_with("import importlib", "importlib.import_module(target.family)"))
    done = lgbench_here("plan", "--method", "mine", "--plugin", str(plugin))
    line = next(n for n, text in enumerate(plugin.read_text().splitlines(), 1) if "import_module(" in text)
    assert f"{plugin}, line {line}: imports a module by a name that is computed" in done.stderr


def test_a_snapshot_holds_the_modules_of_a_plugin(folder: Path) -> None:
    plugin = write(folder, mine=plugin_with("import package.middle"), **{"package/__init__": "", "package/middle": ""})
    code, _ = snapshot(folder / "code", [plugin], find_imports(plugin).modules)
    assert {path.name for path in (code / "package").iterdir()} == {"__init__.py", "middle.py"}


def test_two_methods_of_one_name_are_refused_and_both_are_named(folder: Path) -> None:
    first, second = write(folder, mine=plugin_with("")), folder / "again.py"
    second.write_text(first.read_text())
    assert Registry([first, first, folder / "." / "mine.py"]).get("mine")
    with pytest.raises(UserError) as refused:
        Registry([first, second])
    assert str(first) in str(refused.value)
    assert str(second) in str(refused.value)


def test_a_plugin_does_not_take_the_place_of_an_installed_method(folder: Path) -> None:
    plugin = write(folder, mine=plugin_with("").replace('"mine"', '"wave"'))
    with pytest.raises(UserError, match=r"mine\.py: class Mine is called 'wave', and so is .* learngene-bench"):
        Registry([plugin])
