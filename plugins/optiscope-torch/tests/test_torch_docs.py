"""What docs/plugins/torch.md shows works."""

import re
import shlex
from pathlib import Path

import pytest

import optiscope
from optiscope.cli import main

pytest.importorskip("torch", reason="needs the dependency group 'oracle'")
pytest.importorskip("optiscope_torch", reason="needs the dependency group 'oracle'")

from optiscope_torch.optimizers import REFUSED

pytestmark = pytest.mark.oracle

DOCS = (Path(__file__).parents[3] / "docs" / "plugins" / "torch.md").read_text()
COMMANDS = [shlex.split(line) for line in re.findall(r"^\$ optiscope (.*)$", DOCS, re.MULTILINE)]


def test_the_recording_is_judged_and_reported(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    exec(compile(re.search(r"```python\n(.*?)```", DOCS, re.DOTALL).group(1), "torch.md", "exec"), {})
    paths = [str(path) for path in Path("out", "runs").iterdir()]
    commands = [words for words in COMMANDS if words[0] in ("label", "report", "file")]
    assert len(commands) == 3
    for words in commands:
        assert main([path for word in words for path in (paths if "*" in word else [word])]) == 0
    assert "stable" in capsys.readouterr().out
    with optiscope.open_run(paths[0]) as run:
        assert (len(paths), run.status, run.n_steps, run.n_epochs) == (1, "completed", 400, 50)
        assert run.epochs["val_loss"][-1] < run.epochs["val_loss"][0]


def test_the_grid_is_one_that_can_be_run(capsys):
    (words,) = [words for words in COMMANDS if words[0] == "characterize"]
    assert main([*words, "--model", "quadratic", "--batch-sizes", "1", "--steps", "5", "--dry-run"]) == 0
    assert "torch:RAdam" in capsys.readouterr().out


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_used_is_told_with_the_reason(name):
    assert f"| `{name}` | cannot be used: {REFUSED[name]} |" in DOCS
