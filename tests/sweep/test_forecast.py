import pytest

from optiscope.sweep.forecast import Pace, makespan


@pytest.mark.parametrize(
    ("waiting", "workers", "under_way", "end"),
    [
        ([], 2, [], 0.0),
        ([4.0], 3, [], 4.0),
        ([1.0, 2.0, 3.0], 1, [], 6.0),
        ([2.0, 3.0, 2.0, 3.0, 2.0], 2, [], 7.0),  # 3 and 3, then 2 and 2, then 2
        ([3.0, 1.0], 2, [5.0, 1.0], 5.0),
        ([3.0, 3.0], 2, [5.0, 1.0], 7.0),
        ([], 1, [5.0, 1.0], 5.0),
    ],
)
def test_workers_take_the_longest_run_that_waits(waiting, workers, under_way, end):
    assert makespan(waiting, workers, under_way) == end


PACE = {("m", "sgd", 90): 1.0, ("m", "sgd", 190): 1.5, ("m", "adam", 90): 2.0, ("big", "nag", 190): 9.0}


@pytest.mark.parametrize(
    ("kind", "images", "seconds"),
    [
        (("m", "sgd", 90), True, 1.0),
        (("m", "adam", 190), True, 2.0 * 200 / 100),
        (("m", "sgd", 40), True, 1.0 * 50 / 100),
        (("m", "sgd", 290), True, 1.5 * 300 / 200),
        (("m", "nag", 190), True, 1.5),
        (("m", "adam", 190), False, 2.0),
        (("big", "adam", 90), True, 9.0 * 100 / 200),
    ],
    ids=str,
)
def test_a_kind_that_is_not_known_is_judged_by_the_nearest(kind, images, seconds):
    """With ten images' worth of cost in each step, whatever its batch."""
    assert Pace(step=PACE, images=images).of(kind) == pytest.approx(seconds)


def test_without_any_kind_there_is_no_pace():
    assert Pace(step={}).of(("m", "sgd", 90)) is None
