"""`optiscope label` on series of one's own, on one run file, and to compare rules."""

import json

import numpy as np
import pytest

from optiscope.analysis.thresholds import FITTED
from optiscope.builtin.analyzers import ANALYZERS

RUN = ("characterize", "--model", "quadratic", "--optimizers", "sgd", "--lrs", "0.5", "1.9", "2.2", "--steps", "400")
NAMES = [analyzer.name for analyzer in ANALYZERS]


@pytest.fixture
def losses(folder):
    """A loss that jumps to and fro, in a CSV file."""
    rng = np.random.default_rng(0)
    loss = 0.3 + 2 * np.exp(-np.arange(400) / 60) + 0.03 * rng.standard_normal(400)
    (folder / "losses.csv").write_text(
        "step,loss\n" + "".join(f"{step},{value}\n" for step, value in enumerate(loss, 1))
    )
    return "losses.csv"


@pytest.fixture
def grid(optiscope, folder):
    assert optiscope(*RUN, "--batch-sizes", "1", "--executor", "in-process", "--out", "o").code == 0
    return folder / "o"


def test_a_csv_file_is_judged_by_every_analyzer(optiscope, losses):
    outcome = optiscope("label", losses)
    first, axes, _, *lines = outcome.out.splitlines()
    assert outcome.code == 0
    assert first == "undecided: the record has no logits_iqr"
    assert axes == "outcome undecided, dynamics not measured, signal undecided"
    assert [name for name in NAMES if any(line.startswith(name + " ") for line in lines)] == NAMES


def test_a_csv_file_as_json(optiscope, losses):
    document = optiscope("label", losses, "--json").document
    assert (document["verdict"], document["path"]) == ("undecided", losses)
    found = {each["name"]: each for each in document["analyzers"]}
    assert found["outcome"]["result"] == "pass"


def test_options_reach_the_rules(optiscope, losses):
    words = ("label", losses, "--analyzers", "spike", "--set", "spike.series=loss", "--json")
    (found,) = optiscope(*words).document["analyzers"]
    assert (found["name"], found["result"]) == ("spike", "pass")
    assert found["rule_version"] == f"{FITTED.version} (series=loss)"


def test_what_cannot_be_judged_is_refused(refused, folder):
    (folder / "short.csv").write_text("loss\n1\n2\n")
    assert "2 steps are too few to judge" in refused("label", "short.csv")
    (folder / "other.csv").write_text("cost\n1\n2\n")
    assert "other.csv has no column 'loss' (its columns: cost)" in refused("label", "other.csv")


def test_a_run_file_is_judged_alone(optiscope, grid):
    path = next(grid.glob("runs/sgd-b1-lr1.9-*.h5"))
    outcome = optiscope("label", path)
    assert outcome.out.startswith("stable: the loss decays towards its minimum")
    assert "dynamics decaying" in outcome.out.splitlines()[1]


def test_rules_that_change_nothing_agree(optiscope, grid):
    before = (grid / "characterization.json").read_bytes()
    outcome = optiscope("label", grid, "--analyzers", "all")
    assert outcome.code == 0
    assert "0 of 3 runs have another verdict by these rules." in outcome.out
    assert (grid / "characterization.json").read_bytes() == before


def test_other_rules_are_compared_run_by_run(optiscope, grid):
    names = [name for name in NAMES if name != "dynamics"]
    found = optiscope("label", grid, "--analyzers", *names, "--json").document
    assert found["counts"]["stable"] == {"stable": 0, "unstable": 0, "undecided": 2}
    assert found["counts"]["unstable"]["unstable"] == 1
    assert [(run["before"], run["after"]) for run in found["changed"]] == [("stable", "undecided")] * 2
    shown = optiscope("label", grid, "--analyzers", *names).out
    assert "2 of 3 runs have another verdict by these rules." in shown
    assert all(run["run_id"] in shown for run in found["changed"])
    assert json.loads((grid / "characterization.json").read_text())["cells"][0]["verdict"] == "stable"
