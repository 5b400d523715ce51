"""`optiscope plugins`: what it shows, at any width, and what OPTISCOPE_DISABLE_PLUGINS keeps from being loaded."""

import io

import pytest

from optiscope import open_run
from optiscope.cli import console
from optiscope.hooks.discovery import DISABLE

GRID = [
    "--model",
    "quadratic",
    "--batch-sizes",
    "1",
    "--lrs",
    "0.1",
    "--steps",
    "5",
    "--optimizers",
    "sgd",
    "--kernels",
    "im2col",
]
ONE = [*GRID, "--executor", "in-process", "--out", "o"]


def paragraphs(text):
    """Return the lines below each plugin's name."""
    found = {}
    for line in text.splitlines():
        if not line.startswith(" "):
            name, version, state = line.split()
            found[name] = {"version": version, "state": state}
        else:
            label, _, fact = line.strip().partition("  ")
            found[name][label] = fact.strip()
    return found


def test_it_shows_name_version_state_origin_and_what_a_plugin_brings(optiscope):
    outcome = optiscope("plugins")
    assert (outcome.code, outcome.err) == (0, "")
    shown = paragraphs(outcome.out)["optiscope-builtin"]
    assert shown == {
        "version": "0.1.0",
        "state": "active",
        "from": "optiscope (optiscope.builtin)",
        "optimizers": "adam, adam-inside, sgd",
        "models": "logistic, noisy-quadratic, paper-cnn, quadratic, reddi, rosenbrock, small-cnn, wilson",
        "data sets": "cifar10, synthetic",
        "schedules": "constant, cosine, inverse-sqrt, step-decay",
        "recorders": "epoch, gradient-rms, probe, step",
        "analyzers": "adam-rms, collapse, dynamics, envelope, finite, level, noise-scale, outcome, period-2, "
        "softmax-step, spike, update-ratio, variance",
        "executors": "in-process, processes",
    }


def test_it_shows_hooks_and_a_reason(optiscope, folder):
    (folder / "sees.py").write_text("from optiscope.hooks import hookimpl\n@hookimpl\ndef on_step(step): pass\n")
    (folder / "sgd.py").write_text(
        "from optiscope.hooks import hookimpl\nfrom optiscope.optim import SGD\n"
        "@hookimpl\ndef optiscope_optimizers(): return [SGD]\n"
    )
    shown = paragraphs(optiscope("plugins", "--plugin", "sees.py", "sgd.py", "--no-plugin", "spike-score").out)
    assert (shown["sees"]["from"], shown["sees"]["hooks"]) == ("sees.py", "on_step")
    assert shown["sgd"]["state"] == "broken"
    assert shown["sgd"]["why"].startswith("two plugins bring the optimizer 'sgd'")
    assert (shown["spike-score"]["state"], shown["spike-score"]["why"]) == ("blocked", "by --no-plugin")


@pytest.mark.parametrize("width", [40, 60, 120])
def test_it_fits_the_terminal_and_loses_nothing(optiscope, folder, monkeypatch, width):
    path = folder / f"a_plugin_with_a_{'very_' * 6}long_name.py"
    path.write_text("from optiscope.hooks import hookimpl\n@hookimpl\ndef on_step(step): pass\n")
    whole = optiscope("plugins", "--plugin", path).out
    screen = io.StringIO()
    monkeypatch.setattr(console, "stdout", lambda: console.open_console(screen, width))
    assert optiscope("plugins", "--plugin", path).code == 0
    lines = screen.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    assert "".join(screen.getvalue().split()) == "".join(whole.split())


@pytest.mark.parametrize(
    ("words", "key"), [("plugins", "plugins"), ("label o", "cells"), ("data make i --set synthetic.train=50", "folder")]
)
def test_what_a_plugin_prints_is_no_part_of_a_document(optiscope, folder, words, key):
    assert optiscope("characterize", *ONE).code == 0
    (folder / "loud.py").write_text(
        "from optiscope.hooks import hookimpl\nprint('loud')\n@hookimpl\ndef on_run_start(): pass\n"
    )
    outcome = optiscope(*words.split(), "--plugin", "loud.py", "--json")
    assert key in outcome.document
    assert outcome.err.startswith("loud\n")


def test_the_variable_blocks_and_is_named(optiscope, monkeypatch):
    monkeypatch.setenv(DISABLE, " spike-score ,gradient-angle,")
    states = {state["name"]: state for state in optiscope("plugins", "--json").document["plugins"]}
    for name in ("spike-score", "gradient-angle"):
        assert (states[name]["state"], states[name]["why"]) == ("blocked", f"by {DISABLE}")
        assert states[name]["registers"] == []
    assert states["optiscope-builtin"]["state"] == "active"


def test_a_name_in_the_variable_that_is_not_there_stops_nothing_and_shows_in_one_place(optiscope, monkeypatch):
    monkeypatch.setenv(DISABLE, "spike-scone")
    outcome = optiscope("plugins")
    assert (outcome.code, outcome.err) == (0, f"{DISABLE} names 'spike-scone', and there is no such plugin.\n")
    outcome = optiscope("characterize", *GRID, "--dry-run")
    assert outcome.code == 0
    (line,) = outcome.err.splitlines()
    assert line.startswith("1 run: about ")


def test_what_is_missing_because_of_the_variable_is_said(refused, monkeypatch):
    monkeypatch.setenv(DISABLE, "optiscope-builtin")
    sentence = refused("characterize", *GRID, "--out", "o")
    assert "unknown optimizer 'sgd'" in sentence
    assert "(and optiscope-builtin is blocked: see optiscope plugins)" in sentence


@pytest.mark.parametrize("executor", ["in-process", "processes"])
def test_the_variable_reaches_workers_and_run_files(optiscope, folder, monkeypatch, executor):
    monkeypatch.setenv(DISABLE, "gradient-angle,nothing")
    words = [*GRID, "--executor", executor, "--out", "o", "--jobs", "1"]
    assert optiscope("characterize", *words).code == 0
    with open_run(next(folder.glob("o/runs/*.h5"))) as run:
        assert "gradient-angle" not in run.plugins
        assert run.config["config"]["block"] == ["gradient-angle"]


def test_resume_says_how_to_go_on_without_the_variable(optiscope, refused, monkeypatch):
    monkeypatch.setenv(DISABLE, "gradient-angle")
    assert optiscope("characterize", *ONE).code == 0
    monkeypatch.delenv(DISABLE)
    again = [*ONE, "--resume", "--seeds", "2"]
    assert "block is [] now and was ['gradient-angle'] in o: give --no-plugin gradient-angle" in refused(
        "characterize", *again
    )
    assert optiscope("characterize", *again, "--no-plugin", "gradient-angle").code == 0


def test_a_folder_is_judged_again_when_a_plugin_that_was_blocked_is_gone(optiscope, folder, monkeypatch):
    (folder / "mine.py").write_text("from optiscope.hooks import hookimpl\n@hookimpl\ndef on_run_start(): pass\n")
    monkeypatch.setenv(DISABLE, "mine,spike-score")
    assert optiscope("characterize", *ONE, "--plugin", "mine.py").code == 0
    (folder / "mine.py").unlink()
    monkeypatch.delenv(DISABLE)
    outcome = optiscope("label", "o", "--json")
    assert outcome.code == 0
    findings = outcome.document["cells"][0]["runs"][0]["analyzers"]
    assert "spike-score" not in {finding["name"] for finding in findings}
