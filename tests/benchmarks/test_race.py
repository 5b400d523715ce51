"""The parts of the race run, and their tables say what the figures say. Nothing here is timed."""

import csv
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(HERE))

import race  # noqa: E402
import tables  # noqa: E402
from contestants import CLASSES, torch_model  # noqa: E402

from optiscope.nn import PaperCNN, SmallCNN  # noqa: E402

pytestmark = pytest.mark.timeout(300)


def run(tmp_path, *options, models=("small-cnn",)):
    """Run the benchmark at its smallest; return the rows of its file, what it printed, and what it told."""
    measured = tmp_path / "race.csv"
    command = [sys.executable, HERE / "race.py", "--rounds", "1", "--steps", "2", "--batches", "100", "--csv", measured]
    done = subprocess.run(
        [*command, "--models", *models, *options], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    with measured.open(newline="") as file:
        return list(csv.DictReader(file)), done.stdout, done.stderr


def contestants(rows, part):
    assert all(float(row["value"]) > 0 for row in rows if row["part"] == part and row["contestant"])
    return {(row["contestant"], row["item"]) for row in rows if row["part"] == part and row["contestant"]}


@pytest.mark.oracle
def test_a_step_is_raced_against_pytorch_and_who_is_absent_is_named(tmp_path):
    pytest.importorskip("torch", reason="needs the dependency group 'oracle'")
    rows, printed, told = run(tmp_path, "--only", "step", "--kernels", "im2col", "nobody")
    assert contestants(rows, "step") == {(who, item) for who in ("im2col", "eager", "tuned") for item in ("", "alone")}
    assert "without nobody: unknown kernels 'nobody'" in told
    assert tables.markdown(rows) == printed.strip()


@pytest.mark.oracle
def test_a_grid_is_raced_against_pytorch(tmp_path):
    pytest.importorskip("torch", reason="needs the dependency group 'oracle'")
    rows, _, _ = run(tmp_path, "--only", "grid", "--kernels", "im2col")
    names = ("im2col, 2 x 1 thread", "tuned, 2 x 1 thread", "eager, 1 x 2 threads")
    assert contestants(rows, "grid") == {(name, item) for name in names for item in ("", "alone")}


def test_the_parts_without_pytorch_and_a_second_race_into_the_same_file(tmp_path):
    rows, _, _ = run(tmp_path, "--only", "recording", "help", "--kernels", "im2col")
    assert contestants(rows, "recording") == {(n, i) for n in ("all signals", "no observers") for i in ("", "alone")}
    assert contestants(rows, "help") == {("optiscope --help", ""), ("import numpy", "")}
    again, _, _ = run(tmp_path, "--only", "memory", "--kernels", "im2col")
    assert contestants(again, "memory") == {("im2col", "synthetic"), ("im2col", "cifar10-sized")}
    assert [row for row in again if row["part"] in ("recording", "help")] == [
        row for row in rows if row["part"] in ("recording", "help")
    ]
    peak = {row["item"]: float(row["value"]) for row in again if row["part"] == "memory"}
    images = 60_000 * 3072 / 1e6 - 6_000 * 3072 / 1e6
    assert 0.5 * images < peak["cifar10-sized"] - peak["synthetic"] < 2 * images


def test_layers_have_the_flops_of_their_products(tmp_path):
    rows, printed, _ = run(tmp_path, "--only", "layers", "--kernels", "im2col", models=("paper-cnn",))
    found = {row["item"]: float(row["value"]) for row in rows if row["part"] == "layers"}
    pixels, batch = 32 * 32, 100
    expected = {
        "conv1": (2 * batch * pixels * 9 * 3 * 32, 1),
        "conv2": (2 * batch * pixels * 9 * 32 * 32, 2),
        "conv5": (2 * batch * pixels // 16 * 9 * 32 * 32, 2),
        "linear1": (2 * batch * 512 * 512, 2),
        "linear2": (2 * batch * 512 * 10, 2),
        "loss": (0, 0),
    }
    for layer, (product, backward) in expected.items():
        assert found[f"{layer} forward GFLOP"] == pytest.approx(product / 1e9, rel=1e-5)
        assert found[f"{layer} backward GFLOP"] == pytest.approx(backward * product / 1e9, rel=1e-5)
        assert found[f"{layer} forward ms"] > 0
    assert all(f"| {layer} |" in printed for layer in expected)


@pytest.mark.oracle
@pytest.mark.parametrize("model", [PaperCNN(), SmallCNN()], ids=["paper-cnn", "small-cnn"])
def test_pytorch_trains_the_same_network(model):
    pytest.importorskip("torch", reason="needs the dependency group 'oracle'")
    theirs = [tuple(parameter.shape) for parameter in torch_model(model.name).parameters()]
    turn = {4: (3, 2, 0, 1), 2: (1, 0), 1: (0,)}
    ours = [tuple(shape[axis] for axis in turn[len(shape)]) for shape in model.shapes((32, 32, 3), CLASSES).values()]
    assert theirs == ours


class Clock:
    """A racer that needs `per_step` seconds, and remembers when it was called."""

    def __init__(self, per_step, period, calls):
        self.per_step, self.period, self.calls = per_step, period, calls

    def turn(self, steps):
        self.calls.append((self, steps))
        return steps * self.per_step


def test_turns_are_short_and_every_contestant_takes_the_same_steps():
    calls = []
    ours, theirs = Clock(0.1, 43, calls), Clock(0.05, 1, calls)
    figures = list(race.compete([ours, theirs], rounds=2))
    assert [(number, steps) for _, number, steps, _ in figures] == [
        (0, 43),
        (0, 43),
        (1, 43),
        (1, 43),
        (2, 43),
        (2, 43),
    ]
    assert [seconds for *_, seconds in figures] == pytest.approx([4.3, 2.15] * 3)
    raced = calls[4:]
    assert max(steps for _, steps in raced) * ours.per_step <= race.SLICE + ours.per_step
    assert {who for who, _ in raced[::2]} == {ours, theirs}, "both lead"


def test_what_the_race_used_is_not_counted_as_that_of_others(monkeypatch):
    used = [0.0, 0.0]
    stat = "cpu  {:.0f} 10 20 999 999 30 40 50 0 0\n"
    monkeypatch.setattr(race.os, "sysconf", lambda name: 10)
    monkeypatch.setattr(race.resource, "getrusage", lambda who: SimpleNamespace(ru_utime=used[who], ru_stime=0.5))
    monkeypatch.setattr(race.Path, "exists", lambda path: True)
    monkeypatch.setattr(race.Path, "read_text", lambda path: stat.format(100 + 10 * sum(used)))
    first = race.others()
    assert first == pytest.approx((100 + 10 + 20 + 30 + 40 + 50) / 10 - 1)
    used[:] = [3.0, 4.0]
    assert race.others() == pytest.approx(first)


def rows(**values):
    return [
        {"part": "step", "model": "m", "batch": 50, "contestant": who, "item": item, "round": number, "value": value}
        for who, (alone, *raced) in values.items()
        for number, (item, value) in enumerate([("alone", alone), *(("", value) for value in raced)])
    ]


def test_a_ratio_is_of_medians_and_its_spread_that_within_rounds():
    measured = rows(ours=[9.0, 10.0, 30.0, 20.0, 20.0], eager=[39.0, 40.0, 40.0, 40.0, 80.0])
    within = np.percentile([0.25, 0.75, 0.5, 0.25], [25, 75])
    line = f"| m | 50 | ours | 20.0 | 9.00 | 0.50 ({within[0]:.2f} to {within[1]:.2f}) |"
    assert line in tables.markdown(measured).splitlines()
    used = [{**measured[0], "contestant": "", "item": "others", "value": value} for value in (0.02, 0.31)]
    about = {"part": "machine", "item": "cores", "round": 0, "value": 2}
    said = tables.markdown([about, *measured, *used])
    assert said.startswith("Measured on cores 2; at most 0.31 cores in use by other programs meanwhile.")
    assert line in said
    assert "| m | 50 | eager | 40.0 | 39.0 |  |" in tables.markdown(measured).splitlines()


@pytest.mark.parametrize(
    ("value", "text"), [(0.034, "0.03"), (1.234, "1.23"), (12.34, "12.3"), (123.4, "123"), (9876.5, "9876")]
)
def test_numbers_have_three_digits(value, text):
    assert tables._number(value) == text


def test_a_file_of_another_machine_is_not_continued(tmp_path):
    here = race.machine()
    path = tmp_path / "race.csv"
    tables.write(path, [*here, *rows(ours=[1.0, 1.0])])
    assert [row["part"] for row in race.earlier(path, here, ["grid"])] == ["step", "step"]
    assert race.earlier(path, here, ["step"]) == []
    tables.write(path, [{**here[0], "value": "abacus"}, *here[1:]])
    with pytest.raises(SystemExit, match="measured elsewhere"):
        race.earlier(path, here, ["step"])


def test_the_page_shows_what_was_measured():
    measured = ROOT / "docs" / "measured" / "performance.csv"
    text = (ROOT / "docs" / "performance.md").read_text()
    assert tables.into(text, tables.markdown(tables.read(measured)) if measured.exists() else "") == text


def test_tables_replace_those_that_a_page_has():
    page = f"before\n{tables.BEGIN}\nold\n{tables.END}\nafter\n"
    assert tables.into(page, "new") == f"before\n{tables.BEGIN}\n\nnew\n\n{tables.END}\nafter\n"
    assert tables.into(tables.into(page, "new"), "") == f"before\n{tables.BEGIN}\n{tables.END}\nafter\n"
    with pytest.raises(SystemExit, match="the page has no"):
        tables.into("nothing", "new")
