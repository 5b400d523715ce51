"""`optiscope label` on series of one's own, on one run file, and to compare rules."""

import json
import shutil

import numpy as np
import pytest

from optiscope.analysis.thresholds import FITTED
from optiscope.builtin.analyzers import ANALYZERS
from optiscope.cli import main

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


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    out = tmp_path_factory.mktemp("made") / "o"
    assert main([*RUN, "--batch-sizes", "1", "--executor", "in-process", "--out", str(out)]) == 0
    return out


@pytest.fixture
def grid(folder, made):
    return shutil.copytree(made, folder / "o")


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
    assert outcome.out.startswith("stable: the loss has come down to its minimum")
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


def test_another_confidence_forms_other_cells_of_the_same_runs(optiscope, folder):
    words = (*RUN[:6], "0.5", "--steps", "120", "--seeds", "3", "--batch-sizes", "1", "--executor", "in-process")
    assert "3 runs, 3 seeds a cell." in optiscope(*words, "--out", "o").err
    assert "none of 3 runs is unstable: P(unstable) is below 0.54 with 97.5 %" in optiscope("label", "o").out
    (cell,) = optiscope("label", "o", "--confidence", "0.9", "--json").document["cells"]
    assert (cell["verdict"], cell["confidence"], cell["seeds"]) == ("stable", 0.9, 3)
    (cell,) = optiscope("label", "o", "--json").document["cells"]
    assert (cell["verdict"], cell["confidence"]) == ("undecided", 0.95)


def test_a_folder_is_judged_at_its_own_confidence(optiscope, folder):
    words = (*RUN[:6], "0.5", "--steps", "120", "--seeds", "auto", "--confidence", "0.9", "--batch-sizes", "1")
    (cell,) = optiscope(*words, "--executor", "in-process", "--out", "o", "--json").document["cells"]
    assert (cell["verdict"], cell["seeds"]) == ("stable", 3)
    assert optiscope("label", "o", "--json").document["cells"] == [cell]


def test_a_confidence_is_for_cells(refused, optiscope, grid, losses):
    sentence = "--confidence decides on the cells of a folder: leave it out with --analyzers and for a file"
    assert sentence in refused("label", losses, "--confidence", "0.9")
    assert sentence in refused("label", grid, "--analyzers", "all", "--confidence", "0.9")
    assert "--confidence must be above 0 and below 1, not 2.0" in refused("label", grid, "--confidence", "2")


def test_runs_that_were_lost_stay_named(optiscope, grid):
    path = grid / "characterization.json"
    document = json.loads(path.read_text())
    document["lost"] = [{"run_id": "gone", "why": "its worker died (SIGKILL)"}]
    path.write_text(json.dumps(document))
    assert optiscope("label", grid).code == 0
    assert json.loads(path.read_text())["lost"] == document["lost"]
