import hashlib

import attrs
import numpy as np
import pytest

from optiscope.data import Images, to_batch
from optiscope.errors import DataError, UsageError


def images(train=6, test=3, classes=4):
    rng = np.random.default_rng(1)
    return Images(
        class_names=tuple("abcd"[:classes]),
        train_images=rng.integers(0, 256, (train, 32, 32, 3), dtype=np.uint8),
        train_labels=np.arange(train, dtype=np.uint8) % 4,
        test_images=rng.integers(0, 256, (test, 32, 32, 3), dtype=np.uint8),
        test_labels=np.arange(test, dtype=np.uint8) % 4,
    )


def test_to_batch_divides_by_255():
    pixels = np.arange(256, dtype=np.uint8).reshape(2, 8, 16, 1)
    assert to_batch(pixels).dtype == np.float32
    np.testing.assert_array_equal(to_batch(pixels, np.float64).ravel(), np.arange(256) / 255)
    np.testing.assert_allclose(to_batch(pixels).ravel(), np.arange(256) / 255, rtol=1e-7)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_to_batch_fills_the_buffer_that_it_is_given(dtype):
    pixels = np.full((2, 4, 4, 3), 51, dtype=np.uint8)
    out = np.empty(pixels.shape, dtype=dtype)
    assert to_batch(pixels, out=out) is out
    np.testing.assert_array_equal(out, dtype(51) / dtype(255))


def test_digest_is_the_hash_of_header_labels_and_images():
    some = images()
    expected = hashlib.sha256(
        b"6\n3\na\nb\nc\nd"
        + some.train_labels.tobytes()
        + some.train_images.tobytes()
        + some.test_labels.tobytes()
        + some.test_images.tobytes()
    ).hexdigest()
    assert some.digest == expected


@pytest.mark.parametrize("split", ["train_images", "train_labels", "test_images", "test_labels"])
def test_one_changed_byte_changes_the_digest(split):
    some = images()
    array = getattr(some, split).copy()
    array.flat[1] ^= 1
    assert attrs.evolve(some, **{split: array}).digest != some.digest


def test_class_names_change_the_digest():
    some = images()
    assert attrs.evolve(some, class_names="abce").digest != some.digest


def test_digest_is_the_same_for_equal_images():
    assert images().digest == images().digest


def test_take_gives_the_first_images_and_leaves_the_test_images():
    some = images()
    few = some.take(2)
    np.testing.assert_array_equal(few.train_images, some.train_images[:2])
    np.testing.assert_array_equal(few.train_labels, [0, 1])
    np.testing.assert_array_equal(few.test_images, some.test_images)
    assert few.digest != some.digest


@pytest.mark.parametrize("everything", [None, 6])
def test_take_of_everything_is_the_same_object(everything):
    some = images()
    assert some.take(everything) is some


@pytest.mark.parametrize("count", [0, -1, 7])
def test_take_refuses_more_than_there_are(count):
    with pytest.raises(UsageError, match=rf"{count} training images were asked for and the data set has 6"):
        images().take(count)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train_images": np.zeros((6, 3, 32, 32), np.uint8)}, r"train_images must be contiguous uint8 .* \(6, 3, 32"),
        ({"test_images": np.zeros((3, 32, 32, 3), np.float32)}, "test_images must be contiguous uint8 .* float32"),
        ({"test_images": np.zeros((3, 3, 32, 32), np.uint8).transpose(0, 2, 3, 1)}, "must be contiguous"),
        ({"train_labels": np.zeros(5, np.uint8)}, r"train_labels must be uint8 of shape \[6\], not uint8 \(5,\)"),
        ({"test_labels": np.zeros(3, np.int64)}, r"test_labels must be uint8 of shape \[3\], not int64"),
        ({"train_labels": np.array([0, 1, 2, 3, 4, 0], np.uint8)}, r"train_labels\[4\] is 4, but there are 4 class"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(change, message):
    with pytest.raises(DataError, match=message):
        attrs.evolve(images(), **change)


def test_images_are_frozen():
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        images().class_names = ()
