import numpy as np
import pytest

from optiscope.data import Batches
from optiscope.errors import UsageError


def indices(batches, k):
    """Every batch of epoch k as an array of image numbers, in the order seen."""
    return [np.arange(batches.samples)[batch] for batch in batches.epoch(k)]


def of(order, samples, batch_size, seed=7):
    return Batches(order, samples, batch_size, np.random.SeedSequence(seed))


@pytest.mark.parametrize("order", ["paper", "reshuffle"])
@pytest.mark.parametrize(("samples", "batch_size", "steps"), [(100, 10, 10), (103, 10, 10), (9, 10 - 1, 1), (5, 1, 5)])
def test_every_epoch_has_only_whole_batches_and_no_image_twice(order, samples, batch_size, steps):
    batches = of(order, samples, batch_size)
    seen = indices(batches, 3)
    assert batches.steps_per_epoch == len(seen) == steps
    assert all(len(batch) == batch_size for batch in seen)
    assert len(np.unique(np.concatenate(seen))) == steps * batch_size


def test_paper_batches_are_cut_once_in_file_order():
    batches = of("paper", 103, 10)
    cut = {tuple(range(start, start + 10)) for start in range(0, 100, 10)}
    for k in range(5):
        assert {tuple(batch) for batch in indices(batches, k)} == cut


def test_paper_shuffles_the_order_of_the_batches_every_epoch():
    batches = of("paper", 200, 10)
    first = [tuple(batch[0] for batch in indices(batches, k)) for k in range(20)]
    assert len(set(first)) == 20
    assert tuple(range(0, 200, 10)) not in first


def test_reshuffle_deals_all_images_anew():
    batches = of("reshuffle", 103, 10)
    members = [{frozenset(batch.tolist()) for batch in indices(batches, k)} for k in range(5)]
    assert not members[0] & members[1]
    assert set().union(*(set(np.concatenate(indices(batches, k)).tolist()) for k in range(5))) == set(range(103))


@pytest.mark.parametrize("order", ["paper", "reshuffle"])
def test_an_epoch_depends_on_the_seed_and_its_number_alone(order):
    batches = of(order, 60, 7)
    alone = indices(of(order, 60, 7), 4)
    for k in range(4):
        batches.epoch(k)
    np.testing.assert_array_equal(indices(batches, 4), alone)
    assert not np.array_equal(indices(of(order, 60, 7, seed=8), 4), alone)


def test_the_generator_of_epoch_k_is_that_of_the_kth_spawned_child():
    seed = np.random.SeedSequence(5).spawn(3)[2]
    batches = Batches("reshuffle", 23, 20, seed)
    child = np.random.SeedSequence(5).spawn(3)[2].spawn(4)[3]
    np.testing.assert_array_equal(batches.epoch(3), [np.random.default_rng(child).permutation(23)[:20]])


def test_every_position_of_a_batch_is_equally_likely():
    """Chi-square over 2,000 epochs of 5 batches: the 99.9 % point for 4 degrees of freedom is 18.5."""
    batches = of("paper", 5, 1)
    first = np.bincount([batches.epoch(k)[0].start for k in range(2000)], minlength=5)
    assert ((first - 400) ** 2 / 400).sum() < 18.5


def test_paper_batches_are_slices_that_copy_nothing():
    images = np.zeros((40, 2))
    assert all(np.shares_memory(images[batch], images) for batch in of("paper", 40, 10).epoch(0))


def test_a_batch_larger_than_the_data_is_refused_with_both_numbers():
    with pytest.raises(UsageError, match="a batch of 11 is larger than the 10 training images"):
        of("paper", 10, 11)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("paper", 10, 0), "batch_size must be .* not 0"),
        (("sorted", 10, 1), "must be paper or reshuffle, not 'sorted'"),
    ],
)
def test_other_nonsense_is_refused(arguments, message):
    with pytest.raises(UsageError, match=message):
        of(*arguments)
