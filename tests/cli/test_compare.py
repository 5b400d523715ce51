"""`optiscope compare`: exit codes, and lines that fit a narrow terminal."""

import io
import json

import pytest

from optiscope.cli.compare import _shown
from optiscope.cli.console import open_console
from optiscope.report.changes import CellChange, Changes

GRID = {"reduction": "mean", "model": "small-cnn", "data": "synthetic", "options": {}, "runs": []}


@pytest.fixture
def write(folder):
    def characterization(name, *cells, lost=()):
        (folder / name).mkdir()
        documents = [
            GRID
            | {"optimizer": optimizer, "batch_size": 50, "lr": 0.1, "verdict": verdict}
            | {"p_unstable": {"unstable": unstable, "decided": 4}, "runs": runs}
            for optimizer, verdict, unstable, *runs in cells
        ]
        document = {"schema_version": 1, "versions": {}, "cells": documents, "lost": lost}
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


WHY = "the run ended with an error, which says nothing about its stability: optimizer 'sgd' raised at step 300"


def run(seed, status, why=""):
    return {"run_id": f"sgd-s{seed}", "seed": seed, "status": status, "why": why, "path": "gone.h5"}


def test_an_optimizer_that_crashes_now_is_exit_code_1_and_the_reason_is_shown(optiscope, write):
    write("a", ("sgd", "stable", 0, *(run(seed, "completed") for seed in range(4))))
    write("b", ("sgd", "undecided", 0, *(run(seed, "failed", WHY) for seed in range(4))))
    outcome = optiscope("compare", "a", "b")
    assert outcome.code == 1
    assert outcome.out.startswith("1 cell in both: 1 regression\n")
    assert "  verdict   stable -> undecided\n" in outcome.out
    assert f"  failed    0 of 4 -> 4 of 4\n  why       seed 0: {WHY}\n" in outcome.out
    outcome = optiscope("compare", "a", "b", "--json")
    (cell,) = outcome.document["cells"]
    assert (cell["failed_before"], cell["failed_after"], cell["why"]) == ([0, 4], [4, 4], f"seed 0: {WHY}")


def test_runs_that_were_lost_and_are_in_no_cell_are_named(optiscope, write):
    write("a", ("sgd", "stable", 0))
    write("b", ("sgd", "stable", 0), lost=[{"run_id": "adam-s0", "why": "its worker died"}])
    outcome = optiscope("compare", "a", "b")
    assert outcome.code == 0
    assert outcome.err == "Lost in the second: adam-s0: its worker died\n"


def test_on_a_terminal_a_long_reason_keeps_to_its_column(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    change = CellChange(
        name="sgd, batch 50, lr 0.1, mean",
        kind="regression",
        before="stable",
        after="undecided",
        unstable_before=(0, 4),
        unstable_after=(0, 0),
        failed_before=(0, 4),
        failed_after=(4, 4),
        rise=0.0,
        low=-1.0,
        high=1.0,
        p_value=1.0,
        loss=None,
        accuracy=None,
        why=WHY,
    )
    file = io.StringIO()
    to = open_console(file, 60)
    to.print(*_shown(Changes(cells=(change,), only_before=(), only_after=(), differs=())), sep="\n")
    lines = [line.rstrip() for line in file.getvalue().splitlines()]
    assert max(map(len, lines)) <= 60
    at = next(at for at, line in enumerate(lines) if line.startswith("  why "))
    assert all(line.startswith(12 * " ") for line in lines[at + 1 :])
    assert " ".join(line[12:] for line in lines[at:]) == WHY


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
