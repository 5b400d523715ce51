"""`optiscope compare`: exit codes, and lines that fit a narrow terminal."""

import json

import pytest

GRID = {"reduction": "mean", "model": "small-cnn", "data": "synthetic", "options": {}, "runs": []}


@pytest.fixture
def write(folder):
    def characterization(name, *cells):
        (folder / name).mkdir()
        documents = [
            GRID
            | {"optimizer": optimizer, "batch_size": 50, "lr": 0.1, "verdict": verdict}
            | {"p_unstable": {"unstable": unstable, "decided": 4}}
            for optimizer, verdict, unstable in cells
        ]
        document = {"schema_version": 1, "versions": {}, "cells": documents}
        (folder / name / "characterization.json").write_text(json.dumps(document))

    return characterization


def test_a_regression_is_exit_code_1(optiscope, write):
    write("a", ("sgd", "stable", 0), ("adam", "stable", 0), ("old", "stable", 0))
    write("b", ("sgd", "unstable", 4), ("adam", "stable", 0))
    outcome = optiscope("compare", "a", "b")
    assert outcome.code == 1
    lines = outcome.out.splitlines()
    assert lines[0] == "2 cells in both: 1 regression, 1 same"
    assert "  old, batch 50, lr 0.1, mean" in lines
    assert "regression: sgd, batch 50, lr 0.1, mean" in lines
    assert "  verdict   stable -> unstable" in lines
    assert "  unstable  0 of 4 -> 4 of 4" in lines
    assert max(map(len, lines)) <= 60


def test_no_regression_is_exit_code_0(optiscope, write):
    write("a", ("sgd", "unstable", 4), ("adam", "unstable", 4))
    write("b", ("sgd", "stable", 0), ("adam", "stable", 0))
    outcome = optiscope("compare", "a", "b")
    assert outcome.code == 0
    assert outcome.out.startswith("2 cells in both: 2 improvements\n")


def test_one_is_no_plural(optiscope, write):
    write("a", ("sgd", "unstable", 4))
    write("b", ("sgd", "stable", 0))
    assert optiscope("compare", "a", "b").out.startswith("1 cell in both: 1 improvement\n")


def test_as_json(optiscope, write):
    write("a", ("sgd", "stable", 0))
    write("b", ("sgd", "unstable", 4))
    outcome = optiscope("compare", "a", "b", "--json")
    assert outcome.code == 1
    assert outcome.document["regressions"] == 1
    (cell,) = outcome.document["cells"]
    assert (cell["kind"], cell["before"], cell["after"]) == ("regression", "stable", "unstable")
    assert (cell["unstable_before"], cell["unstable_after"], cell["rise"]) == ([0, 4], [4, 4], 1.0)
    assert 0 < cell["low"] < 1 < cell["high"] + 1e-9


@pytest.mark.parametrize("words", [("a", "nowhere"), ("nowhere", "a")])
def test_a_folder_that_is_none_is_refused(refused, write, words):
    write("a", ("sgd", "stable", 0))
    assert "nowhere" in refused("compare", *words)
