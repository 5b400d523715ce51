"""Curves over seeds and where runs ended, against medians taken one by one."""

from collections.abc import Callable

import attrs
import numpy as np
import pytest

from optiscope.report.inputs import Track
from optiscope.report.measures import NOTHING, at_epochs, end_accuracy, end_loss, gap, over_seeds, percent, spread, told


def noise(size: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(size)


def test_running_medians_of_all_seeds() -> None:
    series = [noise(200, seed) for seed in range(3)]
    found = over_seeds(series)
    assert (found.step[0], found.step[-1], found.smooth) == (1, 200, True)
    medians = [np.median(values[100 - 26 : 100 + 25]) for values in series]
    at = int(100 - found.step[0])
    assert (found.low[at], found.middle[at], found.high[at]) == (min(medians), np.median(medians), max(medians))


def test_near_an_end_the_window_shrinks_to_the_run_itself() -> None:
    values = noise(200, 0)
    for series in ([values], [values, values]):
        found = over_seeds(series)
        assert found.step.tolist() == list(range(1, 201))
        for half in range(26):
            begin, end = values[: 2 * half + 1], values[199 - 2 * half :]
            assert (found.middle[half], found.middle[199 - half]) == (np.median(begin), np.median(end))


def test_a_run_that_blows_up_is_shown_to_its_last_number() -> None:
    whole, cut = noise(200, 0), np.geomspace(1, 1e9, 30)
    found = over_seeds([whole, np.append(cut, np.nan)])
    assert found.high[29] == 1e9
    assert found.high[30] == found.low[30]


def test_a_seed_that_diverged_is_left_out_from_there_on() -> None:
    whole, cut = noise(200, 0), noise(200, 1)
    cut[120:] = np.nan
    found = over_seeds([whole, cut[:130]])
    late = found.step > 120
    assert (found.low < found.high)[~late].all()
    assert (found.low == found.high)[late].all()


def test_short_series_are_taken_as_they_are() -> None:
    found = over_seeds([np.array([1.0, 2, 3]), np.array([3.0, np.inf])])
    assert found.step.tolist() == [1, 2, 3]
    assert found.middle.tolist() == [2, 2, 3]
    assert not found.smooth
    assert over_seeds([]).step.size == 0


def test_long_series_have_few_points() -> None:
    values = noise(10_000, 0)
    found = over_seeds([values], points=100)
    assert 95 <= found.step.size <= 200
    assert (found.step[0], found.step[-1]) == (1, 10_000)
    assert (found.middle[0], found.middle[-1]) == (values[0], values[-1])
    middle = int(found.step[7]) - 1
    assert found.middle[7] == np.median(values[middle - 25 : middle + 26])


def test_epochs_of_runs_of_several_lengths(make_track: Callable[..., Track]) -> None:
    whole = attrs.evolve(make_track(np.ones(3)), epoch_step=np.array([10.0, 20]), val_accuracy=np.array([0.2, 0.6]))
    half = attrs.evolve(whole, epoch_step=np.array([10.0]), val_accuracy=np.array([0.4]))
    found = at_epochs([whole, half])
    assert found.step.tolist() == [10, 20]
    assert found.low.tolist() == [0.2, 0.6]
    assert found.high.tolist() == [0.4, 0.6]


def test_where_a_run_ended(make_track: Callable[..., Track]) -> None:
    track = attrs.evolve(
        make_track(np.arange(1.0, 101)),
        train_accuracy=np.array([0.1, 0.9]),
        val_accuracy=np.array([0.1, 0.7]),
        epoch_step=np.array([50.0, 100]),
    )
    assert end_loss(track) == 95.5
    assert end_accuracy(track) == 0.7
    assert gap(track) == pytest.approx(0.2)
    diverged = attrs.evolve(track, status="diverged")
    assert np.isnan([end_loss(diverged), end_accuracy(diverged), gap(diverged)]).all()


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([], NOTHING),
        ([0.5], "50.0 %"),
        ([np.nan], "not finite"),
        ([0.2, 0.5, 0.4], "40.0 % (20.0 % to 50.0 %)"),
        ([0.2, 0.2001], "20.0 %"),
        ([0.2, np.inf, 0.4], "30.0 % (20.0 % to 40.0 %), 1 not finite"),
    ],
)
def test_a_spread_in_words(values: list[float], words: str) -> None:
    assert told(spread(values), percent) == words.replace(" %", "\N{NO-BREAK SPACE}%")
