"""Somebody's own training leaves a run file, which optiscope judges and reports."""

import json
import warnings

import numpy as np
import pytest

import optiscope
from optiscope.cli import main

torch = pytest.importorskip("torch", reason="needs the dependency group 'oracle'")
pytest.importorskip("optiscope_torch", reason="needs the dependency group 'oracle'")

from optiscope_torch import record  # noqa: E402

pytestmark = pytest.mark.oracle


def digits(count=256):
    """Return inputs [count, 8] of three classes that a line parts, and their labels."""
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 3, count)
    inputs = rng.standard_normal((count, 8)) + 2 * np.eye(8)[labels]
    return torch.tensor(inputs, dtype=torch.float32), torch.tensor(labels)


def network(seed=0):
    torch.manual_seed(seed)
    return torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.ReLU(), torch.nn.Dropout(0.1), torch.nn.Linear(16, 3))


def train(out=None, steps=20, lr=0.1, seed=0, **more):
    """Train a small network, recorded where there is `out`; return what was recorded of it and the model."""
    model, (inputs, labels) = network(seed), digits()
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9)
    run = None
    if out is not None:
        run = record(
            out, model, optimizer, **{"steps": steps, "batch_size": 32, "steps_per_epoch": 8, **more}, seed=seed
        )
    for step in range(steps):
        rows = slice(step % 8 * 32, step % 8 * 32 + 32)
        logits = model(inputs[rows])
        loss = torch.nn.functional.cross_entropy(logits, labels[rows])
        if run is not None:
            run.observe(logits, loss, labels[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if run is not None and step % 8 == 7:
            run.evaluated(val_loss=step + 0.5)
    if run is not None:
        run.detach()
    return run, model


def test_the_rows_are_what_the_training_went_through(tmp_path):
    run, _ = train(tmp_path)
    (path,) = tmp_path.glob("runs/*.h5")
    assert run.result.path == str(path)
    model, (inputs, labels) = network(), digits()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    with optiscope.open_run(path) as found:
        assert (found.status, found.n_steps, found.n_epochs) == ("completed", 20, 3)
        for step in range(20):
            rows = slice(step % 8 * 32, step % 8 * 32 + 32)
            logits = model(inputs[rows])
            loss = torch.nn.functional.cross_entropy(logits, labels[rows])
            optimizer.zero_grad()
            loss.backward()
            before = [tensor.detach().clone() for tensor in model.parameters()]
            optimizer.step()
            norms = [tensor.grad.norm().item() for tensor in model.parameters()]
            updates = [(tensor - old).norm().item() for tensor, old in zip(model.parameters(), before, strict=True)]
            z = logits.detach().numpy().astype(float)
            expected = {
                "loss": loss.item(),
                "accuracy": float((logits.argmax(1) == labels[rows]).float().mean()),
                "lr": 0.1,
                "grad_norm": norms,
                "update_norm": updates,
                "logits_q05": np.quantile(z, 0.05),
                "logits_batch_min": z.min(),
            }
            for name, value in expected.items():
                np.testing.assert_allclose(found.steps[name][step], value, rtol=2e-4, atol=1e-6, err_msg=name)
        np.testing.assert_array_equal(found.epochs["val_loss"], [7.5, 15.5, np.nan])
        assert list(found.read("/param")) == [name for name, _ in model.named_parameters()]
        assert len(found.plugins["gradient-angle"]["cosine"]) == 20
        config = found.config
    assert (config["optimizer"], config["model"], config["outputs"]) == ("torch:SGD", "Sequential", 3)
    assert config["optimizer_options"]["momentum"] == 0.9


def test_training_has_the_same_bits_with_and_without_it(tmp_path):
    _, alone = train()
    _, watched = train(tmp_path)
    for one, other in zip(alone.parameters(), watched.parameters(), strict=True):
        assert torch.equal(one, other)


def test_runs_that_differ_in_the_seed_make_a_cell(tmp_path, capsys):
    for seed in (0, 1):
        train(tmp_path, seed=seed)
    train(tmp_path, lr=1e20)
    assert main(["label", str(tmp_path), "--json"]) == 0
    cells = json.loads(capsys.readouterr().out)["cells"]
    assert [(cell["lr"], len(cell["runs"]), cell["runs"][0]["outcome"]) for cell in cells] == [
        (0.1, 2, "undecided"),
        (1e20, 1, "failed: non-finite"),
    ]


def test_without_labels_the_accuracy_is_not_known_and_more_than_two_axes_are_rows(tmp_path):
    layer = torch.nn.Linear(4, 5)
    optimizer = torch.optim.AdamW(layer.parameters())
    with record(tmp_path, layer, optimizer, steps=2, batch_size=2) as run:
        logits = layer(torch.ones(2, 3, 4))
        loss = logits.square().mean()
        run.observe(logits, loss)
        loss.backward()
        optimizer.step()
    with optiscope.open_run(run.result.path) as found:
        assert np.isnan(found.steps["accuracy"]).all()
        assert (found.n_steps, found.config["outputs"]) == (1, 5)


def test_parameters_that_the_optimizer_does_not_hold_are_left_out_and_those_without_gradient_are_zero(tmp_path):
    model = torch.nn.ModuleDict({name: torch.nn.Linear(2, 2, bias=False) for name in ("used", "idle", "frozen")})
    optimizer = torch.optim.SGD([*model["used"].parameters(), *model["idle"].parameters()], lr=0.1)
    with record(tmp_path, model, optimizer, steps=1, batch_size=1) as run:
        logits = model["used"](torch.ones(1, 2))
        run.observe(logits, logits.sum())
        logits.sum().backward()
        optimizer.step()
    with optiscope.open_run(run.result.path) as found:
        assert list(found.read("/param")) == ["used.weight", "idle.weight"]
        np.testing.assert_allclose(found.steps["grad_norm"], [[2.0, 0.0]])


def test_a_scheduler_is_seen(tmp_path):
    layer = torch.nn.Linear(2, 2)
    optimizer = torch.optim.SGD(layer.parameters(), lr=1.0)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
    with record(tmp_path, layer, optimizer, steps=3, batch_size=1) as run:
        for _ in range(3):
            logits = layer(torch.ones(1, 2))
            run.observe(logits, logits.square().sum())
            logits.square().sum().backward()
            optimizer.step()
            scheduler.step()
    with optiscope.open_run(run.result.path) as found:
        np.testing.assert_allclose(found.steps["lr"], [1.0, 0.5, 0.25])


def test_what_the_loop_raises_ends_the_file_and_the_hooks_are_gone(tmp_path):
    layer = torch.nn.Linear(2, 2)
    optimizer = torch.optim.SGD(layer.parameters(), lr=1.0)
    run = record(tmp_path, layer, optimizer, steps=3, batch_size=1)
    run.observe(layer(torch.ones(1, 2)), 1.0)
    optimizer.step()
    with pytest.raises(RuntimeError, match=r"without observe\(logits, loss\): call it before each step"), run:
        optimizer.step()
    assert run.result.status == "failed"
    optimizer.step()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run.detach()


@pytest.mark.parametrize("name", ["steps", "batch_size", "steps_per_epoch"])
def test_a_run_of_nothing_is_refused(tmp_path, name):
    layer = torch.nn.Linear(2, 2)
    optimizer = torch.optim.SGD(layer.parameters(), lr=1.0)
    with pytest.raises(ValueError, match=f"{name} must be a whole number >= 1, not 0"):
        record(tmp_path, layer, optimizer, **{"steps": 1, "batch_size": 1, name: 0})


def test_an_optimizer_of_another_model_is_refused(tmp_path):
    optimizer = torch.optim.SGD(torch.nn.Linear(2, 2).parameters(), lr=1.0)
    with pytest.raises(ValueError, match=r"holds no parameter of the model: make it with model\.parameters\(\)"):
        record(tmp_path, torch.nn.Linear(2, 2), optimizer, steps=1, batch_size=1)
