"""`optiscope file`: what it says, and how it exits."""

import csv
import os
import shutil
import sys

import h5py
import numpy as np
import pytest

from optiscope.config import GridConfig
from optiscope.storage import open_run
from optiscope.storage.files import Lock
from optiscope.sweep import characterize


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Two finished runs of a quadratic, which nobody writes to."""
    out = tmp_path_factory.mktemp("made") / "out"
    grid = GridConfig(model="quadratic", optimizers=["sgd"], batch_sizes=[1], lrs=[0.5], seeds=2, steps=150)
    characterize(grid, out, executor="in-process")
    return out


@pytest.fixture
def out(folder, made):
    """A copy of them of one's own."""
    return shutil.copytree(made, folder / "out")


@pytest.fixture
def runs(out):
    return sorted((out / "runs").glob("*.h5"))


def abandon(path):
    """Make a file look as a killed process leaves it: status "running", no checksum."""
    with h5py.File(path, "r+") as file:
        file["run_state"][2] = 0
        for name in ("content_sha256", "why", "first_bad_step", "digest", "wall_time"):
            del file.attrs[name]


def test_verify_takes_files_and_folders(optiscope, out, runs):
    outcome = optiscope("file", "verify", out)
    assert outcome.code == 0
    assert [line.split() for line in outcome.out.splitlines()[1:]] == [[str(path), "intact"] for path in runs]
    abandon(runs[1])
    documents = optiscope("file", "verify", *runs, "--json").document["files"]
    assert [document["intact"] for document in documents] == [True, None]


@pytest.mark.parametrize("name", ["[red]x.h5", ":smile:.h5", "[1, 2]", "[bold]x"])
def test_names_that_look_like_markup_or_json_are_paths(optiscope, folder, runs, name):
    runs[0].rename(folder / name)
    outcome = optiscope("file", "verify", name)
    assert outcome.out.splitlines()[1].startswith(f"{name}  intact")
    assert optiscope("file", "info", name).code == 0


def test_verify_exits_with_2_for_what_is_damaged(optiscope, out, runs):
    with h5py.File(runs[0], "r+") as file:
        file["step/loss"][3] = 1.5
    (out / "runs" / "text.h5").write_text("text")
    outcome = optiscope("file", "verify", out)
    assert outcome.code == 2
    assert outcome.err == (
        "optiscope: 2 of 3 files are damaged or cannot be read: "
        "see what 'optiscope file recover' can save, or run them again\n"
    )
    assert [line.split()[1] for line in outcome.out.splitlines()[1:]] == ["damaged", "intact", "unreadable"]
    assert "has SHA-256" in outcome.out
    assert "is not an HDF5 file" in outcome.out


@pytest.mark.parametrize("command", ["info", "verify", "recover", "export"])
def test_a_file_that_is_not_there_is_bad_input(optiscope, runs, command):
    more = ["--to", "table.csv"] if command == "export" else []
    outcome = optiscope("file", command, "missing.h5", *more)
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err == "optiscope: there is no run file missing.h5: give the path of an existing .h5 file\n"


@pytest.mark.parametrize("command", ["info", "recover", "export"])
def test_a_folder_is_not_a_run_file(optiscope, out, command):
    more = ["--to", "table.csv"] if command == "export" else []
    outcome = optiscope("file", command, out, *more)
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith(f"optiscope: {out} is a folder: give one run file")


def test_a_missing_folder_is_named_with_what_to_do(optiscope, runs):
    outcome = optiscope("file", "export", runs[0], "--to", "missing/x.csv")
    assert outcome.err == (
        "optiscope: cannot write missing/x.csv (No such file or directory): make its folder first, or check the path\n"
    )


@pytest.mark.parametrize("more", [[], ["--json"]])
@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        ("config_json", "[]"),
        ("config_json", '{"steps": 1}'),
        ("config_json", "null"),
        ("wall_time", "long"),
        ("wall_time", [1.0, 2.0]),
        ("why", [1, 2]),
        ("first_bad_step", "x"),
    ],
)
def test_info_of_a_file_that_makes_no_sense_is_one_sentence(optiscope, runs, attribute, value, more):
    with h5py.File(runs[0], "r+") as file:
        file.attrs[attribute] = value
    outcome = optiscope("file", "info", runs[0], *more)
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith(f"optiscope: {runs[0]} is damaged (")


def test_info_of_a_run_whose_duration_was_lost_is_json_all_the_same(optiscope, runs):
    with h5py.File(runs[0], "r+") as file:
        file.attrs["wall_time"] = np.nan
    assert optiscope("file", "info", runs[0], "--json").document["wall_time"] is None


def test_info_keeps_the_whole_run_id_on_a_narrow_terminal(optiscope, runs, monkeypatch):
    from optiscope.cli import console

    monkeypatch.setattr(console, "stdout", lambda: console.open_console(sys.stdout, width=40))
    said = optiscope("file", "info", runs[0]).out
    assert "…" not in said
    assert "".join(line[said.index(runs[0].stem[:5]) :].strip() for line in said.splitlines()[:2]) == runs[0].stem
    assert max(map(len, said.splitlines())) <= 40


def test_verify_of_an_empty_folder_is_no_success(optiscope, folder):
    outcome = optiscope("file", "verify", folder)
    assert (outcome.code, outcome.err) == (
        2,
        f"optiscope: there are no run files in {folder}: give an output folder, or files\n",
    )


def test_recover_in_place_and_elsewhere(optiscope, runs):
    abandon(runs[0])
    outcome = optiscope("file", "recover", runs[0])
    assert (outcome.code, outcome.out) == (0, f"{runs[0]}: 150 steps, 2 epochs\n")
    with open_run(runs[0]) as run:
        assert run.status == "interrupted"
    assert optiscope("file", "recover", runs[0]).code == 2
    abandon(runs[1])
    document = optiscope("file", "recover", runs[1], "--to", "saved.h5", "--json").document
    assert document == {"path": "saved.h5", "steps": 150, "epochs": 2, "lost": []}


def test_export_writes_the_table_that_was_asked_for(optiscope, runs, folder):
    assert optiscope("file", "export", runs[0], "--to", "steps.csv").out == "steps.csv\n"
    with (folder / "steps.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    with open_run(runs[0]) as run:
        np.testing.assert_array_equal([float(row["loss"]) for row in rows], run.steps["loss"])
    assert optiscope("file", "export", runs[0], "--to", "epochs.parquet", "--group", "epoch").code == 0
    outcome = optiscope("file", "export", runs[0], "--to", "x.csv", "--group", "probe")
    assert outcome.code == 2
    assert "unknown group of" in outcome.err
    outcome = optiscope("file", "export", runs[0], "--to", "x.txt")
    assert (
        outcome.err == "optiscope: x.txt does not end in .csv or .parquet: say by the name of the file what to write\n"
    )


def test_info_says_who_writes_and_what_to_do_if_nobody_does(optiscope, runs):
    assert optiscope("file", "info", runs[0], "--json").document["writer"] == ""
    abandon(runs[0])
    said = optiscope("file", "info", runs[0]).out
    assert "nobody writes it any more: --resume goes on with it, 'optiscope file recover' ends it" in said
    lock = Lock(runs[0])
    assert optiscope("file", "info", runs[0], "--json").document["writer"].startswith(f"process {os.getpid()} on ")
    assert "nobody writes" not in optiscope("file", "info", runs[0]).out
    lock.release()
