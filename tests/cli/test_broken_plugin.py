"""Packages that are installed and broken, each in its own way, stop no command that does not need them."""

import re

import pytest

from optiscope.cli import app

HOOK = "from optiscope.hooks import hookimpl\n@hookimpl\n"
BROKEN = {
    "bad-import": ("import nothing_of_that_name", "ModuleNotFoundError: No module named 'nothing_of_that_name'"),
    "bad-syntax": ("def f(:", "invalid syntax (bad_syntax/__init__.py, line 1)"),
    "bad-start": ("raise RuntimeError('no')", "RuntimeError: no (bad_start/__init__.py, line 1)"),
    "bad-exit": ("import sys\nsys.exit(3)", "SystemExit: 3 (bad_exit/__init__.py, line 2)"),
    "bad-hook": (f"{HOOK}def optiscope_optimisers(): return []", "did you mean 'optiscope_optimizers'?"),
    "bad-empty": ("", "it has no hook"),
    "bad-pieces": (f"{HOOK}def optiscope_recorders(): return [object]", "has no name"),
    "bad-answer": (f"{HOOK}def optiscope_analyzers(): raise SystemExit('enough')", "SystemExit: enough"),
    "bad-clash": (f"{HOOK}def optiscope_analyzers():\n    return [type('X', (), dict(name='x'))]", "no rule_version"),
}
NO_MODULE, NO_METADATA = "bad-module", "bad-metadata"
GRID = ["--model", "quadratic", "--batch-sizes", "1", "--lrs", "0.1", "--steps", "5", "--kernels", "im2col"]


def install(site, name, code, metadata=True):
    """Put a package into `site` as pip does."""
    module = name.replace("-", "_")
    if code is not None:
        (site / module).mkdir()
        (site / module / "__init__.py").write_text(f"{code}\n")
    info = site / f"{module}-1.0.dist-info"
    info.mkdir()
    (info / "entry_points.txt").write_text(f"[optiscope]\n{name} = {module}\n")
    if metadata:
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")


@pytest.fixture(scope="module")
def program(program, site):
    """`optiscope`, where all of them are installed."""
    for name, (code, _) in BROKEN.items():
        install(site, name, code)
    install(site, NO_MODULE, None)
    install(site, NO_METADATA, "raise RuntimeError('half removed')", metadata=False)
    return program


@pytest.fixture(scope="module")
def out(program, tmp_path_factory):
    """A grid that was trained in worker processes."""
    out = tmp_path_factory.mktemp("grid") / "o"
    outcome = program("characterize", *GRID, "--optimizers", "sgd", "--out", out)
    assert outcome.code == 0, outcome.err
    assert "failed" not in outcome.err
    return out


def test_each_is_shown_with_its_reason(program):
    states = {state["name"]: state for state in program("plugins", "--json").document["plugins"]}
    reasons = {name: why for name, (_, why) in BROKEN.items()}
    reasons |= {NO_MODULE: "No module named 'bad_module'", NO_METADATA: "RuntimeError: half removed"}
    for name, why in reasons.items():
        assert states[name]["state"] == "broken"
        assert why in states[name]["why"]
    assert states["bad-start"]["origin"] == "bad-start (bad_start)"
    assert (states[NO_METADATA]["version"], states[NO_METADATA]["origin"]) == ("unknown", "unknown (bad_metadata)")
    assert {name for name, state in states.items() if state["state"] == "broken"} == reasons.keys()


COMMANDS = {
    "characterize": f"characterize --dry-run {' '.join(GRID)}",
    "max-lr": "max-lr --model quadratic --batch-sizes 1 --steps 5 --optimizers sgd --max-runs 1 --jobs 1",
    "reproduce": "reproduce --help",
    "label": "label {out}",
    "report": "report {out}",
    "compare": "compare {out} {out}",
    "check": "check sgd",
    "plugins": "plugins",
    "data": "data make images --set synthetic.train=50 synthetic.test=10",
    "file": "file info {run}",
}


@pytest.mark.parametrize("command", ["--help", *app.COMMANDS])
def test_no_command_is_stopped(optiscope, site, out, monkeypatch, command):
    monkeypatch.syspath_prepend(site)
    run = next(out.glob("runs/*.h5"))
    outcome = optiscope(*COMMANDS.get(command, command).format(out=out, run=run).split())
    assert outcome.code == 0, outcome.err
    assert outcome.out
    assert "bad" not in outcome.err


def test_strict_stops_where_it_is_asked_for(program):
    outcome = program("plugins", "--strict")
    assert outcome.code == 2
    assert re.match(r"optiscope: plugin 'bad-answer' from bad-answer \(bad_answer\) is broken: ", outcome.err)
