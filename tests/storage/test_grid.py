"""The index of a folder: a cache of what the run files say, and never more."""

import os

import h5py
import numpy as np
import pytest
import xarray

from optiscope.errors import FileError
from optiscope.storage import grid, open_grid, write_index


@pytest.fixture
def folder(make, kit, tmp_path):
    """Two runs that have ended, one that has not, and a file that is none."""
    for seed in range(2):
        run = make(95, f"runs/{seed}.h5", run_id=f"run-{seed}", seed=seed)
        run.writer.finish(kit.result(run.info, 95, ["completed", "diverged"][seed]))
    make(20, "runs/2.h5", run_id="run-2", seed=2)
    (tmp_path / "runs" / "3.h5").write_text("damaged")
    return tmp_path


def opened(monkeypatch):
    """Return the list of run files that are opened from now on."""
    found, original = [], grid.summary
    monkeypatch.setattr(grid, "summary", lambda path: found.append(path.name) or original(path))
    return found


def test_with_an_index_the_runs_are_the_same_and_few_files_are_opened(folder, monkeypatch):
    before = open_grid(folder).runs
    assert [row["status"] for row in before] == ["completed", "diverged", "running", "unreadable"]
    path = write_index(folder)
    assert path == folder / "index.h5"
    looked = opened(monkeypatch)
    assert open_grid(folder).runs == before
    assert looked == ["2.h5", "3.h5"]
    assert open_grid(folder / "runs").runs == before


def test_a_row_says_what_tells_its_run_from_others(folder, make, kit):
    asked = {"optimizer_options": {"beta1": 0.8, "betas": (1, 2)}, "model": "m", "reduction": "sum", "data": "here"}
    run = make(5, "runs/4.h5", run_id="run-4", **asked)
    run.writer.finish(kit.result(run.info, 5))
    expected = {"options": {"beta1": 0.8, "betas": [1, 2]}, "model": "m", "reduction": "sum", "data": "here"}
    for _ in range(2):  # from the file, and from the index
        row = open_grid(folder).runs[4]
        assert {name: row[name] for name in expected} == expected
        write_index(folder)


@pytest.mark.parametrize("config", ["{", "[1]", "null", '{"optimizer_options": 3}'])
def test_what_a_file_does_not_tell_is_empty(folder, config):
    with h5py.File(folder / "runs" / "0.h5", "r+") as file:
        file.attrs["config_json"] = config
    row = open_grid(folder).runs[0]
    assert (row["run_id"], row["options"], row["model"]) == ("run-0", {}, "")


def test_a_file_that_was_changed_since_is_read(folder, make, kit, monkeypatch):
    write_index(folder)
    (folder / "runs" / "0.h5").unlink()
    run = make(40, "runs/0.h5", run_id="another", seed=7)
    run.writer.finish(kit.result(run.info, 40))
    os.utime(folder / "runs" / "1.h5")
    looked = opened(monkeypatch)
    rows = open_grid(folder).runs
    assert looked == ["0.h5", "1.h5", "2.h5", "3.h5"]
    assert (rows[0]["run_id"], rows[0]["seed"], rows[0]["n_steps"]) == ("another", 7, 40)


def test_files_come_and_go_whatever_the_index_says(folder):
    write_index(folder)
    (folder / "runs" / "0.h5").rename(folder / "runs" / "9.h5")
    assert [row["path"].name for row in open_grid(folder).runs] == ["1.h5", "2.h5", "3.h5", "9.h5"]


def test_it_is_a_table_for_every_reader(folder):
    write_index(folder)
    with h5py.File(folder / "index.h5", "r") as file:
        assert set(file) == set(grid.COLUMNS)
        assert file.attrs["index_version"] == grid.INDEX_VERSION == 2
        assert list(file["path"].asstr()) == ["runs/0.h5", "runs/1.h5"]
        assert all(isinstance(file.get(name, getlink=True), h5py.HardLink) for name in file)
    with xarray.open_dataset(folder / "index.h5", engine="h5netcdf") as table:
        frame = table.to_dataframe()
    assert list(frame.index) == ["run-0", "run-1"]
    assert list(frame["status"]) == ["completed", "diverged"]
    assert frame["seed"].dtype == np.int64


def test_an_empty_folder_has_an_empty_index(tmp_path):
    write_index(tmp_path)
    assert open_grid(tmp_path).runs == []


def test_a_folder_that_cannot_be_written_is_named(folder, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(grid.files, "publish", full)
    with pytest.raises(FileError, match=r"index\.h5.*free some space"):
        write_index(folder)


def test_its_columns_are_those_of_the_page():
    from pathlib import Path

    page = (Path(__file__).parents[2] / "docs" / "data-format.md").read_text()
    section = page.partition("## Many runs")[2].partition("## Damage")[0]
    assert all(f"`/{name}`" in section for name in grid.COLUMNS)
