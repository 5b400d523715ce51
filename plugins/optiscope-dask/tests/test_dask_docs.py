"""What docs/plugins/dask.md shows can be run, as far as one machine shows it."""

import ast
import re
import shlex
from pathlib import Path

import pytest

from optiscope.cli import main

pytest.importorskip("optiscope_dask", reason="needs the dependency group 'oracle'")

pytestmark = pytest.mark.oracle

DOCS = (Path(__file__).parents[3] / "docs" / "plugins" / "dask.md").read_text()
COMMANDS = [shlex.split(line) for line in re.findall(r"^\$ optiscope (.*)$", DOCS, re.MULTILINE)]


def test_the_grids_can_be_planned(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert len(COMMANDS) == 2
    small = ["--model", "quadratic", "--optimizers", "sgd", "--batch-sizes", "1", "--steps", "5"]
    for words in COMMANDS:
        assert main([*words, *small, "--dry-run"]) == 0
    assert list(tmp_path.iterdir()) == []


def test_the_script_is_python():
    (code,) = re.findall(r"```python\n(.*?)```", DOCS, re.DOTALL)
    nodes = list(ast.walk(ast.parse(code)))
    assert "dask_jobqueue" in {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
    called = {node.func.attr for node in nodes if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)}
    assert called == {"adapt"}  # a job that `scale` asked for is not submitted again when it reaches its walltime
