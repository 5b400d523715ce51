"""The rules that the fingerprint knows, against steps that are taken by hand and against the registered optimizers."""

import math

import numpy as np
import pytest

from optiscope.optim import SGD, Adam, AdamInside
from optiscope.testing.families import ADAM_FAMILY, FAMILIES, SGD_FAMILY, closed_form
from optiscope.testing.sequence import EQUAL, SHAPES, STEPS, compare, path, sequence


def two_steps(family, label, **roles):
    """Where w = 3 is after the gradients 2 and -1, with lr 0.5 and then 0.25."""
    rule = family.parse(label)
    origin, grads = np.array([3.0]), np.array([[2.0], [-1.0]])
    paths = family.paths([rule], roles, origin, grads, np.array([0.5, 0.25]), np.array([1.0]))
    return [float(w[0, 0]) for w in paths]


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ("sgd", [3 - 0.5 * 2, 2 - 0.25 * 0]),
        ("sgd(velocity=mean)", [3 - 0.5 * 1, 2.5 - 0.25 * 0]),
        ("sgd(velocity=mean later)", [3 - 0.5 * 2, 2 - 0.25 * 0.5]),
        ("sgd(velocity=damped)", [3 - 0.5 * 1.5, 2.25 - 0.25 * (0.75 - 0.75)]),
        ("sgd(nesterov=yes)", [3 - 0.5 * 3, 1.5 - 0.25 * -1]),
        ("sgd(rate=inside)", [3 - 1, 2 - (0.5 - 0.25)]),
        ("sgd(age=old)", [3, 3 - 0.25 * 2]),
        ("sgd(decay=coupled)", [3 - 0.5 * 5, 0.5 - 0.25 * (2.5 - 1 + 0.5)]),
        ("sgd(decay=decoupled)", [3 - 0.5 * 3 - 0.5 * 2, 0.5 - 0.25 * 0.5 - 0]),
        ("sgd(decay=without lr)", [0 - 1, 0 - 0]),
        ("sgd(decay=after)", [(3 - 1) * 0.5, (1 - 0) * 0.75]),
        ("sgd(scale=-1)", [3 + 1, 4]),
    ],
)
def test_sgd_by_hand(label, expected):
    """Momentum 1/2, dampening 1/4, weight decay 1."""
    assert two_steps(SGD_FAMILY, label, momentum=0.5, dampening=0.25, weight_decay=1.0) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("label", "first"),
    [
        ("adam", 1 / (1 + 0.25)),
        ("adam(bias=none)", 0.5 / (0.5 + 0.25)),
        ("adam(bias=only m)", 1 / (0.5 + 0.25)),
        ("adam(bias=only v)", 0.5 / (1 + 0.25)),
        ("adam(epsilon=inside)", 1 / math.sqrt(1 + 0.25)),
        ("adam(epsilon=before)", 1 / ((0.5 + 0.25) / 0.5)),
        ("adam(epsilon=inside before)", 1 / (math.sqrt(0.25 + 0.25) / 0.5)),
        ("adam(epsilon=none)", 1.0),
        ("adam(betas=swapped)", 1 / (1 + 0.25)),
        ("adam(moments=m sums)", 2 / (1 + 0.25)),
        ("adam(moments=v sums)", 1 / (2 + 0.25)),
        ("adam(age=old)", 0.0),
    ],
)
def test_the_first_step_of_adam_by_hand(label, first):
    """The first gradient is 2; it is halved here by hand: g = 1, b1 = 1/2, b2 = 3/4, epsilon = 1/4."""
    rule = ADAM_FAMILY.parse(label)
    roles = {"beta1": 0.5, "beta2": 0.75, "epsilon": 0.25}
    paths = ADAM_FAMILY.paths([rule], roles, np.zeros(1), np.ones((1, 1)), np.ones(1), np.ones(1))
    assert -next(paths)[0, 0] == pytest.approx(first)


@pytest.mark.parametrize(
    ("optimizer", "family", "label", "roles"),
    [
        (SGD(weight_decay=0.1), SGD_FAMILY, "sgd(decay=coupled)", {"weight_decay": 0.1}),
        (Adam(), ADAM_FAMILY, "adam", {}),
        (AdamInside(beta1=0.7), ADAM_FAMILY, "adam(epsilon=inside)", {"beta1": 0.7}),
    ],
)
def test_the_registered_ones_are_rules(optimizer, family, label, roles):
    origin, grads, factors = sequence()
    sizes = np.concatenate([np.full(view.size, view.size) for view in origin.values()]).astype(float)
    roles = {"beta2": 0.999, "beta1": 0.9} | roles
    rules = [family.parse(label)]
    expected = np.array(list(family.paths(rules, roles, origin.flat, grads, optimizer.lr * factors, sizes)))[:, 0]
    apart = compare(path(optimizer), expected)
    assert apart.worst < 1e-12
    assert apart.step is None


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_no_two_rules_go_the_same_way(family):
    """Or else one of them could never be named: with every option there is, and none at its default."""
    origin, grads, factors = sequence()
    sizes = np.concatenate([np.full(view.size, view.size) for view in origin.values()]).astype(float)
    roles = {"beta1": 0.6, "beta2": 0.7, "momentum": 0.6, "dampening": 0.1, "epsilon": 1e-8, "weight_decay": 0.1}
    rules = [rule for rule in family.rules(roles) if family.oddness(rule)[0] <= 1]
    assert len(rules) > 15
    with np.errstate(all="ignore"):
        ways = np.array(list(family.paths(rules, roles, origin.flat, grads, 7e-4 * factors, sizes)))
    for number, rule in enumerate(rules):
        for other in range(number):
            apart = compare(ways[:, number], ways[:, other])
            assert apart.worst > EQUAL, (family.label(rule), family.label(rules[other]))


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_labels_are_read_back(family):
    for rule in family.rules({"weight_decay": 0.1, "momentum": 0.9}):
        assert family.parse(family.label(rule)) == rule
    assert family.parse(f"{family.name}(bogus=yes)") is None
    assert family.parse("other") is None


@pytest.mark.parametrize("label", ["sgd", "sgd(velocity=mean)", "sgd(nesterov=yes)", "sgd(decay=coupled)"])
def test_the_closed_form_is_where_the_rule_goes(label):
    rule, roles, lr, steps = SGD_FAMILY.parse(label), {"momentum": 0.8, "weight_decay": 0.2}, 0.05, 40
    w = velocity = np.longdouble(1)
    velocity = np.longdouble(0)
    for _ in range(steps):
        g = 4 * w + (0.2 * w if "coupled" in label else 0)
        velocity = 0.8 * velocity + (0.2 if "mean" in label else 1) * g
        w = w - lr * (g + 0.8 * velocity if "nesterov" in label else velocity)
    assert closed_form(rule, roles, lr, 4.0, steps) == pytest.approx(float(w), rel=1e-12)


def test_no_two_tensors_have_one_size():
    sizes = [math.prod(shape) for shape in SHAPES.values()]
    assert len({*sizes, sum(sizes)}) == len(sizes) + 1
    assert sequence()[1].shape == (STEPS, sum(sizes))


def test_where_two_ways_part():
    """One value of 'small' is put a tenth of its step off at step 7."""
    one = path(SGD(lr=0.1))
    other = one.copy()
    at = sum(math.prod(SHAPES[name]) for name in ("matrix",))
    step = one[6] - one[5]
    other[6, at] += 0.1 * np.abs(step[at : at + 7]).max()
    apart = compare(one, other)
    assert (apart.step, apart.tensor, apart.by) == (7, "small", pytest.approx(0.1))
