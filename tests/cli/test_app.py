"""The list of commands, their help, and what starting them costs."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import optiscope as package
from optiscope.cli import app

NESTED = [
    ("data", "fetch"),
    ("data", "make"),
    ("data", "verify"),
    ("file", "info"),
    ("file", "verify"),
    ("file", "recover"),
    ("file", "export"),
    ("plugins", "new"),
    ("reproduce", "paper"),
]
COMMANDS = [(), *((name,) for name in app.COMMANDS), *NESTED]


@pytest.fixture(autouse=True)
def fresh_commands(monkeypatch):
    """Load the commands anew: cyclopts keeps a console, and its width, for as long as an application lives."""
    for name in app.COMMANDS:
        monkeypatch.delitem(sys.modules, f"optiscope.cli.{name.replace('-', '_')}", raising=False)


HEAVY = ("numpy", "h5py", "matplotlib", "pooch", "pluggy", "cattrs", "xarray", "pandas", "optiscope.engine")


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("width", [60, 80])
def test_help_fits_the_terminal(optiscope, monkeypatch, command, width):
    monkeypatch.setenv("COLUMNS", str(width))
    outcome = optiscope(*command, "--help")
    assert outcome.code == 0
    assert outcome.err == ""
    assert outcome.out.startswith(f"Usage: {' '.join(('optiscope', *command))}")
    assert max(len(line.rstrip()) for line in outcome.out.splitlines()) <= width
    assert "…" not in outcome.out


@pytest.mark.parametrize("name", app.COMMANDS)
def test_list_says_what_the_command_says_of_itself(optiscope, monkeypatch, name):
    monkeypatch.setenv("COLUMNS", "200")
    assert app.COMMANDS[name] in optiscope("--help").out
    module = __import__(f"optiscope.cli.{name.replace('-', '_')}", fromlist=["app"])
    assert module.app.help == app.COMMANDS[name]


def test_the_main_command_comes_first(optiscope):
    text = optiscope("--help").out
    places = [text.index(f" {name} ") for name in app.COMMANDS]
    assert places == sorted(places)


def test_help_shows_defaults_and_examples(optiscope, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    text = optiscope("characterize", "--help").out
    for words in ("[default: sgd adam]", "[default: 50 100 150 200]", "[default: small-cnn]", "[default: 400]"):
        assert words in text
    assert "optiscope characterize --optimizers adam --lrs 0.001 0.01" in text


def test_no_arguments_show_the_help(optiscope):
    assert optiscope() == optiscope("--help")


OPTIONS = re.compile(r"^│ +(?:\*  )?(--[a-z-]+)", re.MULTILINE)
DOCS = Path(__file__).parents[2] / "docs"
GROUPS = {path[:1] for path in NESTED} - {("plugins",)}
"""Commands that do nothing themselves."""


def test_nested_commands_are_all_there(optiscope):
    found = set()
    for name in app.COMMANDS:
        module = __import__(f"optiscope.cli.{name.replace('-', '_')}", fromlist=["app"])
        found |= {(name, below) for below in module.app if not below.startswith("-")}
    assert found == set(NESTED)


@pytest.mark.parametrize("command", COMMANDS[1:], ids=" ".join)
def test_the_page_of_docs_has_the_command_and_every_option(optiscope, command):
    page = (DOCS / "command-line.md").read_text(encoding="utf-8")
    words = page + (DOCS / "max-lr.md").read_text(encoding="utf-8") if command == ("max-lr",) else page
    found = OPTIONS.findall(optiscope(*command, "--help").out)
    assert [option for option in found if not re.search(rf"`[^`\n]*{option}\b", words)] == []
    if command not in GROUPS:
        assert f"`{' '.join(command)}" in page.partition("\n## ")[0]


def test_version(optiscope):
    assert optiscope("--version").out.strip() == package.__version__


@pytest.mark.parametrize("command", [[], ["characterize"], ["check"], ["data", "fetch"]], ids=str)
def test_help_loads_nothing_heavy(command):
    code = (
        f"import sys; from optiscope.cli import main; assert main({[*command, '--help']!r}) == 0; "
        f"print(sorted(set({HEAVY!r}) & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
