"""`optiscope check`: what it prints, what it exits with, and what it refuses."""

import re
import sys

import pytest

from optiscope.cli import console
from optiscope.testing import CHECKS

MINE = """
import attrs
import numpy as np
from optiscope.optim import Optimizer, decay_rate
from optiscope.hooks import hookimpl

@attrs.define(kw_only=True)
class Ball(Optimizer):
    name = "ball"
    momentum: float = attrs.field(default=0.9, validator=decay_rate)

    def init(self, params):
        return {"v": np.zeros_like(params.flat)}

    def update(self, params, grads, state, step):
        state["v"] *= self.momentum
        state["v"] += grads.flat
        params.flat[...] -= self.lr * state["v"]

class Broken(Ball):
    name = "broken"

    def update(self, params, grads, state, step):
        grads.flat[...] *= self.lr
        params.flat[...] -= grads.flat

class Raises(Ball):
    name = "raises"

    def update(self, params, grads, state, step):
        raise KeyError("momenta")

class Nameless:
    def update(self, params, grads, state, step):
        pass

instance = Ball()

@hookimpl
def optiscope_optimizers():
    return [Ball]
"""


@pytest.fixture(autouse=True)
def mine(folder, monkeypatch):
    (folder / "mine.py").write_text(MINE)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    yield
    sys.modules.pop("mine", None)


def test_a_right_one(optiscope):
    outcome = optiscope("check", "mine.py:Ball")
    assert (outcome.code, outcome.err) == (0, f"{len(CHECKS) - 1} checks of ball: 0 failed, 0 to look at\n")
    rows = {line.split()[0]: line for line in outcome.out.splitlines()}
    assert list(rows) == ["check", *(name for name in CHECKS if name != "against")]
    assert "taken up in a fresh process: the same bits" in rows["fresh-process"]
    assert re.search("equals (the rule sgd|momentum) to ", rows["fingerprint"])


@pytest.mark.parametrize("target", ["mine:Broken", "mine.py:Broken"])
def test_a_broken_one(optiscope, target):
    outcome = optiscope("check", target)
    assert outcome.code == 1
    line = next(line for line in outcome.out.splitlines() if line.startswith("gradients"))
    assert line.split(maxsplit=2)[1:] == [
        "failed",
        "update must leave the gradients as they are, and changed them at step 1",
    ]


def test_what_is_raised_over_and_over_is_told_once(optiscope):
    outcome = optiscope("check", "mine.py:Raises")
    assert outcome.code == 1
    assert outcome.out.count("raises KeyError: 'momenta' (mine.py, line ") == 2, "in 'shapes' with the shape before it"
    assert re.search(r"^state +failed +as in-place$", outcome.out, re.MULTILINE)


def test_json_is_one_document(optiscope):
    outcome = optiscope("check", "mine:Ball", "--set", "ball.momentum=0.5", "--against", "sgd", "--json")
    document = outcome.document
    assert outcome.code == 1
    assert (document["optimizer"], document["options"]) == ("ball", {"momentum": 0.5})
    assert [result["name"] for result in document["results"]] == list(CHECKS)
    assert set(document["results"][0]) == {"name", "outcome", "why", "figures"}
    against = document["results"][-1]
    assert (against["outcome"], against["why"].startswith("leaves sgd at step 2 in '")) == ("failed", True)


def test_a_registered_name_and_its_options(optiscope):
    outcome = optiscope("check", "adam", "--set", "adam.beta1=0.8", "--against", "adam-inside", "--json")
    assert outcome.code == 1
    assert "epsilon is outside the root" in outcome.document["results"][-1]["why"]


def test_the_reference_has_options_too(optiscope):
    """Without an epsilon there is no place for it to be in."""
    options = ["--set", "adam.epsilon=0", "adam-inside.epsilon=0"]
    outcome = optiscope("check", "adam", *options, "--against", "adam-inside", "--json")
    assert outcome.document["results"][-1]["outcome"] == "passed"


def test_a_plugin_from_a_file(optiscope):
    assert optiscope("check", "ball", "--plugin", "mine.py").code == 0


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["adm"], "unknown optimizer 'adm': did you mean 'adam'?"),
        (["ball"], "a class of your own is MODULE:CLASS or path/to/file.py:CLASS"),
        (["mine.py:Bal"], "mine.py has no Bal: it has"),
        (["other.py:Ball"], "there is no file other.py: check the path"),
        (["no_such_module:Ball"], "no_such_module cannot be imported: ModuleNotFoundError"),
        (["mine:instance"], "mine:instance is an instance of Ball: name the class in its place"),
        (["mine:Nameless"], "has no name: give it a class attribute"),
        (["mine:Ball", "--set", "ball.momentun=0.5"], "unknown option of ball 'momentun': did you mean 'momentum'?"),
        (["mine:Ball", "--set", "ball.momentum=2"], "momentum must be >= 0 and < 1"),
        (["mine:Ball", "--set", "adam.beta1=0.5"], "unknown optimizer in --set 'adam'"),
        (["mine:Ball", "--against", "adm"], "unknown optimizer in --against 'adm': did you mean 'adam'?"),
        (["mine:Ball", "--no-plugin", "nobody"], "unknown plugin to block 'nobody'"),
    ],
)
def test_bad_input_is_one_line(optiscope, words, sentence):
    outcome = optiscope("check", *words)
    assert (outcome.code, outcome.out) == (2, "")
    assert sentence in outcome.err
    assert outcome.err.count("\n") == 1


@pytest.mark.parametrize("width", [60, 120])
def test_the_table_fits_a_terminal(optiscope, monkeypatch, width):
    monkeypatch.setattr(console, "stdout", lambda: console.open_console(sys.stdout, width))
    outcome = optiscope("check", "mine:Broken")
    lines = [line.rstrip() for line in outcome.out.splitlines()]
    assert any(line.startswith("gradients") and " failed " in line for line in lines)
    assert width - 15 < max(map(len, lines)) <= width
    assert "…" not in outcome.out
