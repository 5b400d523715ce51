"""The digest of a run file comes out of what is meant as it does out of what HDF5 made of it."""

import io

import attrs
import h5py
import numpy as np
import pytest

from optiscope.storage import content, image, schema


def finished(info, signals):
    """Return the descriptions, root attributes and values of a finished file, all its values zero."""
    layout = schema.layout(info, signals)
    values = {d.path: np.zeros(d.shape, d.dtype) for d in layout if d.dtype != "str" and d.values is None}
    return layout, schema.root_attributes(info) | {"why": "", "first_bad_step": -1}, values


def opened(data):
    return h5py.File(io.BytesIO(data), "r")


@pytest.mark.parametrize("first", ["a", "", "é" * 300])
def test_what_is_meant_is_what_is_read(info, signals, first):
    info = attrs.evolve(info, class_names=(first, *info.class_names[1:]), optimizer=first)
    layout, root, values = finished(info, signals)
    meant = content.digest_meant(layout, root, values)
    with opened(image.build_finished(layout, root, values)) as file:
        assert content.digest_read(file) == meant == file.attrs[content.DIGEST]


def test_a_live_file_of_the_same_says_the_same(info, signals):
    """Whatever the bytes, chunks and order are, which differ between the two images."""
    layout, root, values = finished(info, signals)
    values = {d.path: np.full(d.shape, d.fill, d.dtype) for d in layout if d.path in values}
    with opened(image.build_live(layout, root).data) as file:
        assert content.digest_read(file) == content.digest_meant(layout, root, values)
