"""Groups as tables, in memory and in files."""

import csv

import numpy as np
import pandas as pd
import pytest

from optiscope.errors import UsageError
from optiscope.storage import open_run
from optiscope.storage.table import export, groups


@pytest.fixture(params=[False, True], ids=["live", "finished"])
def run(request, make, kit):
    run = make(60)
    if request.param:
        run.writer.finish(kit.result(run.info, 60))
    with open_run(run.path) as found:
        yield found, kit.expected(run.info, run.signals, 60, 3)


def test_columns_are_the_committed_rows_spread_over_their_axes(run):
    found, expected = run
    steps = found.columns()
    assert next(iter(steps)) == "step"
    np.testing.assert_array_equal(steps["step"], np.arange(1, 61))
    np.testing.assert_array_equal(steps["grad_norm/out.weight"], expected["step/grad_norm"][:, 2])
    assert {len(values) for values in steps.values()} == {60}
    probe = found.columns("probe")
    assert next(iter(probe)) == "step"
    np.testing.assert_array_equal(probe["logits/255/j"], expected["probe/logits"][:, 255, 9])
    epochs = found.columns("epoch")
    np.testing.assert_array_equal(epochs["histograms/conv1.bias/3"], expected["epoch/histograms"][:, 1, 3])
    assert "byte" not in epochs


def test_groups_that_make_no_table_are_named(run):
    found, _ = run
    assert groups(found) == ["step", "probe", "epoch", "plugins/third-party"]
    with pytest.raises(UsageError, match=r"unknown group of .*'stop': did you mean 'step'"):
        found.columns("stop")
    assert list(found.columns("/step/")) == list(found.columns("step"))
    for name in ("", "/", "..", "step/loss", "plugins"):
        with pytest.raises(UsageError, match="unknown group of"):
            found.columns(name)
    with pytest.raises(UsageError, match="plugins/third-party has the schedules epoch, step_1, step_7"):
        found.columns("plugins/third-party")


@pytest.mark.parametrize("group", ["step", "probe", "epoch"])
@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_files_hold_what_the_table_holds(run, tmp_path, group, ending):
    found, _ = run
    path = tmp_path / f"table{ending}"
    export(found, path, group)
    columns = found.columns(group)
    read = pd.read_csv(path) if ending == ".csv" else pd.read_parquet(path)
    assert list(read) == list(columns)
    for name, values in columns.items():
        np.testing.assert_array_equal(read[name].to_numpy().astype(values.dtype), values, err_msg=name)
        assert ending == ".csv" or read[name].dtype == values.dtype


def test_csv_is_plain(run, tmp_path):
    found, _ = run
    export(found, tmp_path / "table.csv", "epoch")
    with (tmp_path / "table.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert len(rows) == 4
    assert rows[1][:2] == ["1", "20"]


def test_another_ending_is_refused(run, tmp_path):
    with pytest.raises(UsageError, match=r"table\.xlsx does not end in \.csv or \.parquet"):
        export(run[0], tmp_path / "table.xlsx")


def test_without_pyarrow_parquet_names_the_extra_and_csv_works(run, tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(UsageError, match=r"this needs pyarrow.*extra .readers."):
        export(run[0], tmp_path / "table.parquet")
    export(run[0], tmp_path / "table.csv")
    assert not (tmp_path / "table.parquet").exists()
