"""CI sees a skip as a failure; whoever has no oracle at hand sees a skip."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

CONFTEST = Path(__file__).parents[2] / "conftest.py"

TESTS = {
    "test_call.py": "def test_it(): pytest.importorskip('no_such_module', reason='oracle of a test')",
    "test_mark.py": "@pytest.mark.skipif(True, reason='oracle of a mark')\ndef test_it(): pass",
    "test_module.py": "pytest.importorskip('no_such_module', reason='oracle of a module')\ndef test_it(): pass",
    "test_xfail.py": "@pytest.mark.xfail(strict=True)\ndef test_it(): assert False",
}


def run(tmp_path: Path, no_skips: str) -> subprocess.CompletedProcess[str]:
    shutil.copy(CONFTEST, tmp_path / "conftest.py")
    for name, body in TESTS.items():
        (tmp_path / name).write_text(f"import pytest\n{body}\n")
    options = ["-q", "-rs", "-p", "no:cacheprovider", "--continue-on-collection-errors", f"--rootdir={tmp_path}"]
    env = {**os.environ, "OPTISCOPE_NO_SKIPS": no_skips}
    command = [sys.executable, "-m", "pytest", *options, tmp_path]
    return subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)


def test_a_skip_is_a_failure_where_skips_are_forbidden(tmp_path: Path) -> None:
    done = run(tmp_path, "1")
    assert done.returncode == 1
    assert "1 failed, 1 xfailed, 2 errors" in done.stdout
    for name in ("test", "mark", "module"):
        assert f"skips are failures here (OPTISCOPE_NO_SKIPS is set): Skipped: oracle of a {name}" in done.stdout


def test_a_skip_is_reported_otherwise(tmp_path: Path) -> None:
    done = run(tmp_path, "")
    assert done.returncode == 0
    assert "3 skipped, 1 xfailed" in done.stdout
    for name in ("test", "mark", "module"):
        assert f"oracle of a {name}" in done.stdout
