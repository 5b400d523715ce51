"""What a run is taken up from comes back as it was, or not at all."""

import attrs
import numpy as np
import pytest

from optiscope.errors import FileError
from optiscope.records import Checkpoint
from optiscope.storage import checkpoint
from optiscope.whole import telling


@pytest.fixture
def kept(kit):
    rng = np.random.default_rng(0)
    return Checkpoint(
        run_id="adam-b150-0123",
        step=40,
        epochs=(kit.epoch_record(1, 20), attrs.evolve(kit.epoch_record(2, 40), val_loss=float("nan"))),
        params=rng.standard_normal(7).astype("f4"),
        state={"m": rng.standard_normal((2, 3)), "step count": np.array(3), "none": np.empty((0, 2), "f4")},
        memory={"gradient-angle": {"last": np.arange(3)}, "nothing": {}},
        generators=(np.random.default_rng(1).bit_generator.state, np.random.default_rng(2).bit_generator.state),
        wall_time=1.1,
        observer_time={"writer": 0.1},
    )


def test_everything_comes_back(tmp_path, kept):
    path = tmp_path / "run.state"
    checkpoint.write(path, kept)
    found = checkpoint.read(path)
    for name in ("run_id", "step", "wall_time", "observer_time", "generators"):
        assert getattr(found, name) == getattr(kept, name), name
    assert [str(record) for record in found.epochs] == [str(record) for record in kept.epochs]
    assert found.params.tobytes() == kept.params.tobytes()
    assert found.state.keys() == kept.state.keys()
    for name, array in kept.state.items():
        assert (found.state[name].dtype, found.state[name].shape) == (array.dtype, array.shape)
        np.testing.assert_array_equal(found.state[name], array)
    np.testing.assert_array_equal(found.memory["gradient-angle"]["last"], np.arange(3))
    np.random.default_rng().bit_generator.state = found.generators[1]
    assert list(tmp_path.iterdir()) == [path]


def test_a_flipped_bit_or_a_lost_end_is_no_checkpoint(tmp_path, kept):
    path = tmp_path / "run.state"
    checkpoint.write(path, kept)
    whole = path.read_bytes()
    for at in np.random.default_rng(0).integers(0, len(whole) * 8, 60):
        data = bytearray(whole)
        data[at // 8] ^= 1 << (at % 8)
        path.write_bytes(data)
        assert checkpoint.read(path) is None, at
    for length in (0, 10, 64, 65, len(whole) - 1):
        path.write_bytes(whole[:length])
        assert checkpoint.read(path) is None, length
    assert checkpoint.read(tmp_path / "missing.state") is None


def test_another_version_is_no_checkpoint(tmp_path, kept, monkeypatch):
    path = tmp_path / "run.state"
    monkeypatch.setattr(checkpoint, "VERSION", 2)
    checkpoint.write(path, kept)
    monkeypatch.undo()
    assert checkpoint.read(path) is None


def test_nothing_that_needs_pickle_is_written(tmp_path, kept):
    with pytest.raises(ValueError, match="allow_pickle"):
        checkpoint.write(tmp_path / "run.state", attrs.evolve(kept, state={"m": np.array([{}])}))
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_the_last_one(tmp_path, kept, monkeypatch):
    path = tmp_path / "run.state"
    checkpoint.write(path, kept)

    def full(descriptor, data, offset):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint.files, "write_at", full)
    with pytest.raises(FileError, match=r"run\.state.*free some space"), telling(path):
        checkpoint.write(path, attrs.evolve(kept, step=60))
    assert checkpoint.read(path).step == 40
