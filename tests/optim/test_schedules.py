import inspect
import math

import attrs
import pytest

from optiscope.optim import SCHEDULES, Constant, Cosine, InverseSqrt, Step


def factors(schedule, steps):
    return [schedule.factor(step, steps) for step in range(1, steps + 1)]


def test_constant_is_one():
    assert factors(Constant(), 3) == [1, 1, 1]


def test_cosine_by_hand():
    """Quarter points of half a cosine: cos of 0, 45, 90 and 135 degrees."""
    root = math.sqrt(0.5)
    assert factors(Cosine(), 4) == pytest.approx([1, (1 + root) / 2, 0.5, (1 - root) / 2], abs=1e-15)
    assert factors(Cosine(floor=0.2), 2) == pytest.approx([1, 0.6], abs=1e-15)


def test_warmup_rises_in_equal_steps_to_one_and_then_falls():
    got = factors(Cosine(warmup=4), 8)
    assert got[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1], abs=1e-15)
    assert got[4:] == pytest.approx(factors(Cosine(), 4), abs=1e-15)


def test_a_run_shorter_than_its_warmup_only_rises():
    assert factors(Cosine(warmup=9), 4) == pytest.approx([0.1, 0.2, 0.3, 0.4], abs=1e-15)
    assert factors(Cosine(warmup=3), 3) == pytest.approx([0.25, 0.5, 0.75], abs=1e-15)


def test_step_drops_after_every_so_many():
    assert factors(Step(every=2, gamma=0.5), 5) == [1, 1, 0.5, 0.5, 0.25]


def test_inverse_sqrt():
    assert [InverseSqrt().factor(step, 10) for step in (1, 4, 9)] == pytest.approx([1, 1 / 2, 1 / 3], rel=1e-15)


@pytest.mark.parametrize("schedule", [kind() for kind in SCHEDULES], ids=lambda schedule: schedule.name)
@pytest.mark.parametrize("steps", [1, 2, 400])
def test_every_factor_is_above_zero_and_at_most_one(schedule, steps):
    assert all(0 < factor <= 1 for factor in factors(schedule, steps))
    assert schedule.factor(1, steps) == 1


def test_names_are_unique_and_the_list_is_whole():
    from optiscope.optim import schedules

    classes = {kind for _, kind in inspect.getmembers(schedules, attrs.has)}
    assert set(SCHEDULES) == classes
    assert len({kind.name for kind in SCHEDULES}) == len(SCHEDULES)
    assert SCHEDULES[0].name == "constant"


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (Cosine, {"warmup": -1}, "warmup must be a whole number >= 0, not -1"),
        (Cosine, {"floor": 1.5}, "floor must be from 0 to 1, not 1.5"),
        (Cosine, {"floor": float("nan")}, "floor must be from 0 to 1, not nan"),
        (Step, {"every": 0}, "every must be a whole number >= 1, not 0"),
        (Step, {"gamma": 0.0}, "gamma must be above 0 and at most 1, not 0.0"),
    ],
)
def test_options_are_checked(kind, options, message):
    with pytest.raises(ValueError, match=message):
        kind(**options)


@pytest.mark.oracle
@pytest.mark.parametrize(
    ("schedule", "oracle"),
    [
        (Cosine(floor=0.1), lambda lr, o: lr.CosineAnnealingLR(o, T_max=50, eta_min=0.1 * 0.3)),
        (Step(every=7, gamma=0.3), lambda lr, o: lr.StepLR(o, step_size=7, gamma=0.3)),
        (Constant(), lambda lr, o: lr.ConstantLR(o, factor=1)),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_factors_are_those_of_pytorch(schedule, oracle):
    torch = pytest.importorskip("torch", reason="needs the dependency group 'oracle'")
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.3)
    scheduler = oracle(torch.optim.lr_scheduler, optimizer)
    for step in range(1, 51):
        assert 0.3 * schedule.factor(step, 50) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-12)
        optimizer.step()
        scheduler.step()
