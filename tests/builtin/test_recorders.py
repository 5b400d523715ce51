from types import SimpleNamespace

import numpy as np
import pytest

import optiscope
from optiscope.autograd import Tape
from optiscope.builtin.recorders import GradientRMSRecorder, ProbeRecorder
from optiscope.config import RunConfig
from optiscope.data import Synthetic, to_batch
from optiscope.engine import prepare, train
from optiscope.nn import SmallCNN, on_tape
from optiscope.storage import RunWriter, schema

SMALL = {"synthetic": {"train": 300, "test": 270}}


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A run of three steps, recorded."""
    path = tmp_path_factory.mktemp("run") / "run.h5"
    config = RunConfig(optimizer="sgd", batch_size=60, steps=3, reduction="sum", order="paper", options=SMALL)
    train(config, open_sink=lambda info, signals: RunWriter.create(path, info, signals))
    with optiscope.open_run(path) as run:
        yield prepare(config), run


def by_hand(prepared, images, labels):
    """The first step, computed without the engine: logits, their gradient, last input, parameters' gradients."""
    model = SmallCNN()
    params = model.init(np.random.default_rng(prepared.streams.initial), (32, 32, 3), 10)
    grads, tape = params.zeros(), Tape(kernels=prepared.config.kernels)
    tape.reset()
    output = model.forward(on_tape(tape, params, grads), tape.constant(to_batch(images)), None)
    tape.backward(model.loss(output.output, labels, "sum"))
    return output.output.array, output.output.grad, output.last_input.array, grads, params


def test_the_signals_of_a_step_are_what_they_say(recorded):
    prepared, run = recorded
    images = prepared.images
    rows = prepared.batches.epoch(0)[0]
    logits, dlogits, last_input, grads, _ = by_hand(prepared, images.train_images[rows], images.train_labels[rows])
    few = logits[: schema.SUBSAMPLE].astype(float)
    expected = {
        "logits_q05": np.quantile(few, 0.05),
        "logits_min": few.min(),
        "logits_median": np.median(few),
        "logits_iqr": np.quantile(few, 0.75) - np.quantile(few, 0.25),
        "logits_batch_min": logits.min(),
        "dlogits_norm": np.linalg.norm(dlogits),
        "last_input_mean": last_input.mean(),
        "last_input_q95": np.quantile(last_input[: schema.SUBSAMPLE], 0.95),
        "grad_norm": [np.linalg.norm(grads[name]) for name in grads],
        "update_norm": [0.01 * np.linalg.norm(grads[name]) for name in grads],
    }
    assert few.shape == (50, 10)
    assert len(logits) == 60
    for name, value in expected.items():
        assert run.steps[name][0] == pytest.approx(value, rel=2e-5), name


def test_the_probe_is_taken_on_its_schedule_after_the_update(recorded):
    prepared, run = recorded
    assert run.probe["logits"].shape == (1, 256, 10)
    images = prepared.images
    rows = prepared.batches.epoch(0)[0]
    *_, grads, params = by_hand(prepared, images.train_images[rows], images.train_labels[rows])
    params.flat[...] -= 0.01 * grads.flat
    tape = Tape()
    tape.reset()
    probe = to_batch(images.test_images[:256])
    logits = SmallCNN().forward(on_tape(tape, params), tape.constant(probe), None).output.array
    assert run.probe["logits"][0] == pytest.approx(logits, rel=1e-3, abs=1e-4)
    assert run.probe["q05"][0] == pytest.approx(np.quantile(run.probe["logits"][0], 0.05), rel=1e-5)


def test_histograms_count_every_parameter(recorded):
    prepared, run = recorded
    sizes = [int(np.prod(shape)) for _, shape in prepared.info.parameters]
    assert run.epochs["histograms"].sum(axis=2).tolist() == [sizes] * run.n_epochs


def test_a_problem_without_images_has_no_probe():
    assert ProbeRecorder().signals(prepare(RunConfig(model="quadratic", steps=1)).info) == ()


def test_the_synthetic_set_needs_a_network_and_small_cnn_is_enough():
    """small-cnn passes 80 % within 5 epochs; that a linear classifier does not is tested beside the data set."""
    result = train(RunConfig(optimizer="adam", batch_size=50, epochs=2, order="reshuffle"))
    assert Synthetic().train == 5000
    assert 0.8 < result.epochs[-1].val_accuracy < 0.99


def rms_of(tmp_path, optimizer="adam", every=1, steps=12, **options):
    options = {"quadratic": {"curvature": (1, 4), "noise": 0.5}, "gradient-rms": {"every": every}, **options}
    config = RunConfig(model="quadratic", optimizer=optimizer, batch_size=2, steps=steps, options=options)
    path = tmp_path / f"{optimizer}-{every}.h5"
    train(config, open_sink=lambda info, signals: RunWriter.create(path, info, signals))
    with optiscope.open_run(path) as run:
        return {name: run.plugins["gradient-rms"][name] for name in run.plugins.get("gradient-rms", {})}


def test_the_gradient_is_as_large_as_adams_memory_of_it_at_first_and_more_where_it_jumps(tmp_path):
    assert rms_of(tmp_path)["rms"][0] == pytest.approx(1, rel=1e-5)
    recorder = GradientRMSRecorder(every=1)
    recorder.signals(SimpleNamespace(optimizer_options={"beta2": 0.9, "epsilon": 1e-8}))
    g, v = np.array([3.0, 0.0, 1e-9]), np.array([0.9, 0.0, 0.0])
    found = recorder.record(2, {"grads": SimpleNamespace(flat=g), "state": {"v": v}})["rms"]
    assert found == pytest.approx(np.sqrt((9 / (0.9 / 0.19) + 0 + 0.01) / 3))
    assert np.isnan(recorder.record(2, {"grads": SimpleNamespace(flat=g), "state": {}})["rms"])


def test_the_gradient_rms_is_recorded_where_somebody_asks_and_there_is_a_memory(tmp_path):
    np.testing.assert_array_equal(rms_of(tmp_path, every=5)["step"], [1, 6, 11])
    assert rms_of(tmp_path, every=0) == {}
    assert rms_of(tmp_path, optimizer="sgd") == {}
    with pytest.raises(ValueError, match="every must be a whole number of steps, or 0 for never"):
        GradientRMSRecorder(every=-1)
