import subprocess
import sys

import h5py
import numpy as np
import pytest

from optiscope.errors import FileError, UsageError
from optiscope.storage import open_grid, open_run, verify


def test_a_run_says_what_it_is(make):
    run = make(43)
    with open_run(str(run.path)) as found:
        assert found.path == run.path
        assert found.run_id == "adam-b150-0123"
        assert (found.status, found.n_steps, found.n_epochs) == ("running", 40, 2)
        assert (found.first_bad_step, found.why) == (None, "")
        assert found.config["model"] == "small-cnn"
        assert found.versions == {"numpy": "2.4"}
        assert found.attrs["batch_size"] == 150
        assert type(found.attrs["lr"]) is float
        assert list(found.plugins) == ["third-party"]
        assert repr(found) == "Run(adam-b150-0123, running, 40 steps)"
    assert not found.h5


def test_nothing_can_be_written_through_a_reader(make):
    with open_run(make(20).path) as run:
        with pytest.raises(ValueError, match="read-only"):
            run.steps["loss"][0] = 1
        with pytest.raises(TypeError):
            run.steps["loss"] = 1


@pytest.mark.parametrize(
    ("look", "said"),
    [
        (lambda run: run.steps["los"], "no /step/los: there are accuracy"),
        (lambda run: run.steps["../epoch/epoch"], "no /step/../epoch/epoch"),
        (lambda run: run.plugins["nobody"], "nothing of 'nobody': there are third-party"),
    ],
)
def test_a_name_that_is_not_there_is_a_key_error_that_lists_what_is(make, look, said):
    with open_run(make(1).path) as run, pytest.raises(KeyError, match=said):
        look(run)


def test_refresh_follows_a_run_to_its_end(make, kit):
    run = make(20)
    with open_run(run.path) as found:
        assert found.steps["loss"].shape == (20,)
        list(kit.drive(run.writer, run.info, run.signals, range(21, 41)))
        assert found.steps["loss"].shape == (20,)
        found.refresh()
        assert found.steps["loss"].shape == (40,)
        assert found.epochs["histograms"].shape == (2, 3, 64)
        run.writer.finish(kit.result(run.info, 40, "interrupted", why="asked to stop"))
        assert found.status == "running"
        found.refresh()
        assert (found.status, found.why) == ("interrupted", "asked to stop")


@pytest.mark.parametrize("finished", [False, True])
def test_data_frame_and_tree_show_the_committed_rows(make, kit, finished):
    run = make(60)
    if finished:
        run.writer.finish(kit.result(run.info, 60))
    expected = kit.expected(run.info, run.signals, 60, 3)
    with open_run(run.path) as found:
        frame, tree = found.to_dataframe(), found.tree()
    assert frame.index.name == "step"
    assert list(frame.index) == list(range(1, 61))
    np.testing.assert_array_equal(frame["loss"], expected["step/loss"])
    np.testing.assert_array_equal(frame["grad_norm/out.weight"], expected["step/grad_norm"][:, 2])
    for name, rows in expected.items():
        np.testing.assert_array_equal(tree[name], rows, err_msg=name)
    assert tree["epoch/histograms"].dims == ("epoch", "param", "bin")
    assert tree["probe"].sizes["step"] == 2
    assert float(tree["step/grad_norm"].sel(step=7, param="conv1.bias")) == expected["step/grad_norm"][6, 1]
    assert tree.attrs["run_id"] == "adam-b150-0123"


@pytest.mark.parametrize(("method", "package"), [("to_dataframe", "pandas"), ("tree", "xarray")])
def test_a_missing_package_is_named_with_its_extra(make, monkeypatch, method, package):
    monkeypatch.setitem(sys.modules, package, None)
    with open_run(make(1).path) as run, pytest.raises(UsageError, match=rf"{package}.*extra .readers."):
        getattr(run, method)()


def foreign(path):
    with h5py.File(path, "w") as file:
        file["x"] = 1


def newer(path):
    with h5py.File(path, "w") as file:
        file["run_state"] = [0, 0, 0, 0]
        file.attrs["schema_version"] = 2


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (lambda path: None, "there is no run file"),
        (lambda path: path.mkdir(), "is a folder: give one run file"),
        (lambda path: path.write_text("not HDF5"), "not an HDF5 file, or is damaged"),
        (lambda path: path.write_bytes(b""), "not an HDF5 file, or is damaged"),
        (foreign, "an HDF5 file, but not a run file of optiscope"),
        (newer, "has schema version 2 and this optiscope knows 1: install a newer optiscope"),
    ],
)
@pytest.mark.parametrize("use", [open_run, verify])
def test_what_is_not_a_run_is_refused_in_a_sentence(tmp_path, write, said, use):
    path = tmp_path / "run.h5"
    write(path)
    with pytest.raises(FileError, match=said) as raised:
        use(path)
    assert str(path) in str(raised.value)


def test_a_file_cut_short_is_refused(make, kit):
    run = make(95)
    run.writer.finish(kit.result(run.info, 95))
    run.path.write_bytes(run.path.read_bytes()[:-100])
    with pytest.raises(FileError, match="damaged"):
        open_run(run.path)


def test_a_file_that_somebody_holds_open_without_locks_opens(make):
    run = make(20)
    with h5py.File(run.path, "r", locking=False), open_run(run.path) as found:
        assert found.n_steps == 20


def change_data(file):
    file["step/loss"][3] += 1


def change_attribute(file):
    file["step/loss"].attrs["units"] = "bits"


def change_string(file):
    file["param"][0] = "conv1.weighs"


def change_root(file):
    file.attrs["seed"] = 4


def change_name(file):
    file.move("step/loss", "step/lost")


def change_scale(file):
    file["step/grad_norm"].dims[1].detach_scale(file["param"])


@pytest.mark.parametrize(
    "change", [change_data, change_attribute, change_string, change_root, change_name, change_scale]
)
def test_verify_sees_every_change(make, kit, change):
    run = make(30)
    assert verify(run.path).intact is None
    run.writer.finish(kit.result(run.info, 30))
    assert verify(run.path).intact is True
    with h5py.File(run.path, "r+") as file:
        change(file)
    found = verify(run.path)
    assert found.intact is False
    assert "SHA-256" in found.why


def test_verify_sees_a_flipped_bit_in_a_chunk(make, kit):
    run = make(95)
    run.writer.finish(kit.result(run.info, 95))
    with h5py.File(run.path, "r") as file:
        at = file["probe/logits"].id.get_chunk_info(0).byte_offset
    data = bytearray(run.path.read_bytes())
    data[at + 100] ^= 4
    run.path.write_bytes(data)
    found = verify(run.path)
    assert found.intact is False
    assert "cannot be read" in found.why


def test_a_grid_lists_its_runs_and_loads_one_signal_of_each(make, kit, tmp_path):
    make(20, "runs/a.h5", run_id="a", seed=0)
    finished = make(95, "runs/b.h5", run_id="b", seed=1)
    finished.writer.finish(kit.result(finished.info, 95))
    (tmp_path / "runs" / "c.h5").write_text("damaged")
    for folder in (tmp_path, tmp_path / "runs"):
        grid = open_grid(folder)
        assert [row["status"] for row in grid.runs] == ["running", "completed", "unreadable"]
        assert [row.get("seed") for row in grid.runs] == [0, 1, None]
        assert grid.runs[1]["path"] == finished.path
        assert "damaged" in grid.runs[2]["why"]
        assert {name: rows.shape for name, rows in grid.load("loss").items()} == {"a": (20,), "b": (95,)}
    assert list(grid.load("val_loss")["b"]) == [1.5 / epoch for epoch in range(1, 6)]
    assert grid.load("probe/logits")["b"].shape == (3, 256, 10)
    assert grid.load("plugins/third-party/spread")["a"].shape == (20, 3)
    with pytest.raises(UsageError, match="did you mean 'val_loss'"):
        grid.load("valloss")


def test_a_grid_needs_a_folder(tmp_path):
    with pytest.raises(FileError, match="there is no folder"):
        open_grid(tmp_path / "nothing")


def test_importing_storage_is_light():
    code = "import sys, optiscope.storage; print([m for m in ('h5py', 'pandas', 'xarray') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "[]\n"


def test_a_status_that_nobody_gives_is_damage(make):
    run = make(10)
    run.writer.close()
    with h5py.File(run.path, "r+") as file:
        file["run_state"][2] = 99
    with pytest.raises(FileError, match="is damaged"):
        open_run(run.path)


def test_the_time_of_observers_is_known_when_the_run_has_ended(make, kit):
    run = make(20)
    with open_run(run.path) as opened:
        assert opened.observer_time == {}
    took = {"recorder step": 0.5, "writer": 0.25, "hooks of nobody": 3.0}
    run.writer.finish(kit.result(run.info, 20, observer_time=took))
    with open_run(run.path) as opened:
        assert opened.observer_time == {"recorder step": 0.5, "writer": 0.25}
        assert opened.h5["observer_time"].attrs["units"] == "s"
    assert verify(run.path).intact is True


def test_a_file_from_before_observers_were_timed_has_none(make, kit):
    run = make(20)
    run.writer.finish(kit.result(run.info, 20))
    with h5py.File(run.path, "r+") as file:
        del file["observer_time"]
    with open_run(run.path) as opened:
        assert opened.observer_time == {}
