"""The models: their parameters, their protocol, and training them."""

import numpy as np
import pytest

from optiscope.autograd import Tape
from optiscope.errors import UsageError
from optiscope.nn import Model, PaperCNN, Quadratic, SmallCNN, on_tape

IMAGE = (32, 32, 3)

PAPER = {
    "conv1": (3, 3, 3, 32),
    **{f"conv{k}": (3, 3, 32, 32) for k in range(2, 7)},
    "linear1": (512, 512),
    "linear2": (512, 10),
}
SMALL = {"conv1": (3, 3, 3, 16), "conv2": (3, 3, 16, 16), "conv3": (3, 3, 16, 16), "linear1": (256, 10)}


def batch(size=4, image=IMAGE, dtype=np.float32):
    rng = np.random.default_rng(7)
    return rng.random((size, *image)).astype(dtype), rng.integers(0, 10, size)


@pytest.mark.parametrize(("model", "layers"), [(PaperCNN(), PAPER), (SmallCNN(), SMALL)])
def test_parameters_in_order(model, layers):
    expected = {}
    for name, shape in layers.items():
        expected |= {f"{name}.weight": shape, f"{name}.bias": shape[-1:]}
    assert list(model.shapes(IMAGE, 10).items()) == list(expected.items())
    assert model.outputs(10) == 10


@pytest.mark.parametrize("model", [PaperCNN(), SmallCNN()])
def test_initial_parameters(model):
    """He for convolutions, LeCun for linear layers: the sample's deviation within five of its standard errors."""
    params = model.init(np.random.default_rng(0), IMAGE, 10)
    for name, array in params.items():
        if name.endswith("bias"):
            assert not array.any()
            continue
        fan_in = array.size // array.shape[-1]
        std = np.sqrt((2 if name.startswith("conv") else 1) / fan_in)
        assert abs(array.std() / std - 1) < 5 / np.sqrt(2 * array.size)
        assert abs(array.mean()) < 5 * std / np.sqrt(array.size)


def test_initial_parameters_come_from_the_generator_alone():
    first, again, double, other = (
        PaperCNN().init(np.random.default_rng(seed), IMAGE, 10, dtype)
        for seed, dtype in [(1, np.float32), (1, np.float32), (1, np.float64), (2, np.float32)]
    )
    np.testing.assert_array_equal(first.flat, again.flat)
    np.testing.assert_array_equal(first.flat, double.flat.astype(np.float32))
    assert double.dtype == np.float64
    assert not np.array_equal(first.flat, other.flat)


@pytest.mark.parametrize("image", [(32, 32, 3), (8, 8, 1), (17, 25, 2)])
@pytest.mark.parametrize(("model", "width"), [(PaperCNN(), 512), (SmallCNN(), None)])
def test_forward_on_images_of_any_size(model, width, image):
    tape = Tape()
    params = on_tape(tape, model.init(np.random.default_rng(0), image, 7))
    out = model.forward(params, tape.constant(batch(5, image)[0]), None)
    assert out.output.shape == (5, 7)
    assert out.last_input.shape == (5, width or image[0] // 8 * (image[1] // 8) * 16)
    last = list(params)[-2:]
    np.testing.assert_allclose(
        out.output.array, out.last_input.array @ params[last[0]].array + params[last[1]].array, rtol=1e-5
    )


def test_dropout_is_on_in_training_and_off_in_evaluation():
    model, (images, _) = PaperCNN(), batch()
    params = model.init(np.random.default_rng(0), IMAGE, 10)

    def hidden(rng):
        tape = Tape()
        return model.forward(on_tape(tape, params), tape.constant(images), rng).last_input.array

    off = hidden(None)
    on = hidden(np.random.default_rng(0))
    np.testing.assert_array_equal(off, hidden(None))
    np.testing.assert_array_equal(on[on != 0], 2 * off[on != 0])
    alive = off > 0
    assert 0.4 < np.mean(on[alive] == 0) < 0.6


@pytest.mark.parametrize("model", [PaperCNN(dropout=0.0), SmallCNN()])
def test_sum_is_the_mean_times_the_batch_size(model):
    images, labels = batch(8)
    params = model.init(np.random.default_rng(0), IMAGE, 10)
    results = {}
    for reduction in ("mean", "sum"):
        grads, tape = params.zeros(), Tape()
        out = model.forward(on_tape(tape, params, grads), tape.constant(images), None)
        loss = model.loss(out.output, labels, reduction)
        tape.backward(loss)
        results[reduction] = (loss.array, out.output.grad, grads.flat)
    for mean, total in zip(results["mean"], results["sum"], strict=True):
        np.testing.assert_allclose(total, 8 * mean, rtol=1e-5, atol=1e-5)


def test_small_cnn_learns_a_batch_by_heart():
    model, (images, labels) = SmallCNN(), batch(20)
    rng = np.random.default_rng(0)
    params, tape = model.init(rng, IMAGE, 10), Tape()
    grads, losses = params.zeros(), []
    for _ in range(80):
        tape.reset()
        out = model.forward(on_tape(tape, params, grads), tape.constant(images - 0.5), rng)
        loss = model.loss(out.output, labels, "mean")
        tape.backward(loss)
        losses.append(float(loss.array))
        params.flat -= np.float32(0.1) * grads.flat
    assert losses[0] > 2
    assert losses[-1] < 0.5


def test_names():
    assert [model.name for model in (PaperCNN, SmallCNN, Quadratic)] == ["paper-cnn", "small-cnn", "quadratic"]
    assert (Model.output, Model.needs_data) == ("logits", True)


def test_bad_option():
    with pytest.raises(ValueError, match="dropout must be"):
        PaperCNN(dropout=1.0)


@pytest.mark.parametrize("model", [PaperCNN(), SmallCNN()])
def test_bad_use(model):
    with pytest.raises(UsageError, match="at least 8 x 8"):
        model.shapes((7, 32, 3), 10)
    with pytest.raises(UsageError, match="function of images"):
        model.forward({}, None, None)
    with pytest.raises(UsageError, match="learns from labels"):
        model.loss(Tape().leaf(np.ones((2, 3))), None, "mean")
