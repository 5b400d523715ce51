"""What `recover` saves, and what it says is lost."""

import json
import os

import h5py
import numpy as np
import pytest

from optiscope.errors import FileError, UsageError
from optiscope.storage import RunWriter, checkpoint, open_run, recover, verify
from optiscope.storage.files import holder


def left(make, steps=60):
    run = make(steps)
    run.writer.close()
    return run


def finish(make, kit, steps=60):
    run = make(steps)
    run.writer.finish(kit.result(run.info, steps))
    return run


def test_a_live_file_becomes_a_finished_one_with_the_same_rows(make, kit):
    run = left(make, 57)
    checkpoint.path_of(run.path).write_bytes(b"of no more use")
    found = recover(run.path)
    assert (found.path, found.n_steps, found.n_epochs, found.lost) == (run.path, 57, 2, ())
    assert verify(run.path).intact
    assert not checkpoint.path_of(run.path).exists()
    with open_run(run.path) as saved:
        assert (saved.status, saved.n_steps, saved.why) == ("interrupted", 57, "its process ended before the run did")
        assert saved.attrs["wall_time"] == pytest.approx(0.57)
        for name, rows in kit.expected(run.info, run.signals, 57, 2).items():
            np.testing.assert_array_equal(saved.h5[name][()], rows, err_msg=name)
        assert saved.h5["step/loss"].compression == "gzip"


def test_it_is_the_file_that_the_writer_would_have_made(make, kit, tmp_path):
    run = left(make)
    recover(run.path)
    ended = make(60, "ended.h5")
    ended.writer.finish(kit.result(ended.info, 60, "interrupted", why="its process ended before the run did"))
    with h5py.File(run.path) as one, h5py.File(ended.path) as other:
        names = []
        other.visit(names.append)
        for name in names:
            assert {k: str(v) for k, v in one[name].attrs.items() if not k.endswith("_LIST")} == {
                k: str(v) for k, v in other[name].attrs.items() if not k.endswith("_LIST")
            }
            if isinstance(other[name], h5py.Dataset):
                assert (one[name].dtype, one[name].chunks) == (other[name].dtype, other[name].chunks), name
                if name not in ("run_state", "observer_time"):
                    assert one[name][()].tobytes() == other[name][()].tobytes() or one[name].dtype.kind == "O", name
        assert set(one.attrs) == set(other.attrs)


@pytest.mark.parametrize(
    "value", [["a", "bc"], np.arange(3), np.float32(0.5), np.bytes_(b"x"), np.array([True, False]), np.True_]
)
def test_what_others_noted_in_it_is_kept(make, value):
    run = left(make)
    with h5py.File(run.path, "r+") as file:
        file["step/loss"].attrs["theirs"] = file.attrs["theirs"] = value
    recover(run.path)
    assert verify(run.path).intact
    with h5py.File(run.path) as file:
        for item in (file, file["step/loss"]):
            np.testing.assert_array_equal(item.attrs["theirs"], value)


def test_after_an_epoch_its_digest_is_that_of_the_run(make):
    run = left(make)
    recover(run.path)
    with open_run(run.path) as saved:
        assert saved.attrs["digest"] == f"{3:064x}"


def test_elsewhere_it_leaves_the_file_as_it_was(make, tmp_path):
    run = left(make)
    before = run.path.read_bytes()
    assert recover(run.path, tmp_path / "saved.h5").path == tmp_path / "saved.h5"
    assert verify(tmp_path / "saved.h5").intact
    assert run.path.read_bytes() == before


def test_a_run_that_is_being_written_is_left_alone(make):
    run = make(60)
    with pytest.raises(FileError, match=rf"another process is writing .* \(process {os.getpid()} on"):
        recover(run.path)
    assert verify(run.path).intact is None


@pytest.mark.parametrize("to", [None, "saved.h5"])
def test_a_run_that_is_being_written_is_not_copied_either_and_a_link_hides_it_not(make, tmp_path, to):
    run = make(60)
    (tmp_path / "link.h5").symlink_to(run.path)
    assert holder(tmp_path / "link.h5").startswith(f"process {os.getpid()}")
    for path in (tmp_path / "link.h5", run.path):
        with pytest.raises(FileError, match=rf"another process is writing .* \(process {os.getpid()} on"):
            recover(path, to and tmp_path / to)
    assert not (tmp_path / "saved.h5").exists()
    assert (tmp_path / "link.h5").is_symlink()


def test_a_damaged_file_is_not_replaced_whatever_its_place_is_called(make, kit, tmp_path, monkeypatch):
    run = finish(make, kit)
    flip_in(run.path, "step/loss")
    before = run.path.read_bytes()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link.h5").symlink_to(run.path)
    for place in (run.path, "run.h5", tmp_path / ".." / tmp_path.name / "run.h5", "link.h5"):
        with pytest.raises(UsageError, match="a damaged file is not replaced"):
            recover(run.path, place)
    assert run.path.read_bytes() == before


def test_what_is_whole_has_nothing_to_recover(make, kit):
    run = finish(make, kit)
    before = run.path.read_bytes()
    with pytest.raises(UsageError, match="is whole: there is nothing to recover"):
        recover(run.path)
    assert run.path.read_bytes() == before


def flip_in(path, name, row=0):
    """Flip a bit in the chunk of a dataset that holds a row."""
    with h5py.File(path) as file:
        chunk = file[name].id.get_chunk_info(row // file[name].chunks[0])
    with path.open("r+b") as file:
        file.seek(chunk.byte_offset + chunk.size // 2)
        byte = file.read(1)[0]
        file.seek(-1, 1)
        file.write(bytes([byte ^ 16]))


def test_a_damaged_chunk_costs_its_rows_and_is_named(make, kit, tmp_path):
    run = finish(make, kit)
    flip_in(run.path, "step/loss")
    with pytest.raises(UsageError, match="a damaged file is not replaced: say with --to"):
        recover(run.path)
    found = recover(run.path, tmp_path / "saved.h5")
    assert found.lost == ("/step/loss rows 0 to 59",)
    assert verify(found.path).intact
    expected = kit.expected(run.info, run.signals, 60, 3)
    with open_run(found.path) as saved:
        assert saved.status == "completed"
        assert json.loads(saved.attrs["lost_json"]) == list(found.lost)
        assert np.isnan(saved.steps["loss"]).all()
        np.testing.assert_array_equal(saved.steps["grad_norm"], expected["step/grad_norm"])
    with pytest.raises(FileError, match="exists: choose another name"):
        recover(run.path, tmp_path / "saved.h5")


def test_a_damaged_scale_of_steps_is_counted_again(make, kit, tmp_path):
    run = finish(make, kit)
    flip_in(run.path, "plugins/third-party/step_7")
    found = recover(run.path, tmp_path / "saved.h5")
    with open_run(found.path) as saved:
        assert saved.plugins["third-party"]["step_7"].tolist() == list(range(1, 61, 7))


@pytest.mark.parametrize("finished", [False, True])
@pytest.mark.parametrize("share", [0.99, 0.5, 0.01])
def test_of_a_file_cut_short_nothing_can_be_saved_and_it_is_one_sentence(make, kit, tmp_path, share, finished):
    run = finish(make, kit) if finished else left(make)
    os.truncate(run.path, int(run.path.stat().st_size * share))
    with pytest.raises(FileError, match=r"run\.h5 is not an HDF5 file, or is damaged"):
        recover(run.path, tmp_path / "saved.h5")
    assert not (tmp_path / "saved.h5").exists()


def test_what_is_no_run_file_cannot_be_saved(tmp_path):
    with pytest.raises(FileError, match="there is no run file"):
        recover(tmp_path / "missing.h5")
    (tmp_path / "text.h5").write_text("not HDF5")
    with pytest.raises(FileError, match="is not an HDF5 file"):
        recover(tmp_path / "text.h5", tmp_path / "saved.h5")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = 1
    with pytest.raises(FileError, match="not a run file of optiscope"):
        recover(tmp_path / "other.h5", tmp_path / "saved.h5")
    assert not (tmp_path / "saved.h5").exists()


def test_no_room_leaves_the_live_file(make, kit, monkeypatch):
    from optiscope.storage import files

    run = left(make)
    before = run.path.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "write_at", full)
    with pytest.raises(FileError, match=r"run\.h5.*free some space"):
        recover(run.path)
    assert run.path.read_bytes() == before


def test_a_recovered_run_is_begun_anew(make, kit):
    run = left(make)
    recover(run.path)
    with RunWriter.take_up(run.path, run.info, run.signals) as writer:
        assert (writer.kept, writer.repeats) == (None, 60)
