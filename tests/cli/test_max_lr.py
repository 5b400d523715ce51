"""`optiscope max-lr`: what it asks for, and what it shows."""

import io
import json

import pytest

from optiscope import sweep
from optiscope.cli import console
from optiscope.cli.max_lr import remarks, show
from optiscope.config import GridConfig
from optiscope.sweep import CellProgress, GridProgress, MaxLr
from optiscope.sweep.search import FILE_NAME, to_json

QUICK = ["--model", "quadratic", "--optimizers", "sgd", "--steps", "60", "--executor", "in-process"]


def result(**fields):
    base = {
        "optimizer": "sgd",
        "options": {},
        "model": "quadratic",
        "model_options": {},
        "reduction": "mean",
        "batch_size": 50,
        "lr_max": 0.498765,
        "low": 0.4871,
        "high": 0.51234,
        "confidence": 0.9,
        "lr_5_percent": 0.4901,
        "runs": 17,
        "undecided": 1,
        "closed_form": 0.5,
        "judged_by": "dynamics 2",
        "why": "",
        "evidence": (),
    }
    return MaxLr(**base | fields)


def shown(*found, width=None):
    text = io.StringIO()
    show(console.open_console(text, width), found)
    return text.getvalue().splitlines()


def test_the_table():
    title, row = shown(result())
    assert title.split() == [
        "optimizer",
        "batch",
        "max",
        "lr",
        "low",
        "high",
        "at",
        "5",
        "%",
        "theory",
        "ratio",
        "runs",
    ]
    assert row.split() == ["sgd", "50", "0.4988", "0.4871", "0.5123", "0.4901", "0.5", "0.998", "17"]


def test_what_is_not_known_is_a_dash():
    _, row = shown(result(lr_max=None, high=None, lr_5_percent=None, closed_form=None))
    assert row.split() == ["sgd", "50", "-", "0.4871", "-", "-", "-", "-", "17"]


@pytest.mark.parametrize("width", [60, 80])
def test_the_table_fits_the_terminal(width):
    tiny = {"lr_max": 3.8012e-07, "low": 3.7512e-07, "high": 3.8512e-07, "lr_5_percent": 3.7912e-07}
    lines = shown(result(), result(optimizer="adam-inside", **tiny, closed_form=3.8001e-07), width=width)
    assert len(lines) == 3
    assert max(map(len, lines)) <= width
    assert "3.801e-07" in lines[2]
    assert "…" not in "".join(lines)


def test_remarks():
    assert remarks([result()]) == []
    assert remarks([result(why="no one was stable")]) == ["sgd, batch 50: no one was stable"]
    (line,) = remarks([result(closed_form=0.3)])
    assert line == "sgd, batch 50: theory says 0.3, outside the interval (docs/max-lr.md: why)"


def test_flags_reach_the_search(optiscope, monkeypatch):
    asked = {}

    def pretend(grid, out, **more):
        asked.update(more, grid=grid, out=out)
        out.mkdir()
        (out / FILE_NAME).write_text(to_json([result()]))
        return (result(),)

    monkeypatch.setattr(sweep, "max_lr", pretend)
    words = "--optimizers adam --batch-sizes 10 --confidence .8 --tolerance 0.1 --max-runs 9 --between 1e-3 10 --jobs 2"
    outcome = optiscope("max-lr", *words.split(), "--out", "o")
    assert outcome.code == 0
    assert asked.pop("grid") == GridConfig(optimizers=["adam"], batch_sizes=[10])
    assert asked.pop("on_progress") is not None
    assert str(asked.pop("out")) == "o"
    assert asked == {
        "confidence": 0.8,
        "tolerance": 0.1,
        "max_runs": 9,
        "between": (0.001, 10.0),
        "jobs": 2,
        "executor": "processes",
        "time_limit": None,
        "resume": False,
        "overwrite": False,
    }


def test_json_is_one_object_for_one_search_and_a_list_for_several(optiscope, folder):
    outcome = optiscope("max-lr", *QUICK, "--batch-sizes", "1", "--max-runs", "4", "--json", "--out", "one")
    assert outcome.code == 0
    assert list(outcome.document)[:5] == ["optimizer", "options", "model", "model_options", "batch_size"]
    fixed = {
        "optimizer",
        "options",
        "model",
        "batch_size",
        "lr_max",
        "low",
        "high",
        "confidence",
        "runs",
        "closed_form",
    }
    assert fixed <= outcome.document.keys()
    assert outcome.document == json.loads((folder / "one" / "max-lr.json").read_text())
    assert outcome.document["runs"] == len(list((folder / "one" / "runs").glob("*.h5"))) == 4
    outcome = optiscope("max-lr", *QUICK, "--batch-sizes", "1", "2", "--max-runs", "1", "--json", "--out", "two")
    assert [each["batch_size"] for each in outcome.document] == [1, 2]


def test_label_and_report_read_the_folder(optiscope, folder):
    outcome = optiscope("max-lr", *QUICK, "--batch-sizes", "1", "--max-runs", "3", "--out", "o")
    assert "Everything is in o: open o/max-lr.svg." in outcome.err
    assert (folder / "o" / "max-lr.svg").exists()
    assert "sgd, batch 1: every decided one of 3 runs is stable, up to 0.16: the limit lies above" in outcome.err
    assert optiscope("label", "o").code == 0
    assert optiscope("report", "o").code == 0
    assert (folder / "o" / "report.html").exists()


def test_ctrl_c_says_what_is_kept_and_how_to_go_on(optiscope, monkeypatch):
    def interrupted(grid, out, *, on_progress, **more):
        out.mkdir()
        cell = CellProgress(optimizer="sgd", batch_size=1, lr=0.01, runs=1, steps=60)
        on_progress(GridProgress(cells=(cell,), elapsed=1.0))
        raise KeyboardInterrupt

    monkeypatch.setattr(sweep, "max_lr", interrupted)
    outcome = optiscope("max-lr", "--out", "o")
    assert outcome.code == 130
    kept = "interrupted: the runs that had finished are kept; --resume goes on from there"
    assert outcome.err.splitlines()[-1] == f"optiscope: {kept}; go on with: optiscope max-lr --out o --resume"


def test_ctrl_c_before_anything_was_begun_says_so(optiscope, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(sweep, "max_lr", interrupted)
    outcome = optiscope("max-lr", "--out", "o")
    assert (outcome.code, outcome.err) == (130, "optiscope: interrupted: nothing was written\n")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("--confidence 1.5", "--confidence must be above 0 and below 1, not 1.5"),
        ("--tolerance 0", "--tolerance must be a number >= 0.001"),
        ("--max-runs 0", "--max-runs must be a whole number >= 1, not 0"),
        ("--max-runs 2.5", "--max-runs takes whole numbers, not '2.5'"),
        ("--between 2 1", "--between takes two learning rates, the smaller first"),
        ("--lrs 0.1", "unknown option"),
        ("--jobs 0", "--jobs must be a whole number >= 1"),
        ("--resume", "--resume needs --out DIR"),
        ("--optimizers adm", "unknown optimizer 'adm': did you mean 'adam'"),
        ("--set quadratic.curvatur=1", "curvatur"),
    ],
)
def test_bad_input(refused, words, sentence):
    assert sentence in refused("max-lr", *words.split())


def test_a_configuration_file_with_lrs_is_refused(refused, folder):
    (folder / "grid.toml").write_text("lrs = [0.1]\n")
    assert "leave lrs and seeds out" in refused("max-lr", "--config", "grid.toml")
