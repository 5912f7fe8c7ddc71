"""A record tells the code that made it."""

from __future__ import annotations

from pathlib import Path

import pytest

from learngene_bench.util import provenance


@pytest.mark.parametrize(("status", "dirty"), [("true", False), ("echo M file.py", True), ("exit 1", None)])
def test_a_checkout_is_clean_only_if_git_says_so(
    status: str, dirty: bool | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "git"
    program.write_text(f"""#!/bin/sh
case "$*" in *status*) {status};; *rev-parse*) echo {"c0ffee" * 6}c0ff;; esac
""")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert provenance.git.__wrapped__() == {"commit": "c0ffee" * 6 + "c0ff", "dirty": dirty}
