"""How files show themselves in a notebook: small, well-formed, safe, and never an error."""

import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from optiscope.storage import open_grid, open_run
from optiscope.storage.notebook import POINTS, _line


def words(shown):
    root = ET.fromstring(shown)
    return " ".join(" ".join(root.itertext()).split()), root


@pytest.mark.parametrize("finished", [True, False])
def test_a_run_shows_what_it_is_and_its_loss(make, kit, finished):
    run = make(95)
    if finished:
        run.writer.finish(kit.result(run.info, 95))
    with open_run(run.path) as opened:
        text, root = words(opened._repr_html_())
    for fact in ("adam-b150-0123", "batch_size 150", "lr 0.001", "model small-cnn", "95 of 95", "last loss 0.02421"):
        assert fact in " ".join(root.itertext()) or fact.replace(" ", "") in text.replace(" ", "")
    (line,) = root.iter("polyline")
    points = [tuple(map(float, point.split(","))) for point in line.attrib["points"].split()]
    assert (points[0], points[-1]) == ((0, 0), (300, 60))
    assert len(points) == 95


def test_what_nobody_writes_any_more_is_not_running(make, tmp_path):
    run = make(10, "runs/a.h5", run_id="run-a")
    make(10, "runs/b.h5", run_id="run-b")
    run.writer.close()
    with open_run(run.path) as opened:
        assert (opened.status, opened.abandoned) == ("running", True)
        text, _ = words(opened._repr_html_())
    assert "status lost" in text.replace("statuslost", "status lost")
    assert "nobody writes it any more: --resume goes on with it" in text
    text, _ = words(open_grid(tmp_path)._repr_html_())
    assert "2 runs (1 lost, 1 running)" in text
    with open_run(tmp_path / "runs" / "b.h5") as opened:
        assert not opened.abandoned
        assert "lost" not in opened._repr_html_()


def test_a_name_with_markup_stays_text(make):
    run = make(5, "runs/x.h5", run_id="<script>alert(1)</script>", optimizer="<b>")
    with open_run(run.path) as opened:
        shown = opened._repr_html_()
    shown += open_grid(run.path.parents[1])._repr_html_()
    assert "<script" not in shown
    assert "<b>" not in shown
    assert shown.count("&lt;script&gt;alert(1)&lt;/script&gt;") == 2


def test_a_run_that_was_closed_shows_what_is_known(make):
    with open_run(make(40).path) as opened:
        pass
    text, root = words(opened._repr_html_())
    assert "running" in text
    assert not list(root.iter("polyline"))


def test_a_grid_shows_its_runs_and_no_more_than_twenty(make, tmp_path):
    for seed in range(22):
        make(1, f"runs/{seed:02}.h5", run_id=f"run-{seed}", seed=seed)
    (tmp_path / "runs" / "99.h5").write_text("damaged")
    grid = open_grid(tmp_path)
    text, root = words(grid._repr_html_())
    assert len(list(root.iter("tr"))) == 21
    assert "23 runs (22 running, 1 unreadable)" in text
    assert "and 3 more: see .runs" in text
    assert repr(grid) == f"Grid({tmp_path}, 23 runs)"


def test_runs_of_several_settings_are_told_apart(make, tmp_path):
    settings = [("adam", 0.9, "m", "mean"), ("adam", 0.8, "m", "mean"), ("adam", 0.9, "n", "mean")]
    settings += [("sgd", 0.5, "m", "mean"), ("sgd", 0.5, "m", "sum"), ("nag", 0.5, "m", "mean")]
    for at, (optimizer, beta1, model, reduction) in enumerate(settings):
        options = {"beta1": beta1, "epsilon": 1e-8}
        run = {"optimizer": optimizer, "optimizer_options": options, "model": model, "reduction": reduction}
        make(1, f"runs/{at}.h5", run_id=f"run-{at}", **run)
    (tmp_path / "runs" / "9.h5").write_text("damaged")
    _, root = words(open_grid(tmp_path)._repr_html_())
    assert [row.findtext("td") for row in root.iter("tr")][1:] == [
        "adam(beta1=0.9) on m",
        "adam(beta1=0.8) on m",
        "adam(beta1=0.9) on n",
        "sgd, mean",
        "sgd, sum",
        "nag",
        "",
    ]


def test_a_file_that_cannot_be_read_is_a_row(tmp_path):
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "x.h5").write_text("damaged")
    text, _ = words(open_grid(tmp_path)._repr_html_())
    assert "x.h5" in text
    assert "unreadable" in text


def test_a_long_line_has_few_points_and_keeps_its_extremes():
    values = np.random.default_rng(0).standard_normal(20_000)
    values[5_000], values[7_000], values[9_000:9_100] = 50, -50, np.nan
    line = _line(values)
    heights = [float(y) for y in re.findall(r",([\d.]+)", line)]
    assert len(heights) <= 2 * POINTS
    assert (min(heights), max(heights)) == (0, 60)
    assert "nan" not in line.partition("</polyline>")[0]


@pytest.mark.parametrize("values", [[], [1.0], [np.nan, np.nan], [np.inf, 1.0]])
def test_less_than_two_numbers_are_no_line(values):
    assert _line(values) == ""


def test_a_flat_line_is_drawn():
    assert 'points="0.0,60.0 300.0,60.0"' in _line([2.0, 2.0])
