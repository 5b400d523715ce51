"""Tables of results: whole lines where nobody looks, folded to the width where somebody does."""

import io
from pathlib import Path

import pytest

from optiscope.cli.console import open_console, show
from optiscope.cli.tables import verdicts, what_next

WHY = "the batch minimum falls below the band about its median at step 37 and stays there for 200 steps, which is long"


def cell(optimizer="sgd", verdict="stable", seeds=1, **fields):
    runs = [{"seed": seed, "verdict": verdict, "why": WHY} for seed in range(seeds)]
    counts = {"unstable": 0, "decided": seeds, "undecided": 0, "mean": 0.1, "low": 0.0, "high": 0.5}
    known = {"optimizer": optimizer, "batch_size": 50, "lr": 0.01, "reduction": "mean", "verdict": verdict}
    return known | {"p_unstable": counts, "runs": runs} | fields


def piped(*cells):
    file = io.StringIO()
    show(open_console(file), verdicts({"cells": cells}))
    return file.getvalue().splitlines()


def test_a_line_a_cell_unwrapped_and_without_trailing_blanks():
    lines = piped(cell(), cell("adam", "unstable"))
    assert len(lines) == 3
    assert lines[0].split() == ["optimizer", "batch", "lr", "verdict", "why"]
    assert lines[2].split()[:4] == ["adam", "50", "0.01", "unstable"]
    assert lines[2].endswith(WHY)
    assert all(line == line.rstrip() for line in lines)


def test_columns_that_say_nothing_are_left_out():
    assert "unstable" in piped(cell(seeds=3))[0].split()
    assert "loss" in piped(cell(), cell(reduction="sum"))[0].split()


def test_markup_in_names_is_text():
    assert piped(cell("[bold]x[/bold]"))[1].startswith("[bold]x[/bold] ")
    assert ":smile:" in piped(cell(":smile:"))[1]


def test_a_reason_of_several_lines_is_one():
    broken = cell()
    broken["runs"][0]["why"] = "first\nsecond\r\n third"
    assert piped(broken)[1].endswith("first second third")


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("width", [60, 80, 140])
def test_a_terminal_is_not_overrun_and_the_reason_is_whole(monkeypatch, width):
    monkeypatch.setenv("TERM", "dumb")
    file = Terminal()
    show(open_console(file, width), verdicts({"cells": [cell()]}))
    lines = file.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    words = " ".join(lines[1:]).split()
    assert [word for word in words if word in WHY.split()] == WHY.split()


@pytest.mark.parametrize(("no_color", "coloured"), [("", True), ("1", False)])
def test_colour_is_for_terminals_that_want_it(monkeypatch, no_color, coloured):
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("NO_COLOR", no_color)
    file = Terminal()
    show(open_console(file, 100), verdicts({"cells": [cell()]}))
    assert ("\x1b[32m" in file.getvalue()) is coloured


def test_what_next_is_two_lines():
    lines = what_next(Path("o"), Path("o/report.html"))
    assert len(lines) == 2
    assert "o/report.html" in lines[0]
    assert "optiscope label o" in lines[1]
