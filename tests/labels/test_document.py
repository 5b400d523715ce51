import json

import attrs
import numpy as np
import pytest

from optiscope.analysis import Alarm, Finding
from optiscope.errors import FileError, UsageError
from optiscope.labels import FILE_NAME, Characterization, RunVerdict, form_cells, read_document


@pytest.fixture
def characterization(make_run):
    findings = (
        Finding(name="outcome", rule_version="provisional-1", result="pass", statistic=0.2, threshold=0.9, why="fell"),
        Finding(name="odd", rule_version="1", result="info", statistic=float("nan"), threshold=np.inf, why="odd"),
    )
    run = RunVerdict(
        run_id="run-0",
        seed=0,
        path="runs/run-0.h5",
        status="completed",
        verdict="stable",
        outcome="trained",
        dynamics="not measured",
        signal="steady",
        why="fell",
        first_step=None,
        findings=findings,
    )
    other = attrs.evolve(run, run_id="run-1", seed=1)
    config = make_run().config | {"optimizer_options": {"clip": float("inf"), "beta1": 0.9}}
    return Characterization(cells=form_cells([(config, run), (config, other)]), versions={"optiscope": "0.1.0"})


@pytest.fixture
def read_back(tmp_path):
    def read(document):
        (tmp_path / FILE_NAME).write_text(json.dumps(document))
        return Characterization.read(tmp_path)

    return read


def test_the_schema_is_the_promised_one(characterization):
    document = json.loads(characterization.to_json())
    assert list(document) == ["schema_version", "versions", "seeds", "cells", "unreadable", "lost"]
    assert document["schema_version"] == 1
    (cell,) = document["cells"]
    assert list(cell) == [
        *("optimizer", "options", "batch_size", "lr", "reduction", "model", "data"),
        *("verdict", "confidence", "why", "p_unstable", "seeds", "runs"),
    ]
    assert list(cell["p_unstable"]) == ["unstable", "decided", "undecided", "mean", "low", "high", "confidence"]
    assert (document["seeds"], cell["seeds"]) == (2, 2)
    assert cell["why"].startswith("none of 2 runs is unstable: P(unstable) is below 0.67 with 97.5 %")
    assert list(cell["runs"][0]) == [
        *("run_id", "seed", "path", "status", "verdict", "outcome", "dynamics", "signal", "why", "first_step"),
        "analyzers",
    ]
    assert list(cell["runs"][0]["analyzers"][0]) == [
        *("name", "rule_version", "statistic", "threshold", "result", "why", "alarms"),
    ]


def test_what_is_not_a_finite_number_is_null(characterization):
    def refuse(word):
        raise AssertionError(f"{word} is not JSON")

    document = json.loads(characterization.to_json(), parse_constant=refuse)
    odd = document["cells"][0]["runs"][0]["analyzers"][1]
    assert (odd["statistic"], odd["threshold"]) == (None, None)
    assert document["cells"][0]["options"] == {"clip": None, "beta1": 0.9}


@pytest.mark.parametrize("name", ["", "other.json"])
def test_what_is_written_is_read_back(characterization, tmp_path, name):
    path = characterization.write(tmp_path / name)
    assert path == tmp_path / (name or FILE_NAME)
    again = Characterization.read(tmp_path / name)
    assert again.to_json() == characterization.to_json()
    assert again.cells[0].p_unstable == characterization.cells[0].p_unstable
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_a_write_that_fails_leaves_what_was_there(characterization, tmp_path, monkeypatch):
    path = characterization.write(tmp_path)
    before = path.read_bytes()

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(FileError, match="No space left on device"):
        attrs.evolve(characterization, versions={}).write(tmp_path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == [FILE_NAME]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "damaged"),
        ("[]", "damaged"),
        ("{}", "damaged"),
        ('{"schema_version": 1, "versions": {}, "cells": [{}]}', "damaged"),
        ('{"schema_version": 1, "versions": {}, "cells": {}}', "damaged"),
        ('"cells"', "damaged"),
        ("\xff", "damaged"),
        ('{"schema_version": 2, "versions": {}, "cells": []}', "newer"),
    ],
)
def test_what_cannot_be_read_is_one_sentence(tmp_path, text, says):
    (tmp_path / FILE_NAME).write_bytes(text.encode("latin-1"))
    with pytest.raises(FileError, match=says):
        Characterization.read(tmp_path)


def test_a_folder_without_a_document_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"holds no characterization\.json: name a folder"):
        Characterization.read(tmp_path)


def test_what_may_not_be_read_is_one_sentence(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.read_text", refuse)
    with pytest.raises(FileError, match=r"cannot be read \(Permission denied\)"):
        Characterization.read(tmp_path)


def test_keys_that_a_later_version_added_are_passed_over(characterization, read_back):
    document = json.loads(characterization.to_json())
    cell = document["cells"][0]
    run = cell["runs"][0]
    for part in (document, cell, cell["p_unstable"], run, run["analyzers"][0]):
        part["added"] = 1
    again = read_back(document)
    assert again.to_json() == characterization.to_json()


def test_a_document_without_the_lists_of_unreadable_files_and_lost_runs_is_read(characterization, read_back):
    document = json.loads(characterization.to_json())
    del document["unreadable"], document["lost"]
    assert (read_back(document).unreadable, read_back(document).lost) == ((), {})


def test_unreadable_files_are_written_and_read_back(characterization, read_back):
    sentence = "runs/x.h5 is damaged: make it again"
    found = attrs.evolve(characterization, unreadable_files={"runs/x.h5": sentence})
    document = json.loads(found.to_json())
    assert document["unreadable"] == [{"path": "runs/x.h5", "why": sentence}]
    assert read_back(document).unreadable == (sentence,)


def test_a_document_of_before_cells_said_why_is_read(characterization, read_back):
    document = json.loads(characterization.to_json())
    (cell,) = document["cells"]
    del cell["why"], cell["p_unstable"]["confidence"]
    (again,) = read_back(document).cells
    assert (again.why, again.p_unstable.confidence) == ("", 0.95)


def test_alarms_are_written_with_their_steps_and_read_back(characterization, read_back):
    alarm = Alarm(name="X", statistic=9.0, threshold=4.0, p_value=None, steps=(172, 190))
    (cell,) = characterization.cells
    loud = attrs.evolve(cell.runs[0].findings[0], result="alarm", alarms=(alarm,))
    run = attrs.evolve(cell.runs[0], findings=(loud,))
    document = json.loads(attrs.evolve(characterization, cells=(attrs.evolve(cell, runs=(run,)),)).to_json())
    (written,) = document["cells"][0]["runs"][0]["analyzers"][0]["alarms"]
    assert written == {"name": "X", "statistic": 9.0, "threshold": 4.0, "p_value": None, "steps": [172, 190]}
    assert read_back(document).cells[0].runs[0].findings[0].alarms == (alarm,)


def test_a_document_without_alarms_is_read(characterization, read_back):
    document = json.loads(characterization.to_json())
    for run in document["cells"][0]["runs"]:
        for found in run["analyzers"]:
            del found["alarms"]
    assert read_back(document).to_json() == characterization.to_json()


def test_lost_runs_are_written_and_read_back(characterization, read_back):
    found = attrs.evolve(characterization, lost={"sgd-b1-lr1-s0-0": "it ran out of memory; tried again, it did"})
    document = json.loads(found.to_json())
    assert document["lost"] == [{"run_id": "sgd-b1-lr1-s0-0", "why": "it ran out of memory; tried again, it did"}]
    assert read_back(document).lost == found.lost


def test_runs_that_nobody_judged_are_told_from_no_runs(tmp_path):
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "a.h5").touch()
    with pytest.raises(UsageError, match=f"have not been judged: 'optiscope label {tmp_path}' does it"):
        read_document(tmp_path)


def test_a_place_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UsageError, match=f"there is no {tmp_path / 'nothing'}: name a folder"):
        read_document(tmp_path / "nothing")


def test_a_folder_of_folders_names_one_of_them(tmp_path):
    (tmp_path / "part").mkdir()
    (tmp_path / "part" / FILE_NAME).touch()
    with pytest.raises(UsageError, match=f"holds no {FILE_NAME}, but {tmp_path / 'part'} does: name that folder"):
        read_document(tmp_path)
