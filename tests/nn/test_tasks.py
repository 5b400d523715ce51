"""Tasks that make their own examples, against what is known of them."""

import numpy as np
import pytest

import optiscope
from optiscope.autograd import Tape
from optiscope.config import RunConfig
from optiscope.nn import Logistic, Task, Wilson, on_tape

TASKS = [Logistic(), Wilson()]


def train(model, optimizer, **options):
    return optiscope.train(RunConfig(model=model, optimizer=optimizer, **options)).epochs[-1]


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_examples_are_the_same_for_every_run_and_batches_are_made_of_them(task):
    again = type(task)()
    for split in ("train", "val"):
        for mine, theirs in zip(task.evaluation()[split], again.evaluation()[split], strict=True):
            np.testing.assert_array_equal(mine, theirs)
    x, labels = task.samples(np.random.default_rng(0), 7, 1)
    rows, classes = task.evaluation()["train"]
    for row, label in zip(x, labels, strict=True):
        assert any(label == klass and np.array_equal(row, other) for other, klass in zip(rows, classes, strict=True))


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_other_data_seeds_have_other_examples(task):
    other = type(task)(data_seed=1)
    assert not np.array_equal(task.evaluation()["train"][1], other.evaluation()["train"][1])


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_gradients_are_those_of_the_loss(task):
    params = task.init(np.random.default_rng(0), (1, 1, 1), 1, np.float64)
    params.flat += 0.01 * np.random.default_rng(1).standard_normal(params.flat.size)
    x, labels = task.samples(np.random.default_rng(2), 9, 1)

    def loss(grads=None):
        tape = Tape()
        made = task.loss(task.forward(on_tape(tape, params, grads), tape.constant(x), None).output, labels, "mean")
        if grads is not None:
            tape.backward(made)
        return float(made.array)

    grads = params.zeros()
    loss(grads)
    direction = np.random.default_rng(3).standard_normal(params.flat.size)
    h, at = 1e-6, params.flat.copy()
    params.flat[...] = at + h * direction
    above = loss()
    params.flat[...] = at - h * direction
    assert (above - loss()) / (2 * h) == pytest.approx(grads.flat @ direction, rel=1e-6)


def test_the_clouds_are_as_far_apart_as_was_asked_for():
    x, labels = Logistic(distance=3.0, train=20_000).evaluation()["train"]
    means = [x[labels == label].mean(axis=0) for label in (0, 1)]
    assert np.linalg.norm(means[1] - means[0]) == pytest.approx(3.0, rel=0.05)


def test_logistic_regression_is_as_right_as_the_clouds_allow():
    """Two clouds 2 deviations apart overlap: the best linear rule is right for 84 %."""
    record = train("logistic", "sgd", lr=0.5, batch_size=32, steps=600)
    assert record.val_accuracy == pytest.approx(0.841, abs=0.05)
    assert record.val_loss < 0.4


@pytest.mark.parametrize(("optimizer", "lr", "unseen"), [("sgd", 0.1, 1.0), ("adam", 0.01, 0.6)])
def test_both_kinds_of_method_train_to_one_and_only_one_of_them_generalises(optimizer, lr, unseen):
    record = train("wilson", optimizer, lr=lr, batch_size=40, steps=1500)
    assert record.train_accuracy == 1.0
    assert record.train_loss < 1e-6
    assert record.val_accuracy == pytest.approx(unseen, abs=0.01)


@pytest.mark.parametrize(
    ("kind", "options", "part"),
    [
        (Logistic, {"distance": -1.0}, "distance must be"),
        (Logistic, {"train": 0}, "train must be"),
        (Logistic, {"data_seed": -1}, "data_seed must be"),
        (Wilson, {"positive": 0.5}, "positive must be above 0.5 and below 1"),
    ],
)
def test_bad_options(kind, options, part):
    with pytest.raises(ValueError, match=part):
        kind(**options)


def test_a_task_without_examples_says_so():
    class Empty(Task):
        name = "empty"

    with pytest.raises(NotImplementedError, match="task Empty has no examples: write them"):
        Empty().examples()
