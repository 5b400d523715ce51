from collections.abc import Callable

import attrs
import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_hex
from matplotlib.lines import Line2D

from optiscope.report.figures import (
    ALARM,
    CARD,
    MEDIAN,
    MINIMUM,
    MUTED,
    ROLES,
    SIGNAL,
    TITLE,
    VERDICTS,
    captioned,
    shared_limits,
    shorten,
    signal_panel,
    symlog_ticks,
    thin,
    training_panel,
)
from optiscope.report.inputs import AlarmMark, Track
from optiscope.report.svg import to_svg

MakeTrack = Callable[..., Track]


def lines(ax: Axes, colour: str) -> list[Line2D]:
    return [line for line in ax.lines if to_hex(str(line.get_color())) == colour]


def noise(size: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(size)


def test_roles_have_colours_of_their_own() -> None:
    assert len(set(ROLES.values())) == len(ROLES)


@pytest.mark.parametrize("size", [1, 50, 1200, 1201, 20_000])
def test_thinning_keeps_the_ends_and_the_extremes(size: int) -> None:
    step, values = np.arange(1, size + 1, dtype=float), noise(size)
    few, kept = thin(step, values)
    assert few.size <= 1205
    assert (few[0], few[-1]) == (1, size)
    assert (np.diff(few) > 0).all()
    assert (kept.min(), kept.max()) == (values.min(), values.max())
    np.testing.assert_array_equal(kept, values[few.astype(int) - 1])


def test_thinning_keeps_gaps() -> None:
    values = noise(5000)
    values[2000:2500] = np.inf
    step, kept = thin(np.arange(1, 5001, dtype=float), values)
    inside = (step > 2000) & (step <= 2500)
    assert inside.any()
    assert np.isnan(kept[inside]).all()
    assert np.isfinite(kept[~inside]).all()


def test_panels_share_limits_and_an_outlier_does_not(make_track: MakeTrack) -> None:
    calm, wider, wild = make_track(noise(100)), make_track(2 * noise(100)), make_track(1e6 * noise(100))
    limits = shared_limits([calm, wider, wild])
    assert limits[0] == limits[1] is not None
    assert limits[2] is None
    low, high = (2 * noise(100)).min() - 1, (2 * noise(100)).max()
    assert limits[0] == pytest.approx((low - 0.04 * (high - low), high + 0.04 * (high - low)))


def test_of_two_panels_the_calm_one_sets_the_scale(make_track: MakeTrack) -> None:
    calm, wild = shared_limits([make_track(noise(100)), make_track(1e6 * noise(100))])
    assert calm is not None
    assert wild is None


def test_where_most_blew_up_those_that_did_not_set_the_scale(make_track: MakeTrack) -> None:
    tracks = [make_track(noise(100)), *3 * [make_track(1e6 * noise(100))]]
    assert shared_limits(tracks)[0] is not None
    assert shared_limits(tracks)[0] != shared_limits(tracks[:1])[0]
    verdicts = ["stable", *3 * ["unstable"]]
    assert shared_limits(tracks, verdicts) == (shared_limits(tracks[:1])[0], None, None, None)
    assert None not in shared_limits(tracks[1:], verdicts[1:])


def test_runs_that_broke_off_do_not_set_the_scale(make_track: MakeTrack) -> None:
    whole, short = make_track(10 * noise(100)), attrs.evolve(make_track(noise(5)), status="lost")
    tracks, verdicts = [short, short, whole], ["undecided", "undecided", "stable"]
    assert shared_limits(tracks)[2] is None
    assert None not in shared_limits(tracks, verdicts)


def test_names_are_text_and_never_mathematics(make_track: MakeTrack) -> None:
    svg = to_svg(signal_panel(make_track(noise(50)), "$x_1$ & <b>", "$v$"), "a", "label")
    assert "$x_1$ &amp; &lt;b&gt;" in svg
    assert "$v$" in svg


def test_limits_of_nothing_and_of_a_flat_line(make_track: MakeTrack) -> None:
    assert shared_limits([]) == ()
    assert shared_limits([make_track(np.full(5, np.nan))]) == (None,)
    assert shared_limits([make_track(np.zeros(5))])[0] == pytest.approx((-1.04, 0.04))


def test_a_signal_panel_shows_what_it_claims(make_track: MakeTrack) -> None:
    track = make_track(noise(400), steps_per_epoch=100, first_step=250, spread=np.linspace(1, 3, 400))
    other = make_track(noise(400, 1), steps_per_epoch=100)
    ax = signal_panel(track, "sgd, batch 50", "stable", (-6.0, 5.0), [other]).axes[0]
    np.testing.assert_array_equal(lines(ax, SIGNAL)[0].get_ydata(), track.signal)
    np.testing.assert_array_equal(lines(ax, MINIMUM)[0].get_ydata(), track.batch_min)
    envelope = track.envelope
    assert envelope is not None
    assert other.envelope is not None
    np.testing.assert_array_equal(lines(ax, MEDIAN)[0].get_ydata(), envelope.median)
    np.testing.assert_array_equal(lines(ax, MUTED)[0].get_ydata(), other.envelope.median)
    band = next(each for each in ax.collections if isinstance(each, PolyCollection)).get_paths()[0].vertices
    assert band[:, 1].max() == pytest.approx(envelope.high.max())
    assert band[:, 1].min() == pytest.approx(envelope.low.min())
    assert band[:, 0].min() == 101
    assert ax.patches[0].get_x() + ax.patches[0].get_width() == 100
    assert [line.get_xdata()[0] for line in lines(ax, ALARM)] == [250, 250]
    assert ax.get_title(loc="left").strip() == "sgd, batch 50"
    verdict = ax.texts[0]
    assert (verdict.get_text(), verdict.get_color()) == ("stable", VERDICTS["stable"])
    assert ax.get_ylim() == (-6, 5)
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_yscale()) == ("step", "logits", "linear")


def test_a_panel_with_its_own_scale_says_so(make_track: MakeTrack) -> None:
    track = make_track(-np.geomspace(1, 1e8, 300))
    ax = signal_panel(track, "sgd", "unstable").axes[0]
    assert ax.get_yscale() == "symlog"
    assert "own scale" in ax.get_ylabel()
    assert ax.get_ylim()[0] < -1e8


@pytest.mark.parametrize("signal", [np.empty(0), np.full(3, np.nan), np.ones(1)])
def test_a_run_with_next_to_nothing_is_drawn(make_track: MakeTrack, signal: np.ndarray) -> None:
    track = make_track(signal)
    assert len(lines(signal_panel(track, "a", "undecided").axes[0], SIGNAL)) == 1
    assert len(lines(training_panel(track, "a", "undecided").axes[0], MINIMUM)) == 1


def test_a_training_panel_shows_loss_and_accuracy(make_track: MakeTrack) -> None:
    track = attrs.evolve(make_track(noise(400)), accuracy=np.linspace(0, 1, 400))
    above, below = training_panel(track, "sgd", "stable").axes
    np.testing.assert_array_equal(lines(above, MINIMUM)[0].get_ydata(), track.loss)
    smooth = lines(above, SIGNAL)[0]
    assert (smooth.get_xdata()[0], smooth.get_xdata()[-1]) == (1, 400)
    assert smooth.get_ydata()[25] == np.median(track.loss[:51])
    assert (below.get_ylabel(), below.get_ylim()) == ("accuracy", (0, 1))


def test_several_seeds_are_a_band_about_their_median(make_track: MakeTrack) -> None:
    tracks = [make_track(3 + noise(400, seed)) for seed in range(3)]
    above = training_panel(tracks[0], "sgd", "stable", tracks[1:]).axes[0]
    medians = [np.median(track.loss[100 - 26 : 100 + 25]) for track in tracks]
    line = lines(above, SIGNAL)[0]
    assert line.get_ydata()[int(100 - line.get_xdata()[0])] == np.median(medians)
    band = next(each for each in above.collections if isinstance(each, PolyCollection)).get_paths()[0].vertices
    assert sorted(band[band[:, 0] == 100][:2, 1]) == [min(medians), max(medians)]
    assert not lines(above, MINIMUM)


def test_every_alarm_is_a_bar_over_its_steps(make_track: MakeTrack) -> None:
    alarms = (AlarmMark("envelope X", 120, 130), AlarmMark("level $D$", 300, 400))
    track = attrs.evolve(make_track(noise(400), first_step=120), alarms=alarms)
    ax = signal_panel(track, "a", "unstable").axes[0]
    bars = [line.get_xdata() for line in lines(ax, ALARM) if list(line.get_xdata()) != [120, 120]]
    assert [list(bar) for bar in bars if len(bar) == 2] == [[120, 130], [300, 400]]
    assert [text.get_text() for text in ax.texts] == ["envelope X", "level $D$", "unstable"]
    behind = [text.get_bbox_patch() for text in ax.texts[:2]]  # lines do not run through the names
    assert [to_hex(patch.get_facecolor()) for patch in behind if patch] == 2 * [CARD]


@pytest.mark.parametrize(
    ("end", "scale", "label"), [(1e-3, "linear", "loss"), (9.9, "linear", "loss"), (11.0, "log", "loss (log)")]
)
def test_the_loss_is_logarithmic_where_it_blows_up(make_track: MakeTrack, end: float, scale: str, label: str) -> None:
    above = training_panel(make_track(np.linspace(1, end, 100)), "sgd", "stable").axes[0]
    assert (above.get_yscale(), above.get_ylabel()) == (scale, label)
    assert scale == "log" or above.get_ylim()[0] == 0


@pytest.mark.parametrize("low", [1e-3, 2.3])
@pytest.mark.parametrize("times", [11.0, 20.0, 29.0, 60.0, 299.0, 3e3, 1e5, 1e9, 1e30])
def test_a_logarithmic_loss_has_a_few_ticks_with_room_between_them(
    make_track: MakeTrack, low: float, times: float
) -> None:
    figure = training_panel(make_track(low * np.geomspace(1, times, 100)), "sgd", "stable")
    ax = figure.axes[0]
    figure.canvas.draw()
    bottom, top = ax.get_ylim()
    labels = [*ax.get_yticklabels(), *ax.get_yticklabels(minor=True)]
    seen = sorted(
        tick.get_position()[1] for tick in labels if tick.get_text() and bottom <= tick.get_position()[1] <= top
    )
    assert 2 <= len(seen) <= 6
    assert np.diff(np.log(seen)).min() > np.log(top / bottom) / 12


def test_what_is_no_logit_is_not_called_so(make_track: MakeTrack) -> None:
    track = attrs.evolve(make_track(noise(50)), output="coordinates")
    assert signal_panel(track, "sgd", "stable", (-5, 5)).axes[0].get_ylabel() == "coordinates"
    assert signal_panel(track, "sgd", "stable").axes[0].get_ylabel() == "coordinates (own scale, symlog)"


def test_drawing_leaves_the_settings_of_matplotlib_alone(make_track: MakeTrack) -> None:
    before = dict(mpl.rcParams)
    signal_panel(make_track(noise(50)), "sgd", "stable")
    assert dict(mpl.rcParams) == before


@pytest.mark.parametrize(("text", "length", "short"), [("abc", 3, "abc"), ("abcd", 3, "a\N{HORIZONTAL ELLIPSIS}d")])
def test_shorten(text: str, length: int, short: str) -> None:
    assert shorten(text, length) == short


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (-1e18, 1e18, [-1e16, -1e8, 0, 1e8, 1e16]),
        (-30, 3, [-10, -1, 0, 1]),
        (1e6, 1e7, [0, *(10**power for power in range(8))]),
        (-1e8, -1, [-1e8, -1e6, -1e4, -1e2, 0]),
        (0, 0, [0]),
    ],
)
def test_ticks_of_a_scale_of_its_own_lie_apart(low: float, high: float, ticks: list[float]) -> None:
    assert symlog_ticks(low, high) == ticks


@pytest.mark.parametrize("steps", [400, 2000, 10_000, 500_000])
def test_the_label_of_the_last_step_is_whole(make_track: MakeTrack, steps: int) -> None:
    track = attrs.evolve(make_track(noise(50)), step=np.linspace(1, steps, 50))
    for figure in (signal_panel(track, "sgd", "stable", (-1, 1)), training_panel(track, "sgd", "stable")):
        figure.draw_without_rendering()
        (label,) = (each for each in figure.axes[-1].get_xticklabels() if each.get_text() == str(steps))
        assert label.get_window_extent().x1 <= figure.bbox.x1


def test_what_has_no_accuracy_has_no_axis_for_it(make_track: MakeTrack) -> None:
    track = make_track(np.ones(100))
    assert not np.isfinite(track.accuracy).any()
    (alone,) = training_panel(track, "sgd", "stable").axes
    assert (alone.get_ylabel(), alone.get_xlabel()) == ("loss", "step")


def test_a_title_that_has_no_room_stands_in_the_caption() -> None:
    assert captioned("x" * TITLE, "1 stable") == "1 stable"
    assert captioned("x" * TITLE + "y", "1 stable") == "x" * TITLE + "y: 1 stable"
