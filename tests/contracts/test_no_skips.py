"""CI sees a skip as a failure; whoever has no oracle at hand sees a skip."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).parents[1] / "conftest.py"

SKIPS = {
    "test": "def test_oracle(): pytest.importorskip('no_such_module', reason='needs an oracle')",
    "mark": "@pytest.mark.skipif(True, reason='needs an oracle')\ndef test_oracle(): pass",
    "module": "pytest.importorskip('no_such_module', reason='needs an oracle')\ndef test_oracle(): pass",
}


def run(tmp_path: Path, body: str, no_skips: str) -> subprocess.CompletedProcess[str]:
    shutil.copy(CONFTEST, tmp_path / "conftest.py")
    (tmp_path / "test_it.py").write_text(f"import pytest\n{body}\n")
    command = [sys.executable, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", f"--rootdir={tmp_path}", tmp_path]
    env = {**os.environ, "OPTISCOPE_NO_SKIPS": no_skips}
    return subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("kind", SKIPS)
def test_a_skip_is_a_failure_where_skips_are_forbidden(tmp_path: Path, kind: str) -> None:
    done = run(tmp_path, SKIPS[kind], "1")
    assert done.returncode != 0
    assert "needs an oracle" in done.stdout
    assert "test_it.py" in done.stdout


@pytest.mark.parametrize("kind", SKIPS)
def test_a_skip_is_reported_otherwise(tmp_path: Path, kind: str) -> None:
    done = run(tmp_path, SKIPS[kind], "")
    assert "1 skipped" in done.stdout
    assert "needs an oracle" in done.stdout


def test_an_expected_failure_is_no_skip(tmp_path: Path) -> None:
    done = run(tmp_path, "@pytest.mark.xfail(strict=True)\ndef test_oracle(): assert False", "1")
    assert done.returncode == 0
    assert "1 xfailed" in done.stdout
