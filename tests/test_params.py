import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optiscope.params import Parameters

SHAPES = {"conv.weight": (2, 3), "conv.bias": (2,), "scale": ()}


def test_views_cut_the_buffer_in_order():
    params = Parameters(SHAPES, flat=np.arange(9.0))
    assert params.names == tuple(params) == ("conv.weight", "conv.bias", "scale")
    np.testing.assert_array_equal(params["conv.weight"], [[0, 1, 2], [3, 4, 5]])
    np.testing.assert_array_equal(params["conv.bias"], [6, 7])
    assert params["scale"] == 8
    assert len(params) == 3


def test_views_and_buffer_are_the_same_memory():
    params = Parameters(SHAPES)
    params["conv.bias"][1] = 5
    assert params.flat[7] == 5
    params.flat -= 1
    assert params["conv.bias"].tolist() == [-1, 4]


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex128])
def test_a_new_buffer_is_zeros_of_the_dtype(dtype):
    params = Parameters(SHAPES, dtype)
    assert params.dtype == params.flat.dtype == dtype
    assert not params.flat.any()
    assert params.flat.size == 9


def test_float32_is_the_default():
    assert Parameters(SHAPES).dtype == np.float32


@pytest.mark.parametrize("flat", [np.zeros(8), np.zeros(10), np.zeros((9, 1)), np.zeros(18)[::2]])
def test_a_buffer_that_does_not_fit_is_refused(flat):
    with pytest.raises(ValueError, match="flat must be 1-D, contiguous and hold 9 values"):
        Parameters(SHAPES, flat=flat)


def test_from_arrays_copies():
    source = {"b": np.arange(3), "a": [[1.5]]}
    params = Parameters.from_arrays(source, np.float64)
    assert params.names == ("b", "a")
    np.testing.assert_array_equal(params.flat, [0, 1, 2, 1.5])
    params["b"][0] = 9
    assert source["b"][0] == 0


def test_like_shares_the_buffer_that_it_is_given():
    params = Parameters(SHAPES)
    flat = np.zeros(9)
    other = params.like(flat)
    flat[8] = 3
    assert other["scale"] == 3
    assert other.shapes == params.shapes
    assert not params.flat.any()


def test_zeros_and_copy_have_buffers_of_their_own():
    params = Parameters(SHAPES, flat=np.arange(9.0))
    copy, zeros = params.copy(), params.zeros()
    params.flat += 1
    np.testing.assert_array_equal(copy.flat, np.arange(9))
    np.testing.assert_array_equal(zeros.flat, np.zeros(9))
    assert zeros.dtype == copy.dtype == np.float64
    np.testing.assert_array_equal(copy["conv.bias"], [6, 7])


def test_astype_copies_even_to_the_same_dtype():
    params = Parameters(SHAPES, flat=np.arange(9.0))
    for dtype in (np.float64, np.float32):
        other = params.astype(dtype)
        assert other.dtype == dtype
        np.testing.assert_array_equal(other.flat, params.flat)
        assert not np.shares_memory(other.flat, params.flat)


def test_readonly_is_a_view_through_which_nothing_is_written():
    params = Parameters(SHAPES)
    view = params.readonly()
    for array in (view.flat, view["conv.weight"], view["scale"]):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 1
    params.flat += 2
    assert view["conv.bias"].tolist() == [2, 2]


def test_shapes_are_a_copy():
    params = Parameters(SHAPES)
    params.shapes.clear()
    assert params.shapes == SHAPES


def test_an_unknown_name_is_a_key_error():
    with pytest.raises(KeyError, match="nowhere"):
        Parameters(SHAPES)["nowhere"]


def test_repr_says_how_large():
    assert repr(Parameters(SHAPES)) == "Parameters(3 arrays, 9 values, float32)"


@given(st.dictionaries(st.text("a./ é\0"), st.lists(st.integers(0, 4), max_size=3).map(tuple), max_size=5))
def test_any_layout_covers_the_buffer_once(shapes):
    params = Parameters(shapes)
    for number, array in enumerate(params.values(), 1):
        array += number
    expected = [number for number, shape in enumerate(shapes.values(), 1) for _ in range(int(np.prod(shape)))]
    assert params.flat.tolist() == expected
    assert params.shapes == shapes
