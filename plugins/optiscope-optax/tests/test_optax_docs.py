"""What docs/plugins/optax.md shows works."""

import re
import shlex
from pathlib import Path

import pytest

from optiscope.cli import main
from optiscope.hooks import create_manager
from optiscope.testing import check_optimizer

pytest.importorskip("optax", reason="needs the dependency group 'oracle'")
pytest.importorskip("optiscope_optax", reason="needs the dependency group 'oracle'")

pytestmark = pytest.mark.oracle

DOCS = (Path(__file__).parents[3] / "docs" / "plugins" / "optax.md").read_text()
COMMANDS = [shlex.split(line) for line in re.findall(r"^\$ optiscope (.*)$", DOCS, re.MULTILINE)]


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("clipped_lion.py").write_text(re.search(r"```python\n(.*?)```", DOCS, re.DOTALL).group(1))
    return "clipped_lion.py"


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: words[-1])
def test_the_grids_are_such_as_can_be_run(words, plugin, capsys):
    assert main([*words, "--model", "quadratic", "--batch-sizes", "1", "--steps", "5", "--dry-run"]) == 0


def test_the_function_of_the_docs_is_an_optimizer(plugin):
    optimizer = create_manager(files=[plugin]).build("optimizers", "clipped-lion", {"lr": 0.01, "largest": 0.5})
    check_optimizer(optimizer)
