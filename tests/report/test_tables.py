import json
import math
import shlex
from pathlib import Path
from typing import Any

import attrs
import pytest

from optiscope.config import GridConfig, RunConfig
from optiscope.report.tables import NOTHING, AnalyzerRow, analyzer_rows, command, number, spent, verdict_rows


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, NOTHING),
        (100, "100"),
        (0.001, "0.001"),
        (1 / 3, "0.3333"),
        (1e-9, "1e-09"),
        (math.nan, "not finite"),
        (math.inf, "not finite"),
        ("2.5", "2.5"),
        (True, "True"),
    ],
)
def test_numbers_are_written_as_a_person_would(value: object, text: str) -> None:
    assert number(value) == text


def test_a_row_a_cell_in_the_order_of_the_document(study: Path) -> None:
    rows = verdict_rows(json.loads((study / "characterization.json").read_text()))
    assert [row.name for row in rows] == [
        "sgd, batch 50, lr 0.01, mean",
        "sgd, batch 200, lr 0.01, mean",
        "adam, batch 100, lr 0.01, mean",
        "<script>alert(1)</script> $x_1$, batch 50, lr 0.01, mean",
    ]
    assert [row.verdict for row in rows] == ["stable", "unstable", "undecided", "stable"]
    assert [row.p_unstable for row in rows] == [
        "0.25 (0.00 to 0.85)",
        "0.75 (0.00 to 0.85)",
        "0.38 (0.00 to 0.85)",
        "0.25 (0.00 to 0.85)",
    ]
    assert [row.runs for row in rows] == ["one seed", "one seed", "1 of 3 unstable", "one seed"]
    assert [row.seeds for row in rows] == ["1", "1", "3", "1"]
    assert [row.interval for row in rows] == ["below 0.85", "above 0.00", "0.00 to 0.85", "below 0.85"]


def one_cell(verdict: str, runs: list[dict[str, Any]]) -> dict[str, Any]:
    return {"cells": [{"optimizer": "sgd", "verdict": verdict, "runs": runs}]}


@pytest.mark.parametrize(
    ("verdict", "runs", "why"),
    [
        ("stable", [("stable", "it is flat")], "it is flat"),
        ("unstable", [("stable", "it is flat"), ("unstable", "it blew up")], "seed 1: it blew up"),
        ("undecided", [("unstable", "x"), ("stable", "y"), ("unstable", "z")], "1 stable, 2 unstable"),
        ("undecided", [("undecided", "too short")], "too short"),
        ("undecided", [], "no runs"),
    ],
)
def test_one_line_of_why(verdict: str, runs: list[tuple[str, str]], why: str) -> None:
    entries = [{"seed": seed, "verdict": found, "why": words} for seed, (found, words) in enumerate(runs)]
    assert verdict_rows(one_cell(verdict, entries))[0].why.endswith(why)


def test_a_cell_that_says_why_is_taken_at_its_word() -> None:
    document = one_cell("stable", [{"seed": 0, "verdict": "stable", "why": "it is flat"}])
    document["cells"][0]["why"] = "none of 1 run is unstable"
    assert verdict_rows(document)[0].why == "none of 1 run is unstable"


@pytest.mark.parametrize(
    ("seeds", "words"),
    [
        ([1, 1], "2 runs, 1 seed a cell"),
        ([1], "1 run, 1 seed a cell"),
        ([5, 5], "10 runs, 5 seeds a cell"),
        ([4, 9, 5], "18 runs, 4 to 9 seeds a cell"),
        ([], "0 runs, 0 seeds a cell"),
    ],
)
def test_what_was_spent(seeds: list[int], words: str) -> None:
    assert spent({"cells": [{"runs": [{}] * count} for count in seeds]}) == words


def test_a_sparse_cell_has_dashes() -> None:
    row = verdict_rows(one_cell("undecided", []))[0]
    assert (row.batch_size, row.lr, row.runs) == (NOTHING, NOTHING, "none decided")
    assert row.p_unstable == f"{NOTHING} ({NOTHING} to {NOTHING})"
    assert (row.interval, row.seeds) == (NOTHING, "0")


def test_an_analyzer_in_words() -> None:
    found = {"name": "envelope", "rule_version": "1", "statistic": 0.0412345, "threshold": None, "result": "pass"}
    assert analyzer_rows({"analyzers": [found]}) == (
        AnalyzerRow(name="envelope", rule_version="1", statistic="0.04123", threshold=NOTHING, result="pass", why=""),
    )


def asked(**changes: Any) -> dict[str, Any]:
    return attrs.asdict(RunConfig(**changes), recurse=False)


def test_no_configuration_no_command() -> None:
    assert command([]) == command([{"program": "somebody's own"}]) == ""


def test_defaults_are_left_out_and_axes_are_collected() -> None:
    runs = [asked(optimizer=name, batch_size=size) for name in ("sgd", "adam") for size in (50, 100)]
    assert command(runs) == "optiscope characterize --optimizers sgd adam --batch-sizes 50 100 --seeds 1"


def test_everything_that_differs_is_named_and_quoted() -> None:
    run = asked(
        optimizer="adam",
        lr=0.1,
        seed=2,
        data="my images",
        epochs=3,
        reduction="sum",
        options={"adam": {"beta1": 0.8, "amsgrad": True}},
        plugins=("a.py",),
        block=("other",),
        strict=True,
    )
    assert command([run]) == (
        "optiscope characterize --optimizers adam --batch-sizes 100 --lrs 0.1 --seeds 3 --data 'my images' --epochs 3 "
        "--reduction sum --set adam.amsgrad=true --set adam.beta1=0.8 --plugin a.py --no-plugin other --strict"
    )


GRIDS = {
    "options": {"optimizers": ["sgd", "adam", "adam(beta1=0.8)"], "options": {"adam": {"beta2": 0.9}}},
    "rates": {"optimizers": ["sgd(lr=0.1)", "sgd(lr=0.2)", "adam"]},
    "some rates": {"optimizers": ["sgd(lr=0.3)", "adam(epsilon=1)"], "lrs": [0.1, 0.2]},
    "models": {"model": ["quadratic", "rosenbrock"], "reduction": ["sum", "mean"], "optimizers": ["sgd"]},
    "lists": {"optimizers": ["sgd"], "options": {"quadratic": {"curvature": (1, 10)}}},
}


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
def test_the_command_asks_for_the_same_runs(grid: dict[str, Any]) -> None:
    from optiscope.cli.characterize import app
    from optiscope.cli.options import GridFlags, grid_config
    from optiscope.sweep import expand

    runs = expand(GridConfig(**{"model": "quadratic", "batch_sizes": [1, 2], "seeds": 2} | grid))
    words = shlex.split(command([attrs.asdict(run) for run in runs]))
    _, bound, _ = app.parse_args(words[2:])
    flags: GridFlags = bound.arguments["flags"]
    assert set(map(repr, expand(grid_config(flags)))) == set(map(repr, runs))


def test_the_command_knows_every_field_of_a_grid() -> None:
    """A new field of `GridConfig` that the command forgets would make it a different experiment."""
    everything = {"optimizers": "x", "batch_sizes": 7, "lrs": 0.5, "seeds": 9, "model": "m", "data": "d", "steps": 11}
    everything |= {"train_samples": 13, "reduction": "sum", "order": "reshuffle", "schedule": "s", "kernels": "k"}
    everything |= {"threads": 3, "options": {"p": {"q": 1}}, "plugins": ("f.py",), "block": ("b",), "strict": True}
    everything |= {"budget": 5.0, "thin": {"probe": 15, "mine": 2}, "confidence": 0.9}
    assert {*everything, "epochs", "max_seeds"} == set(attrs.fields_dict(GridConfig))
    single = {"optimizers": "optimizer", "batch_sizes": "batch_size", "lrs": "lr"}
    run = {single.get(name, name): value for name, value in everything.items()} | {"seed": 8}
    words = command([run], 0.9).split()
    for flag in ("optimizers", "batch-sizes", "lrs", "seeds", "model", "data", "steps", "train-samples", "reduction"):
        assert words.count(f"--{flag}") == 1
    for flag in (
        "order",
        "schedule",
        "kernels",
        "threads",
        "set",
        "plugin",
        "no-plugin",
        "strict",
        "budget",
        "confidence",
    ):
        assert words.count(f"--{flag}") == 1
    assert "9" in words
    assert " --budget 5 --thin probe=15 --thin mine=2" in command([run])
