"""The card of an optimizer: what it answers, and what it says where nothing was measured."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from optiscope.errors import FileError, UsageError
from optiscope.report import write_card, write_report

NASTY = "<script>alert(1)</script> $x_1$"


def words_of(path: Path) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", path.read_text(encoding="utf-8").partition("</style>")[2]))


@pytest.fixture
def folder(study: Path, tmp_path: Path) -> Path:
    shutil.copytree(study, tmp_path, dirs_exist_ok=True)
    return tmp_path


@pytest.fixture(scope="module")
def sgd(study: Path) -> str:
    path = write_card(study, "sgd")
    assert path == study / "card-sgd.html"
    return words_of(path)


@pytest.mark.parametrize(
    "words",
    [
        "sgd: what it does to training",
        "cells 2 cells in 2 runs: 1 stable, 1 unstable",
        "stable lrs batch 50: 0.01, 0 or more decades; batch 200: none of 1",
        "is not enclosed at two batch sizes: cannot be said",
        "seeds one seed in every cell: cannot be said",
        "failure modes failed (1)",
        "10 ms a step at batch 50",
        "parameters 640",
        "conformance not given",
        "optiscope check sgd --json &gt; check-sgd.json",
        "1 stable, 1 unstable; largest stable lr by theory: 0.08",
    ],
)
def test_what_a_card_answers(sgd: str, words: str) -> None:
    assert words in sgd


def test_the_gap_is_training_less_test_accuracy(sgd: str) -> None:
    """The runs of the study end at 1 - exp(-8/3) and at 0.95 - 0.85 exp(-8/3)."""
    assert "generalisation gap 4.0 % over 1 stable cell" in sgd


def test_steps_of_several_models_are_told_apart(folder: Path) -> None:
    document = json.loads((folder / "characterization.json").read_text())
    document["cells"][0]["model"] = "other-cnn"
    document["cells"][1]["batch_size"] = 50
    (folder / "characterization.json").write_text(json.dumps(document))
    words = words_of(write_card(folder, "sgd"))
    assert "cost 10 ms a step at batch 50 on other-cnn, 10 ms a step at batch 50 on small-cnn" in words


def test_seeds_that_disagree_are_counted(study: Path) -> None:
    words = words_of(write_card(study, "adam"))
    assert "seeds they disagree about the verdict in 1 of 1 cell" in words
    assert "2 stable, 1 unstable" in words


def test_a_card_calls_lost_what_was_lost_and_undecided_what_is_undecided(
    make_study: Callable[..., Path], tmp_path: Path
) -> None:
    make_study(tmp_path, [("sgd", 50, ["lost"], "undecided"), ("sgd", 100, ["unstable"], "unstable")])
    words = words_of(write_card(tmp_path, "sgd"))
    assert "no verdict: lost" in words
    assert "stable lrs batch 50: cannot be said: 1 of 1 undecided; batch 100: none of 1" in words
    assert "running" not in words.replace("running median", "")


def test_one_batch_size_says_nothing_of_others(study: Path) -> None:
    assert "batch size one batch size: cannot be said" in words_of(write_card(study, "adam"))


def test_names_stay_text_and_make_harmless_files(study: Path) -> None:
    path = write_card(study, NASTY)
    assert path.name == "card-script-alert-1-script-x_1.html"
    text = path.read_text(encoding="utf-8")
    assert "<script" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt; $x_1$: what it does to training" in text


def test_a_card_as_markdown(folder: Path) -> None:
    path = write_card(folder, "sgd", "md")
    assert path.read_text(encoding="utf-8").startswith("# sgd: what it does to training\n")
    assert (folder / "card-sgd-figures" / "map-1.csv").is_file()
    assert (folder / "card-sgd-figures" / "map-1.svg").is_file()


def test_the_result_of_the_kit_is_part_of_it(folder: Path) -> None:
    results = [
        {"name": "state-size", "outcome": "fact", "why": "1 value of state for a parameter", "figures": {}},
        {"name": "lr", "outcome": "failed", "why": "it has <no> lr", "figures": {}},
    ]
    document = {"optimizer": "sgd", "options": {"momentum": 0.9, "lr": 1}, "results": results}
    (folder / "check-sgd.json").write_text(json.dumps(document))
    words = words_of(write_card(folder, "sgd"))
    assert "conformance 2 checks: failed: lr" in words
    assert "it has &lt;no&gt; lr" in words
    assert "state 1 value of state for a parameter" in words
    assert "The check had other options than the runs: momentum 0.9." in words


@pytest.mark.parametrize("text", ["{", "[]", '{"results": [{}]}', '{"results": 3}'])
def test_a_damaged_result_of_the_kit_is_one_sentence(folder: Path, text: str) -> None:
    (folder / "check-sgd.json").write_text(text)
    with pytest.raises(FileError, match=r"check-sgd\.json is not what 'optiscope check NAME --json' writes"):
        write_card(folder, "sgd")


def test_without_run_files_the_verdicts_are_still_there(folder: Path) -> None:
    shutil.rmtree(folder / "runs")
    words = words_of(write_card(folder, "sgd"))
    assert "cells 2 cells in 2 runs: 1 stable, 1 unstable" in words
    assert "cost no run file could be read" in words


def test_an_unknown_optimizer_is_refused(study: Path) -> None:
    with pytest.raises(UsageError, match="did you mean 'adam'"):
        write_card(study, "adm")


@pytest.fixture
def spelled(folder: Path) -> Path:
    """The study, whose cells of sgd differ by an option."""
    document = json.loads((folder / "characterization.json").read_text())
    for cell, options in zip(document["cells"], ({"betas": [0.8, 0.99]}, {"betas": [0.9, 0.99]}), strict=False):
        cell["options"] = options
    (folder / "characterization.json").write_text(json.dumps(document))
    return folder


def test_a_card_of_an_optimizer_with_options(spelled: Path) -> None:
    path = write_card(spelled, "sgd(betas=[0.8, 0.99], lr=0.01)")
    assert path.name == "card-sgd-betas-0.8-0.99-lr-0.01.html"
    words = words_of(path)
    assert "cells 1 cell in 1 run: 1 stable" in words
    assert "optiscope check sgd --json" in words
    assert "2 cells in 2 runs" in words_of(write_card(spelled, "sgd"))


@pytest.mark.parametrize("asked", ["sgd(betas=[0.7, 0.99])", "sgd(", "adam(x=1)"])
def test_options_that_no_cell_has_are_refused_with_those_that_are_there(spelled: Path, asked: str) -> None:
    with pytest.raises(UsageError, match=r"known: .*sgd, sgd\(betas=\[0\.8, 0\.99\]\)"):
        write_card(spelled, asked)


def test_a_file_in_place_of_its_folder_is_refused(study: Path) -> None:
    with pytest.raises(UsageError, match="is a file: name the folder that it is in"):
        write_report(study / "characterization.json")
