"""The page on checking shows what the command prints, and names every check and every rule there is."""

import re
import shlex
from pathlib import Path

import pytest

from optiscope.cli import main
from optiscope.testing import CHECKS
from optiscope.testing.families import FAMILIES

PAGE = (Path(__file__).parents[2] / "docs" / "plugins" / "checking.md").read_text(encoding="utf-8")


def block(language):
    return re.search(rf"```{language}\n(.*?)```", PAGE, re.DOTALL).group(1)


def alike(text):
    """Without the time, which is another one every time, and the last bits, which depend on the machine."""
    lines = [line for line in text.splitlines() if not line.startswith("step-time")]
    return [re.sub(r"e-\d+", "e-N", re.sub(r"\d(?=e-)", "N", line)) for line in lines]


def test_the_output_is_what_the_command_prints(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("my_adam.py").write_text(block("python"))
    command = shlex.split(block("console").removeprefix("$ optiscope"))
    assert main(command) == 1
    assert alike(capsys.readouterr().out) == alike(block("text"))


@pytest.mark.parametrize("name", CHECKS)
def test_every_check_is_described(name):
    assert f"`{name}`" in PAGE or f"`--{name}" in PAGE


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_every_rule_can_be_looked_up(family):
    table = PAGE.partition(f"| `{family.name}` | Values |")[2].partition("\n\n")[0]
    for axis, values in family.axes.items():
        row = next(line for line in table.splitlines() if line.startswith(f"| `{axis}`"))
        assert "as for `adam`" in row or [value for value in values if f"`{value}" not in row] == []
