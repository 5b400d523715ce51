"""`optiscope plugins new`: a package of each kind is built, installed, tested, shown and used; and what is refused."""

import importlib.util
import re
import zipfile
from collections import Counter

import numpy as np
import pytest

from optiscope import open_run
from optiscope.cli.new_plugin import TRY, package_files

NAMES = {kind: f"new-{kind}" for kind in TRY}


@pytest.fixture(scope="module")
def made(program, python, site, tmp_path_factory):
    """A folder with a new package of each kind, all of them built, and installed in `site`."""
    out = tmp_path_factory.mktemp("made")
    for kind, name in NAMES.items():
        assert program("plugins", "new", name, "--kind", kind, cwd=out).out == f"{name}\n"
        built = python("-m", "hatchling", "build", "-t", "wheel", "-d", out / "dist", cwd=out / name)
        assert built.code == 0, built.err
    for wheel in out.glob("dist/*.whl"):
        zipfile.ZipFile(wheel).extractall(site)
    return out


@pytest.fixture(scope="module")
def cell(program, made):
    """What becomes of a grid that uses all of them."""
    grid = ["--model", "quadratic", "--batch-sizes", "1", "--lrs", "0.1", "--steps", "20", "--seeds", "2"]
    pieces = ["--optimizers", "new-optimizer", "--executor", "new-executor", "--jobs", "2", "--kernels", "im2col"]
    options = ["--set", "new-optimizer.beta=0", "new-analyzer.share=0.25", "new-executor.niceness=1"]
    outcome = program("characterize", *grid, *pieces, *options, "--out", "out", "--json", cwd=made)
    assert outcome.code == 0, outcome.err
    (cell,) = outcome.document["cells"]
    return cell


def test_new_packages_pass_their_own_tests(python, made):
    """All in one pytest, which takes longer to start than their tests take."""
    tests = python("-m", "pytest", "-v", "-p", "no:cacheprovider", *NAMES.values(), cwd=made)
    assert tests.code == 0, tests.out
    passed = Counter(re.findall(r"/test_(new_\w+)\.py::\S+ PASSED", tests.out))
    assert passed.keys() == {name.replace("-", "_") for name in NAMES.values()}, tests.out
    assert min(passed.values()) >= 3


def test_new_packages_show_up(program, made):
    states = {state["name"]: state for state in program("plugins", "--json").document["plugins"]}
    for kind, name in NAMES.items():
        assert states[name] == {
            "name": name,
            "version": "0.1.0",
            "origin": f"{name} ({name.replace('-', '_')})",
            "state": "active",
            "why": "",
            "registers": [f"{kind} {name}"],
        }


def test_the_new_optimizer_is_characterized_in_the_new_executor(cell):
    """Options given, in two processes at once; what came out is in the record, below."""
    assert (cell["optimizer"], cell["options"]) == ("new-optimizer", {"beta": 0.0})
    assert [run["status"] for run in cell["runs"]] == ["completed", "completed"]


def test_the_new_recorder_writes_its_signal(cell, made):
    """With beta 0 a step makes 0.9 w of w: lr / (1 - lr) of what is left, and a loss of 0.5 * 0.81^19 at the last."""
    for each in cell["runs"]:
        with open_run(made / "out" / each["path"]) as run:
            assert run.plugins["new-recorder"]["ratio"] == pytest.approx(np.full((20, 1), 0.1 / 0.9), rel=1e-5)
            assert run.steps["loss"][-1] == pytest.approx(0.5 * 0.81**19, rel=1e-4)


def test_the_new_analyzer_judges(cell):
    """The loss goes by 0.81 a step, and 0.81^7 = 0.229 is the first power below a quarter."""
    for run in cell["runs"]:
        (finding,) = (each for each in run["analyzers"] if each["name"] == "new-analyzer")
        assert (finding["result"], finding["rule_version"]) == ("info", "1")
        assert finding["why"].endswith("to 0.25 of that at step 8")


@pytest.mark.parametrize("kind", TRY)
def test_nothing_is_left_of_the_templates_words(kind):
    """The name is in the place of theirs in files and paths, and the README has the commands that follow."""
    files = package_files("so-new", kind)
    assert sorted(files) == ["README.md", "pyproject.toml", "src/so_new/__init__.py", "tests/test_so_new.py"]
    assert not [path for path, text in files.items() if re.search(r"my.?plugin|\$", text, re.IGNORECASE)]
    assert "class SoNew(" in files["src/so_new/__init__.py"] or "class SoNew:" in files["src/so_new/__init__.py"]
    for command in TRY[kind]:
        assert f"\n    {command.format(name='so-new')}\n" in files["README.md"]


@pytest.mark.parametrize(
    ("uv", "pip", "install", "run"),
    [
        (None, True, "python -m pip install", ""),
        (None, False, "uv pip install", ""),
        ("/bin/uv", False, "uv pip install", "uv run "),
    ],
    ids=["by pip", "activated, without pip", "by uv run"],
)
def test_it_says_what_comes_next(optiscope, monkeypatch, uv, pip, install, run):
    monkeypatch.setenv("UV", uv) if uv else monkeypatch.delenv("UV", raising=False)
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: (pip or None) if name == "pip" else find(name))
    outcome = optiscope("plugins", "new", "brand-new")
    assert outcome.err.splitlines() == [
        "What next:",
        f"  {install} -e brand-new pytest",
        f"  {run}python -m pytest brand-new",
        f"  {run}optiscope plugins",
        f"  {run}optiscope check brand-new",
        f"  {run}optiscope characterize --optimizers brand-new",
    ]


SHAPE = "take small letters, digits and single hyphens, such as my-optimizer"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        *((name, f"'{name}' cannot be a plugin's name: {SHAPE}") for name in ("Mine", "a--b", "a_b", "2nd", "a-", "é")),
        ("../mine", f"'../mine' cannot be a plugin's name: {SHAPE}"),
        ("class", f"'class' cannot be a plugin's name: {SHAPE}"),
        ("adam", "the name 'adam' is taken, optiscope-builtin brings the optimizer adam"),
        ("small-cnn --kind analyzer", "optiscope-builtin brings the model small-cnn"),
        ("optiscope-builtin", "the name 'optiscope-builtin' is taken, there is a plugin from optiscope ("),
        ("numpy", "the name 'numpy' is taken, there is a Python module 'numpy' already: choose another one"),
        ("brand-new --kind optimiser", "invalid value 'optimiser' for --kind: choose from 'optimizer', 'recorder'"),
    ],
)
def test_what_cannot_be_made(refused, words, sentence):
    assert sentence in refused("plugins", "new", *words.split())


@pytest.mark.parametrize("there", ["a folder", "a file", "a dangling link"])
def test_what_is_there_already_stays(refused, folder, there):
    path = folder / "brand-new"
    if there == "a folder":
        path.mkdir()
    elif there == "a file":
        path.write_text("mine")
    else:
        path.symlink_to("nowhere")
    assert "brand-new is there already" in refused("plugins", "new", "brand-new")
