"""A test for each hook, by its name: each kind of piece in the docs works, and what observers are told is true.

The run that tells is gradient descent on a quadratic of curvature 1 from w = 1 at lr 0.1, so that w is 0.9^step.
"""

import os
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from optiscope import GridConfig, RunConfig, characterize, open_run
from optiscope.engine import train
from optiscope.hooks import create_manager, hookimpl

DOCS = Path(__file__).parents[2] / "docs" / "plugins"
STEPS = 250
"""Two epochs of a problem without data, and half of one."""


@pytest.fixture
def example(tmp_path):
    """Return a function that saves the first block of Python on a page of the docs as a plugin."""

    def save(page):
        path = tmp_path / f"{page}_example.py"
        text = (DOCS / f"{page}.md").read_text(encoding="utf-8")
        path.write_text(re.search(r"```python\n(.*?)```", text, re.DOTALL).group(1), encoding="utf-8")
        return str(path)

    return save


def told(hook, **changes):
    """Return the result of the run, and what `hook` was told each time, arrays copied."""
    calls = []

    def keep(**arguments):
        calls.append({name: np.copy(value) if name == "logits" else value for name, value in arguments.items()})

    observers = {
        "on_run_start": lambda run: keep(run=run),
        "on_forward": lambda run, step, logits, loss: keep(run=run, step=step, logits=logits, loss=loss),
        "on_backward": lambda run, step, grads: keep(run=run, step=step, flat=grads.flat.copy()),
        "on_step": lambda run, step, params, state: keep(
            run=run, step=step, flat=params.flat.copy(), state={name: array.copy() for name, array in state.items()}
        ),
        "on_epoch_end": lambda run, record: keep(run=run, record=record),
        "on_run_end": lambda run, result: keep(run=run, result=result),
        "on_run_error": lambda run, error: keep(run=run, error=error),
    }
    host = create_manager()
    host.register(SimpleNamespace(**{hook: hookimpl(observers[hook])}), "observer")
    if "error" in changes:
        host.register(SimpleNamespace(on_step=hookimpl(changes.pop("error"))), "raises")
    config = {"model": "quadratic", "optimizer": "sgd", "lr": 0.1, "steps": STEPS, "kernels": "im2col"} | changes
    return train(RunConfig(**config), host), calls


def steps_of(calls):
    return [call["step"] for call in calls]


def test_optiscope_optimizers(example):
    """The heavy ball's largest stable lr on a quadratic is 2 (1 + beta) / curvature."""
    host = create_manager(files=[example("optimizer")])
    limit = host.build("optimizers", "heavy-ball", {}).stable_lr(1.0)
    assert limit == pytest.approx(3.8)
    for factor, status in [(0.95, "completed"), (1.3, "diverged")]:
        config = RunConfig(model="quadratic", optimizer="heavy-ball", lr=factor * limit, steps=400, kernels="im2col")
        assert train(config, host).status == status


def test_optiscope_models(example):
    """Softmax regression separates what a line separates: the images of the docs' data set."""
    host = create_manager(files=[example("model"), example("dataset")])
    config = RunConfig(model="softmax-regression", data="halves", optimizer="sgd", epochs=2, kernels="im2col")
    first, last = train(config, host).epochs
    assert (first.epoch, last.epoch) == (1, 2)
    assert last.val_accuracy == 1.0


def test_optiscope_datasets(example):
    host = create_manager(files=[example("dataset")])
    images = host.build("datasets", "halves", {}).load()
    assert images.digest == host.build("datasets", "halves", {}).load().digest
    assert images.digest != host.build("datasets", "halves", {"seed": 1}).load().digest
    left, right = (images.train_images[:, :, half].mean(axis=(1, 2, 3)) for half in (slice(16), slice(16, 32)))
    assert ((left > right + 50) == (images.train_labels == 0)).all()


def test_optiscope_schedules(example):
    factor = create_manager(files=[example("schedule")]).build("schedules", "linear", {"hold": 2}).factor
    assert [factor(step, 6) for step in range(1, 7)] == [1, 1, 1, 0.75, 0.5, 0.25]


def grid(tmp_path, **changes):
    """Return a run of five steps at lr 0.2, opened, and its analyzers' findings by name."""
    common = {"model": "quadratic", "optimizers": ["sgd"], "batch_sizes": [1], "lrs": [0.2], "kernels": "im2col"}
    made = characterize(GridConfig(steps=5, **(common | changes)), tmp_path / "out", executor="in-process")
    (verdict,) = made.cells[0].runs
    return open_run(tmp_path / "out" / verdict.path), {finding.name: finding for finding in verdict.findings}


def test_optiscope_recorders(example, tmp_path):
    """Gradient descent takes lr w from w: lr / (1 - lr) of what is left."""
    run, _ = grid(tmp_path, plugins=[example("recorder")])
    np.testing.assert_allclose(run.plugins["update-ratio"]["ratio"], np.full((5, 1), 0.25), rtol=1e-5)


def test_optiscope_analyzers(example, tmp_path):
    """The loss goes by 0.64 a step from 0.5; the only median of five is the third, 0.5 * 0.64^2."""
    _, findings = grid(tmp_path, plugins=[example("analyzer")])
    finding = findings["half-life"]
    assert (finding.result, finding.first_step, finding.steps) == ("info", None, (1, 5))
    assert finding.statistic == pytest.approx(0.5 * 0.64**2, rel=1e-5)
    assert finding.threshold == pytest.approx(0.25 * 0.64**2, rel=1e-5)


def test_optiscope_executors(example):
    with create_manager(files=[example("executor")]).build("executors", "background", {"jobs": 1}) as workers:
        assert workers.submit(os.nice, 0).result(timeout=60) == min(os.nice(0) + 10, 19)


def test_on_run_start():
    _, (call,) = told("on_run_start")
    assert (call["run"].optimizer, call["run"].lr, call["run"].steps) == ("sgd", 0.1, STEPS)


def test_on_forward():
    """Before the update of step s, w is 0.9^(s - 1) and the loss w^2 / 2."""
    _, calls = told("on_forward")
    w = 0.9 ** np.arange(STEPS)
    assert steps_of(calls) == list(range(1, STEPS + 1))
    np.testing.assert_allclose([call["logits"] for call in calls], w.reshape(STEPS, 1, 1), rtol=1e-4)
    np.testing.assert_allclose([call["loss"] for call in calls], w * w / 2, rtol=1e-4)


def test_on_backward():
    """The gradient is w, before the update."""
    _, calls = told("on_backward")
    assert steps_of(calls) == list(range(1, STEPS + 1))
    np.testing.assert_allclose([call["flat"][0] for call in calls], 0.9 ** np.arange(STEPS), rtol=1e-4)


def test_on_step():
    """The parameters are those after the update; Adam's first moment of a gradient of 1 is 1 - beta1."""
    _, calls = told("on_step")
    assert steps_of(calls) == list(range(1, STEPS + 1))
    np.testing.assert_allclose([call["flat"][0] for call in calls], 0.9 ** np.arange(1, STEPS + 1), rtol=1e-4)
    _, (first, *_) = told("on_step", optimizer="adam", steps=2)
    assert first["state"]["m"] == pytest.approx([0.1])


def test_on_epoch_end():
    result, calls = told("on_epoch_end")
    assert [call["record"].epoch for call in calls] == [1, 2, 3]
    assert tuple(call["record"] for call in calls) == result.epochs


def test_on_run_end():
    result, (call,) = told("on_run_end")
    assert call["result"] == result
    assert (result.status, result.steps) == ("completed", STEPS)


def test_on_run_error():
    def fail(step):
        if step == 3:
            raise ValueError("three is enough")

    result, (call,) = told("on_run_error", error=fail)
    assert "three is enough" in str(call["error"])
    assert (result.status, result.steps) == ("failed", 2)
    assert told("on_run_error")[1] == []
