import numpy as np
import pytest

from optiscope.analysis import Alarm, corroborate, measure

STEPS = np.arange(1, 401)


def alarm(name, first, last):
    return Alarm(name=name, statistic=9.0, threshold=4.0, p_value=0.01, steps=(first, last))


@pytest.fixture
def loss(ar1):
    return 0.3 + 2 * np.exp(-STEPS / 60) + 0.05 * ar1(400, 0.2, np.random.default_rng(0))


def test_a_healthy_loss_is_no_witness(loss):
    alarms = [alarm("X", 300, 300), alarm("V", 251, 400), alarm("D", 200, 400), alarm("R", 101, 400)]
    assert corroborate(alarms, {"the loss": loss}, 100) is None


@pytest.mark.parametrize("step", [280, 300, 320])
def test_a_loss_that_jumps_up_at_about_the_time_is_a_witness(loss, step):
    loss[299] += 2
    seen = corroborate([alarm("X", step, step)], {"the loss": loss}, 100)
    assert (seen.series, seen.seen.name, seen.seen.steps) == ("the loss", "X", (300, 300))


@pytest.mark.parametrize(
    ("at", "by", "name"), [(299, -2, "X"), (150, 2, "X"), (299, 2, "V"), (299, 2, "D")], ids=["down", "early", "V", "D"]
)
def test_another_way_or_another_time_is_none(loss, at, by, name):
    loss[at] += by
    assert corroborate([alarm(name, 300, 300)], {"the loss": loss}, 100) is None


def test_roughness_and_foreign_alarms_take_any_witness(loss):
    loss[299] += 2
    for name in ("R", "somebody's"):
        assert corroborate([alarm(name, 280, 320)], {"the loss": loss}, 100).seen.name == "X"


def test_a_loss_that_shifts_up_is_a_witness_and_one_that_shifts_down_is_none(ar1):
    loss = 2 - 0.25 * np.log(STEPS) + 0.05 * ar1(400, 0.2, np.random.default_rng(0))
    up, down = loss.copy(), loss.copy()
    up[250:] += 0.5
    down[250:] -= 0.2
    assert corroborate([alarm("D", 250, 400)], {"the loss": up}, 100).seen.name == "D"
    assert [seen.name for seen in measure(down, 100).alarms] == ["D"]
    assert corroborate([alarm("D", 250, 400)], {"the loss": down}, 100) is None


def test_a_gradient_whose_noise_grows_is_a_witness(loss, ar1):
    norm = 1 + np.where(STEPS > 250, 0.6, 0.1) * ar1(400, 0, np.random.default_rng(1))
    witnesses = {"the loss": loss, "the gradient norm": norm}
    assert corroborate([alarm("V", 251, 400)], witnesses, 100).series == "the gradient norm"


def test_no_alarm_needs_no_witness_and_short_series_are_none(loss):
    loss[299] += 2
    assert corroborate([], {"the loss": loss}, 100) is None
    short = np.where(STEPS > 305, np.nan, loss)
    assert corroborate([alarm("X", 300, 300)], {"the loss": short}, 150) is None
    assert corroborate([alarm("X", 300, 300)], {"the loss": short, "empty": np.empty(0)}, 100) is not None
