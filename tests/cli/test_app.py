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


@pytest.mark.parametrize(
    "command", [("characterize",), ("label",), ("check",), ("max-lr",), ("reproduce", "paper")], ids=" ".join
)
def test_the_page_of_docs_names_every_option(optiscope, command):
    docs = Path(__file__).parents[2] / "docs"
    names = ["command-line.md", *(["max-lr.md"] if command == ("max-lr",) else [])]
    page = "".join((docs / name).read_text(encoding="utf-8") for name in names)
    found = OPTIONS.findall(optiscope(*command, "--help").out)
    assert len(found) > 3
    assert [option for option in found if f"`{option}" not in page] == []


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
