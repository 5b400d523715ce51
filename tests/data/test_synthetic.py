import attrs
import numpy as np
import pytest

from optiscope.data import Synthetic, to_batch
from optiscope.data.synthetic import CLASSES, _Draw


@pytest.fixture(scope="module")
def images():
    return Synthetic().load()


def test_the_default_set_is_these_bytes_on_every_machine(images):
    assert images.digest == "f604c7048dad7e8b4e647d3a7e2db453001aed82c3c2bf8544c9a997d8aeda13"


def test_sizes_types_and_classes(images):
    assert images.train_images.shape == (5000, 32, 32, 3)
    assert images.test_images.shape == (1000, 32, 32, 3)
    assert len(images.class_names) == len(set(images.class_names)) == 10
    assert images.train_images.min() == 0
    assert images.train_images.max() == 255


def test_the_seed_changes_the_images():
    assert Synthetic(train=20, test=10).load().digest != Synthetic(train=20, test=10, seed=1).load().digest


def test_the_test_images_do_not_depend_on_the_training_images():
    few, more = Synthetic(train=20, test=30).load(), Synthetic(train=200, test=30).load()
    np.testing.assert_array_equal(few.test_images, more.test_images)
    np.testing.assert_array_equal(few.test_labels, more.test_labels)


@pytest.mark.parametrize("pattern", CLASSES.values(), ids=CLASSES)
def test_patterns_are_float32_from_minus_one_to_one(pattern):
    drawn = pattern(_Draw(np.random.default_rng(0), 50))
    assert drawn.dtype == np.float32
    assert drawn.shape == (50, 32, 32)
    assert drawn.min() == -1
    assert drawn.max() <= 1
    assert len(np.unique(drawn[:, 16, 16])) > 5


def test_without_noise_every_class_is_as_frequent():
    clean = Synthetic(label_noise=0).load()
    assert np.bincount(clean.train_labels).tolist() == [500] * 10
    assert np.bincount(clean.test_labels).tolist() == [100] * 10


def test_a_few_labels_are_wrong_and_nothing_else_differs(images):
    """3 % of 6,000 is 180, with a standard deviation of 13."""
    clean = Synthetic(label_noise=0).load()
    np.testing.assert_array_equal(clean.train_images, images.train_images)
    wrong = clean.train_labels != images.train_labels
    wrong_in_test = clean.test_labels != images.test_labels
    assert wrong_in_test.any()
    assert 140 <= wrong.sum() + wrong_in_test.sum() <= 220
    shift = (images.train_labels[wrong] - clean.train_labels[wrong].astype(int)) % 10
    assert set(shift.tolist()) == set(range(1, 10))


def test_all_labels_wrong_never_gives_the_true_one():
    clean, noisy = (Synthetic(train=500, test=10, label_noise=noise).load() for noise in (0, 0.999))
    assert (clean.train_labels == noisy.train_labels).mean() < 0.02


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"train": 0}, "train must be a whole number >= 1, not 0"),
        ({"test": 2.5}, "test must be a whole number >= 1, not 2.5"),
        ({"seed": -1}, "seed must be a whole number >= 0, not -1"),
        ({"label_noise": 1.0}, "label_noise must be >= 0 and < 1, not 1.0"),
        ({"label_noise": float("nan")}, "label_noise must be >= 0 and < 1, not nan"),
    ],
)
def test_options_are_checked(options, message):
    with pytest.raises(ValueError, match=message):
        Synthetic(**options)


def best_linear_accuracy(images, steps):
    """Best test accuracy that multinomial logistic regression on the pixels has at any step of its training.

    Accelerated gradient descent (Nesterov 1983) with the step 1 / L of the whole loss, from zero. Early stopping
    regularises as an L2 penalty does, and choosing the step by the test images can only flatter, so that this is an
    upper estimate. On the default set 600 steps find nothing better than the first 60 do.
    """
    x, x_test = (
        to_batch(pixels).reshape(len(pixels), -1) - np.float32(0.5)
        for pixels in (images.train_images, images.test_images)
    )
    x, x_test = (np.hstack([part, np.ones((len(part), 1), np.float32)]) for part in (x, x_test))
    targets = np.eye(10, dtype=np.float32)[images.train_labels]
    top = np.ones(x.shape[1], np.float32)
    for _ in range(20):
        top = x.T @ (x @ top)
        norm = np.linalg.norm(top)
        top /= norm
    lr = np.float32(2 * len(x) / norm)
    weights = ahead = np.zeros((x.shape[1], 10), np.float32)
    best, loss = 0.0, np.inf
    for step in range(1, steps + 1):
        logits = x @ ahead
        p = np.exp(logits - logits.max(1, keepdims=True))
        p /= p.sum(1, keepdims=True)
        loss = -np.log(p[targets == 1] + 1e-30).mean()
        last, weights = weights, ahead - lr / len(x) * (x.T @ (p - targets))
        ahead = weights + np.float32((step - 1) / (step + 2)) * (weights - last)
        best = max(best, float(((x_test @ weights).argmax(1) == images.test_labels).mean()))
    return best, float(loss)


def test_a_linear_classifier_cannot_do_it(images):
    accuracy, loss = best_linear_accuracy(images, steps=60)
    assert loss < 2.1
    assert accuracy < 0.6


def test_the_same_classifier_does_what_is_linear(images):
    """Which of ten bands of rows is lightest is a linear question; asked of the same images, it is answered."""

    def lightest(pixels):
        bands = pixels[:, 1:31].reshape(len(pixels), 10, -1)
        return bands.mean(2).argmax(1).astype(np.uint8)

    easy = attrs.evolve(
        images, train_labels=lightest(images.train_images), test_labels=lightest(images.test_images)
    ).take(2000)
    assert best_linear_accuracy(easy, steps=60)[0] > 0.6


def test_a_set_that_stays_drawn_cannot_be_changed_under_those_who_share_it():
    asked = Synthetic(train=20, test=10)
    first = asked.load()
    for array in (first.train_images, first.train_labels, first.test_images, first.test_labels):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0
    other = Synthetic(train=20, test=10, seed=1).load()
    again = asked.load()
    assert again.digest == first.digest != other.digest
    np.testing.assert_array_equal(again.train_images, first.train_images)
