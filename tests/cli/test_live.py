"""The live view: what it draws in how much room, and the quiet log that takes its place."""

import io

import attrs
import pytest
from rich.console import Console

from optiscope.cli.live import QuietWatcher, choose, draw, duration, number, sparkline, watch
from optiscope.sweep.progress import CellProgress, GridProgress

SIGNAL = tuple(float(value % 17) for value in range(200))


def cell(optimizer="sgd", status="running", **fields):
    known = {"batch_size": 50, "lr": 0.01, "runs": 1, "steps": 400, "step": 123, "loss": 2.3025, "signal": SIGNAL}
    return CellProgress(**{"optimizer": optimizer, "status": status} | known | fields)


def grid(*cells, **fields):
    return GridProgress(**{"cells": cells, "elapsed": 5.0, "remaining": 61.0} | fields)


def render(progress, width, height=40, ascii_only=False):
    console = Console(file=io.StringIO(), width=width, height=height, force_terminal=False)
    console.print(draw(progress, width, height, ascii_only))
    return console.file.getvalue().splitlines()


PAPER = [
    cell(name, batch_size=size, lr=lr) for name, lr in (("sgd", 0.01), ("adam", 0.001)) for size in (50, 100, 150, 200)
]


@pytest.mark.parametrize("width", [20, 30, 40, 50, 60, 80, 100, 200])
def test_no_line_is_wider_than_the_terminal(width):
    lines = render(grid(*PAPER), width)
    assert len(lines) == 1 + len(PAPER) + 1
    assert max(map(len, lines)) <= width


@pytest.mark.parametrize(
    ("width", "titles"),
    [
        (20, "optimizer state"),
        (40, "optimizer batch loss state"),
        (60, "optimizer batch lr step loss signal state"),
        (100, "optimizer batch lr progress step loss signal state"),
        (200, "optimizer batch lr progress step loss signal state"),
    ],
)
def test_columns_are_dropped_as_room_shrinks(width, titles):
    assert render(grid(*PAPER), width)[0].split() == titles.split()


def test_a_row_says_how_a_cell_is():
    lines = render(grid(cell(), cell("adam", "waiting", step=0, loss=None, signal=())), 100)
    for words in ("sgd", "50", "0.01", "123/400", "2.303", "running"):
        assert words in lines[1].split()
    assert lines[2].split()[-3:] == ["0/400", "-", "waiting"]
    assert lines[3] == "0:05 elapsed, about 1:01 left"


def test_the_bar_grows_with_the_steps():
    def bars(step):
        console = Console(
            file=io.StringIO(), width=100, force_terminal=True, color_system="truecolor", legacy_windows=False
        )
        with console.capture() as capture:
            console.print(draw(grid(cell(step=step)), 100, 40))
        return capture.get().splitlines()[1]

    assert len({bars(step) for step in (0, 200, 400)}) == 3


def test_ascii_terminals_get_ascii():
    assert all(line.isascii() for line in render(grid(cell(signal=SIGNAL)), 60, ascii_only=True)[1:])


def test_rows_are_dropped_where_lines_are_few():
    cells = (
        [cell(f"o{i}", "completed") for i in range(6)] + [cell("busy")] + [cell(f"w{i}", "waiting") for i in range(3)]
    )
    lines = render(grid(*cells), 60, height=8)
    assert [line.split()[0] for line in lines[1:5]] == ["busy", "w0", "w1", "w2"]
    assert lines[5] == "and 6 cells more: 6 completed"
    assert len(lines) <= 8


def test_choice_of_rows_keeps_their_order():
    cells = [cell("a", "completed"), cell("b", "waiting"), cell("c", "failed"), cell("d", "running")]
    kept, rest = choose(cells, 2)
    assert [one.optimizer for one in kept] == ["c", "d"]
    assert rest == "and 2 cells more: 1 waiting, 1 completed"
    assert choose(cells, 4) == (cells, "")


@pytest.mark.parametrize(
    ("signal", "width", "drawn"),
    [
        ((), 8, ""),
        ((1.0,), 8, "▁"),
        ((0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0), 8, "▁▂▃▄▅▆▇█"),
        ((0.0, 0.0, 7.0, 7.0), 2, "▁█"),
        ((0.0, 2.0, 4.0, 6.0, 8.0), 2, "▁█"),
        ((3.0, 3.0, 3.0), 3, "▁▁▁"),
        ((0.0, float("nan"), 1.0), 3, "▁x█"),
        ((float("inf"), float("-inf")), 2, "xx"),
        ((-1e308, 1e308), 2, "▁▁"),
    ],
)
def test_sparkline(signal, width, drawn):
    assert sparkline(signal, width) == drawn


@pytest.mark.parametrize("width", [1, 7, 29, 30, 199, 200, 300])
def test_sparkline_keeps_to_its_width(width):
    assert len(sparkline(SIGNAL, width)) == min(width, len(SIGNAL))


@pytest.mark.parametrize("value", [0.0, 2.302585, 123456.0, 1e-7, -1.5, 1e300, float("nan"), float("inf"), -1e-300])
def test_losses_keep_to_their_column(value):
    assert len(number(value)) <= 8
    assert float(number(value)) == pytest.approx(value, rel=0.06, nan_ok=True)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (59.6, "1:00"), (61, "1:01"), (3600, "1:00:00"), (36061, "10:01:01")]
)
def test_durations(seconds, text):
    assert duration(seconds) == text


def test_unknown_time_left():
    assert render(grid(cell(), remaining=None), 60)[-1] == "0:05 elapsed, time left unknown"


def test_the_time_left_of_what_comes_after_it_stands_beside_it():
    assert render(grid(cell(), later=600.0), 80)[-1] == "0:05 elapsed, about 1:01 left, 11:01 with the parts to come"


def quiet():
    console = Console(file=io.StringIO(), width=100_000)
    return QuietWatcher(console), console.file


def test_quiet_log_has_a_line_a_cell_once():
    watcher, file = quiet()
    watcher(grid(cell(), cell("adam")))
    assert file.getvalue() == ""
    ended = cell("adam", "diverged", finished=1, loss=None)
    watcher(grid(cell(), ended))
    watcher(grid(cell(), ended))
    assert file.getvalue() == (
        "adam, batch 50, lr 0.01: diverged after 123 steps, loss - (1 of 2 cells, 0:05 elapsed, about 1:01 left)\n"
    )
    assert watcher.runs == 2


def test_quiet_log_waits_for_every_seed():
    watcher, file = quiet()
    watcher(grid(cell(runs=3, finished=2)))
    assert file.getvalue() == ""
    watcher(grid(cell(runs=3, finished=3, status="completed")))
    assert file.getvalue().startswith("sgd, batch 50, lr 0.01: completed after 123 steps of 3 runs, loss ")
    assert file.getvalue().count("\n") == 1


def test_events_are_lines():
    watcher, file = quiet()
    watcher(grid(cell(), events=("a worker died",)))
    assert file.getvalue() == "a worker died\n"


def test_what_is_no_terminal_gets_the_quiet_log():
    file = io.StringIO()
    with watch(Console(file=file)) as watcher:
        watcher(grid(cell(finished=1, status="completed")))
    assert isinstance(watcher, QuietWatcher)
    assert "\r" not in file.getvalue()
    assert "\x1b" not in file.getvalue()


@pytest.mark.parametrize("terminal", [False, True])
@pytest.mark.parametrize(("runs", "times"), [(8, 0), (9, 1)])
def test_once_more_than_a_few_runs_have_ended_it_says_what_comes_next(terminal, runs, times):
    console = Console(file=io.StringIO(), force_terminal=terminal, width=100, height=20, legacy_windows=False)
    with watch(console, "Next.") as watcher:
        watcher(grid(cell(finished=1), cell("adam", runs=runs - 1, finished=runs - 2)))
        assert "Next." not in console.file.getvalue()
        for _ in range(2):
            watcher(grid(cell(finished=1), cell("adam", runs=runs - 1, finished=runs - 1), remaining=0.0))
    lines = [line for line in console.file.getvalue().splitlines() if "Next." in line]
    assert len(lines) == times
    if times and not terminal:
        assert console.file.getvalue().endswith("Next.\n")


def test_a_terminal_is_redrawn_and_left_clean():
    console = Console(file=io.StringIO(), force_terminal=True, width=60, height=20, legacy_windows=False)
    with watch(console) as watcher:
        watcher(grid(cell(), events=("a worker died",)))
        shown = console.file.getvalue()
        assert "123/400" in shown
        assert "a worker died" in shown
    assert console.file.getvalue().endswith("\x1b[2K")
    assert watcher.runs == 1


def test_progress_is_a_value():
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        cell().step = 3


def test_long_names_take_the_width_that_is_left():
    names = ("adam(beta1=0.8) on logistic", "adam(beta1=0.8) on quadratic")
    wide = render(grid(*map(cell, names)), 100)
    assert all(any(line.startswith(name) for line in wide) for name in names)
    narrow = render(grid(*map(cell, names)), 50)
    assert max(map(len, narrow)) <= 50
    assert "\N{HORIZONTAL ELLIPSIS}" in narrow[1]
