"""`optiscope reproduce paper`: what it asks for, and what it shows."""

import json

import attrs
import pytest

from optiscope import report
from optiscope.hooks import discovery
from optiscope.labels.claims import CLAIMS
from optiscope.labels.reproduction import FILE_NAME
from optiscope.sweep import paper


@pytest.fixture
def quick(monkeypatch):
    """Make the experiment one of milliseconds: two parts of it, on logistic regression, in this process."""
    whole, run_parts = paper.parts, paper.run_parts

    def small(scale, data, seeds):
        found = [part for part in whole(scale, data, model="logistic") if part.name in ("sgd-sum", "adam-sum")]
        return tuple(
            attrs.evolve(
                part, grid=attrs.evolve(part.grid, train_samples=None, steps=5, seeds=seeds or 1, lrs=part.grid.lrs[:1])
            )
            for part in found
        )

    monkeypatch.setattr(paper, "parts", small)
    monkeypatch.setattr(paper, "run_parts", lambda *given, **how: run_parts(*given, **how | {"executor": "in-process"}))


def test_the_parts_are_run_compared_and_reported(optiscope, quick, folder, monkeypatch):
    outcome = optiscope("reproduce", "paper", "--data", "synthetic", "--out", "o")
    assert outcome.code == 0, outcome.err
    for claim in CLAIMS:
        assert claim in outcome.out
    assert "an effect of the effective step B x lr?" in outcome.out
    assert outcome.out.rstrip().endswith("The verdicts do not tell, as no run was decided.")
    assert "Left out: 1 seed of sgd-sum, adam-sum: it takes 4 that agree" in outcome.err
    assert "12 runs in all: --dry-run tells how long they take." in outcome.err
    assert "sgd-sum: 4 runs, part 1 of 2" in outcome.err
    assert " with the parts to come)" in outcome.err
    ended = outcome.err.index("All parts have ended: comparison and reports are made.")
    assert outcome.err.index("adam-sum: 8 runs, part 2 of 2") < ended < outcome.err.index("Everything is in o")
    assert (folder / "o" / FILE_NAME).exists()
    assert all((folder / "o" / part / "report.html").exists() for part in ("sgd-sum", "adam-sum"))
    assert "sgd, lr 0.001, sum" in (folder / "o" / "report.html").read_text()

    monkeypatch.setattr(report, "write_report", lambda out: out / "report.html")  # one of each is drawn above
    anew = optiscope("reproduce", "paper", "--data", "synthetic", "--out", "o")
    assert anew.err == ("optiscope: o already holds a reproduction: go on with --resume, or choose another --out\n")
    again = optiscope("reproduce", "paper", "--data", "synthetic", "--out", "o", "--resume", "--json")
    assert again.document == json.loads((folder / "o" / FILE_NAME).read_text())


def test_a_dry_run_says_what_would_run_and_how_long_and_writes_nothing(optiscope, quick, folder):
    words = ("reproduce", "paper", "--data", "synthetic", "--jobs", "1", "--dry-run")
    outcome = optiscope(*words)
    assert outcome.code == 0
    assert "adam-sum" in outcome.out
    first, *_, last = outcome.err.splitlines()[-2:]
    assert first.endswith("to tell how long all take: that may take minutes.")
    assert last.startswith("12 runs: about 0:")
    assert "nothing was written" in outcome.err
    assert list(folder.iterdir()) == []
    document = optiscope(*words, "--json").document
    assert {part["part"]: part["runs"] for part in document["parts"]} == {"sgd-sum": 4, "adam-sum": 2 * 4}
    assert "36 runs: about" in optiscope(*words, "--seeds", "3").err
    assert document["seconds"] == sum(part["seconds"] for part in document["parts"]) > 0


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("--jobs 0", "--jobs must be a whole number >= 1, not 0"),
        ("--seeds 0", "--seeds must be a whole number >= 1, not 0"),
        ("--resume", "--resume needs --out DIR: the folder that was begun"),
        ("--scale huge", "huge"),
        ("--data nowhere --out o", "nowhere"),
        ("--data nowhere --scale full", "nowhere"),
        ("--data nowhere --dry-run", "nowhere"),
    ],
)
def test_bad_input_is_refused_in_one_sentence_and_before_anything_is_said(refused, words, sentence):
    assert sentence in refused("reproduce", "paper", *words.split())


def without_package(monkeypatch):
    found = [each for each in discovery.entry_points() if each.name != "optiscope-optimizers"]
    monkeypatch.setattr(discovery, "entry_points", lambda: found)


@pytest.mark.parametrize("more", [(), ("--dry-run",), ("--scale", "full")])
def test_where_the_package_is_missing_it_says_how_to_install_it(refused, monkeypatch, more):
    without_package(monkeypatch)
    assert refused("reproduce", "paper", "--data", "synthetic", *more) == (
        "the reproduction needs nag, rmsprop, adagrad of the package optiscope-optimizers, which is not installed: "
        "pip install -e ./optiscope/plugins/optiscope-optimizers (or uv pip install), where ./optiscope is optiscope's "
        "source"
    )


@pytest.mark.parametrize("resume", [(), ("--resume",)])
@pytest.mark.parametrize(
    ("there", "sentence"),
    [
        ("grid.json", "o holds a characterization, and a reproduction needs a folder of its own: choose another --out"),
        (
            "report.html",
            "o holds report.html but no part of a reproduction, so it cannot be told whose it is: choose another --out",
        ),
        (FILE_NAME, f"o holds {FILE_NAME} but no part of a reproduction"),
    ],
)
def test_what_would_be_written_over_is_refused(refused, quick, folder, there, sentence, resume):
    (folder / "o").mkdir()
    (folder / "o" / there).write_text("theirs")
    assert refused("reproduce", "paper", "--data", "synthetic", "--out", "o", *resume).startswith(sentence)
    assert (folder / "o" / there).read_text() == "theirs"


def test_a_report_on_what_is_not_finished_says_how_to_go_on(optiscope, refused, quick, folder, monkeypatch):
    run_parts = paper.run_parts

    def stopped(planned, *given, **how):
        run_parts(planned[:1], *given, **how)
        raise KeyboardInterrupt

    monkeypatch.setattr(paper, "run_parts", stopped)
    assert optiscope("reproduce", "paper", "--data", "synthetic", "--out", "o").code == 130
    sentence = refused("report", "o")
    ended, _, again = sentence.partition(": go on with: ")
    assert ended == "the reproduction in o is not finished (what has ended has reports of its own: o/sgd-sum)"
    assert again == "optiscope reproduce paper --data synthetic --seeds 1 --out o --resume"
    assert optiscope("report", "o/sgd-sum").code == 0
