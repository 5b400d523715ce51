"""Tables of results: whole lines where nobody looks, folded to the width where somebody does."""

import io
import re
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


def drawn(to, *cells):
    show(to, *verdicts({"cells": cells}, to))


def piped(*cells):
    file = io.StringIO()
    drawn(open_console(file), *cells)
    return file.getvalue().splitlines()


def test_a_line_a_cell_unwrapped_and_without_trailing_blanks():
    lines = piped(cell(), cell("adam", "unstable"))
    assert len(lines) == 3
    assert lines[0].split() == ["optimizer", "batch", "lr", "verdict", "why"]
    assert lines[2].split()[:4] == ["adam", "50", "0.01", "unstable"]
    assert lines[2].endswith(WHY)
    assert all(line == line.rstrip() for line in lines)


def test_columns_that_say_nothing_are_left_out():
    assert piped(cell(seeds=3))[0].split() == ["optimizer", "batch", "lr", "verdict", "seeds", "P(unstable)", "why"]
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


def on_terminal(monkeypatch, width, *cells):
    monkeypatch.setenv("TERM", "xterm-256color")
    file = Terminal()
    drawn(open_console(file, width), *cells)
    return re.sub(r"\x1b\[[\d;]*m", "", file.getvalue()).splitlines()


@pytest.mark.parametrize("width", [80, 140])
def test_a_terminal_is_not_overrun_and_the_reason_is_whole(monkeypatch, width):
    lines = on_terminal(monkeypatch, width, cell())
    assert max(map(len, lines)) <= width
    words = " ".join(lines[1:]).split()
    assert [word for word in words if word in WHY.split()] == WHY.split()


SEVERAL = [
    cell(
        "adam-inside", "undecided", 12, lr=0.0003, p_unstable={"unstable": 5, "decided": 12, "low": 0.18, "high": 0.69}
    ),
    cell("sgd", "stable", 5, batch_size=200, p_unstable={"unstable": 0, "decided": 5, "low": 0.0, "high": 0.379}),
    cell("sgd", "unstable", 5, p_unstable={"unstable": 5, "decided": 5, "low": 0.621, "high": 1.0}),
    cell("sgd", "undecided", 2, p_unstable={"unstable": 0, "decided": 0, "low": 0.0, "high": 1.0}),
]


@pytest.mark.parametrize(("width", "cells"), [(60, [cell()]), (60, SEVERAL), (80, SEVERAL)])
def test_reasons_stand_below_where_there_is_no_room_beside(monkeypatch, width, cells):
    lines = on_terminal(monkeypatch, width, *cells)
    assert max(map(len, lines)) <= width
    assert lines[1 + len(cells)] == ""
    below = " ".join(" ".join(lines[2 + len(cells) :]).split())
    names = [f"{each['optimizer']}, batch {each['batch_size']}, lr {each['lr']:g}, mean" for each in cells]
    reason = WHY if cells[0]["runs"][1:] == [] else f"seed 0: {WHY}"
    assert below == " ".join(f"{name}: {reason}" for name in names)


@pytest.mark.parametrize("width", [20, 30, 40, 50])
@pytest.mark.parametrize("cells", [SEVERAL, [cell(lr=1e-5), cell(lr=2e-5), cell("averaged-momentum")]])
def test_on_a_narrow_terminal_rows_keep_what_tells_them_apart(monkeypatch, width, cells):
    lines = on_terminal(monkeypatch, width, *cells)
    assert max(map(len, lines)) <= width
    told, rows = " ".join(" ".join(lines).split()), [line.split()[:4] for line in lines]
    for each in cells:
        name, size, lr, verdict = (each[key] for key in ("optimizer", "batch_size", "lr", "verdict"))
        assert [
            name,
            f"{size}",
            f"{lr:g}",
            verdict,
        ] in rows or f"{name}, batch {size}, lr {lr:g}, mean: {verdict}" in told


@pytest.mark.parametrize("width", [60, 80, 140])
def test_seeds_and_what_they_leave_stand_in_the_row_of_their_cell(monkeypatch, width):
    rows = [line.split() for line in on_terminal(monkeypatch, width, *SEVERAL)]
    assert rows[0][:6] == ["optimizer", "batch", "lr", "verdict", "seeds", "P(unstable)"]
    told = {tuple(row[:8]) for row in rows}
    assert ("adam-inside", "50", "0.0003", "undecided", "12", "0.18", "to", "0.69") in told
    rest = {row[:7] for row in told}
    assert {
        ("sgd", "200", "0.01", "stable", "5", "below", "0.38"),
        ("sgd", "50", "0.01", "unstable", "5", "above", "0.62"),
    } <= rest
    assert ("sgd", "50", "0.01", "undecided", "2", "\N{EN DASH}") in {row[:6] for row in told}


@pytest.mark.parametrize(("no_color", "coloured"), [("", True), ("1", False)])
def test_colour_is_for_terminals_that_want_it(monkeypatch, no_color, coloured):
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("NO_COLOR", no_color)
    file = Terminal()
    drawn(open_console(file, 100), cell())
    assert ("\x1b[32m" in file.getvalue()) is coloured


def test_what_next_is_two_lines():
    lines = what_next(Path("o"), Path("o/report.html"))
    assert len(lines) == 2
    assert "o/report.html" in lines[0]
    assert "optiscope label o" in lines[1]
