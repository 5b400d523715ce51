"""`optiscope characterize`: what it asks the sweep for, and what it shows."""

import json
import re
from pathlib import Path

import pytest

from optiscope import sweep
from optiscope.config import GridConfig


def test_without_arguments_it_asks_for_the_papers_grid(optiscope, fake):
    assert optiscope("characterize").code == 0
    assert fake.grid == GridConfig()
    out = fake.asked.pop("out")
    assert out.name.startswith("optiscope-20")
    execution = {"jobs": None, "executor": "processes", "time_limit": None, "resume": False, "overwrite": False}
    assert fake.asked == execution


def test_every_flag_reaches_the_grid(optiscope, fake):
    words = """--optimizers adam sgd --batch-sizes 10 20 --lrs 0.1 1e-3 --seeds auto --data cifar10 --model paper-cnn
        --epochs 2 --train-samples 1000 --reduction sum --order reshuffle --schedule step --kernels direct --threads 2
        --set adam.beta1=0.8 sgd.momentum=0.9 --set adam.beta2=.9 --plugin a.py b.py --no-plugin c --strict
        --confidence 0.9 --max-seeds 30 --budget 2.5 --thin probe=5 a.b=20 --jobs 3 --executor in-process
        --time-limit 60 --out o"""
    assert optiscope("characterize", *words.split()).code == 0
    assert fake.grid == GridConfig(
        optimizers=("adam", "sgd"),
        batch_sizes=(10, 20),
        lrs=(0.1, 0.001),
        seeds="auto",
        confidence=0.9,
        max_seeds=30,
        data="cifar10",
        model="paper-cnn",
        epochs=2,
        train_samples=1000,
        reduction="sum",
        order="reshuffle",
        schedule="step",
        kernels="direct",
        threads=2,
        options={"adam": {"beta1": 0.8, "beta2": 0.9}, "sgd": {"momentum": 0.9}},
        plugins=("a.py", "b.py"),
        block=("c",),
        strict=True,
        budget=2.5,
        thin={"probe": 5, "a.b": 20},
    )
    asked = {
        "jobs": 3,
        "executor": "in-process",
        "time_limit": 60,
        "resume": False,
        "overwrite": False,
        "out": Path("o"),
    }
    assert fake.asked == asked


def test_seeds_are_a_number_or_auto(optiscope, fake):
    assert optiscope("characterize", "--seeds", "3").code == 0
    assert (fake.grid.seeds, fake.grid.confidence) == (3, 0.95)


def test_a_list_may_be_given_in_parts(optiscope, fake):
    optiscope("characterize", "--lrs", "0.1", "--lrs", "0.2", "0.3")
    assert fake.grid.lrs == (0.1, 0.2, 0.3)


def test_flags_win_over_the_file(optiscope, fake, folder):
    (folder / "grid.toml").write_text('optimizers = ["adam"]\nbatch_sizes = [10]\n[options.adam]\nbeta1 = 0.8\n')
    optiscope("characterize", "--config", "grid.toml", "--batch-sizes", "20", "--set", "adam.beta2=0.9")
    assert fake.grid == GridConfig(
        optimizers=("adam",), batch_sizes=(20,), options={"adam": {"beta1": 0.8, "beta2": 0.9}}
    )


@pytest.mark.parametrize("how", ["resume", "overwrite"])
def test_resume_and_overwrite(optiscope, fake, how):
    optiscope("characterize", "--out", "o", f"--{how}")
    assert fake.asked[how] is True


def test_table_on_stdout_and_the_rest_on_stderr(optiscope, fake):
    outcome = optiscope("characterize", "--out", "o")
    assert [line.split()[0] for line in outcome.out.splitlines()] == ["optimizer", "sgd", "adam"]
    assert outcome.err.splitlines()[-2:] == [
        "Everything is in o: open o/report.html.",
        "Judge again: optiscope label o   More seeds: the same command, --seeds N --out o --resume",
    ]


@pytest.mark.parametrize(("optimizers", "told"), [(8, False), (9, True)])
def test_where_many_runs_have_ended_a_line_says_what_is_made(optiscope, fake, optimizers, told):
    names = [f"o{number}" for number in range(optimizers)]
    outcome = optiscope("characterize", "--optimizers", *names, "--out", "o", "--json")
    assert ("The runs have ended: index, verdicts and report are made." in outcome.err.splitlines()) is told
    assert len(outcome.document["cells"]) == optimizers


def test_json_is_all_there_is_on_stdout(optiscope, fake, folder):
    fake.events = ("a worker died",)
    outcome = optiscope("characterize", "--out", "o", "--json")
    assert outcome.document == json.loads((folder / "o" / "characterization.json").read_text())
    assert "a worker died" in outcome.err


def test_unstable_verdicts_are_no_failure(optiscope, fake):
    outcome = optiscope("characterize", "--out", "o")
    assert "unstable" in outcome.out
    assert outcome.code == 0


def test_dry_run_lists_and_writes_nothing(optiscope, folder):
    outcome = optiscope(
        "characterize", "--dry-run", "--model", "quadratic", "--lrs", "0.5", "0.1", "--batch-sizes", "1"
    )
    assert outcome.code == 0
    assert len(outcome.out.splitlines()) == 1 + 4
    assert outcome.out.splitlines()[0].split()[:4] == ["run_id", "optimizer", "batch_size", "lr"]
    sentence = r"4 runs: about \d+:\d\d with \d+ at a time, and at most \d+\.\d MB on the disk; nothing was written\n"
    assert re.fullmatch(sentence, outcome.err)
    assert list(folder.iterdir()) == []


def test_dry_run_says_how_many_runs_there_may_be(optiscope, folder):
    words = ("--dry-run", "--model", "quadratic", "--batch-sizes", "1", "--seeds", "auto", "--max-seeds", "9")
    outcome = optiscope("characterize", *words)
    assert len(outcome.out.splitlines()) == 1 + 2 * 4
    assert outcome.err.startswith("8 runs to begin with, and at most 18: about ")


def test_dry_run_as_json(optiscope, folder):
    words = ["--dry-run", "--json", "--model", "quadratic", "--optimizers", "sgd", "--batch-sizes", "1", "--steps", "7"]
    words += ["--jobs", "1"]
    document = optiscope("characterize", *words).document
    (run,) = document["runs"]
    assert (run["optimizer"], run["batch_size"], run["steps"], run["seed"]) == ("sgd", 1, 7, 0)
    assert run["lr"] > 0
    assert run["seconds"] == document["seconds"] > 0
    assert (document["finished"], document["jobs"]) == (0, 1)
    assert document["most_bytes"] > 0
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("--jobs 0", "--jobs must be a whole number >= 1, not 0"),
        ("--time-limit -3", "--time-limit must be a number of seconds above 0, not -3"),
        ("--time-limit 0 --dry-run", "--time-limit must be a number of seconds above 0, not 0"),
        (
            "--time-limit 5 --executor in-process --dry-run",
            "--time-limit: the executor in-process cannot end a run that takes too long",
        ),
        ("--resume", "--resume needs --out DIR"),
        ("--overwrite", "--overwrite needs --out DIR"),
    ],
)
def test_what_cannot_go_together(refused, words, sentence):
    assert sentence in refused("characterize", *words.split())


def test_ctrl_c_before_anything_was_begun_says_so(optiscope, folder, monkeypatch):
    """A budget is measured for some seconds before a folder that is there already is touched."""

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(sweep, "characterize", interrupted)
    (folder / "o").mkdir()
    outcome = optiscope("characterize", "--out", "o", "--overwrite")
    assert (outcome.code, outcome.err) == (130, "optiscope: interrupted: nothing was written\n")
