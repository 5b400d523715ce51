import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import attrs
import h5py
import numpy as np
import pytest

from optiscope.errors import FileError, PluginError
from optiscope.records import Signal
from optiscope.storage import RunWriter, image, open_run, verify


def contents(path):
    """Return (path -> values, path -> attributes) of a run file through its reader: what a user sees."""
    with open_run(path) as run:
        groups = {"step": run.steps, "probe": run.probe, "epoch": run.epochs}
        groups |= {f"plugins/{name}": rows for name, rows in run.plugins.items()}
        values = {f"{group}/{name}": array for group, rows in groups.items() for name, array in rows.items()}
        kept = lambda item: {k: v for k, v in item.attrs.items() if not k.endswith("_LIST")}  # noqa: E731
        return values, {name: kept(run.h5[name]) for name in values} | {"/": dict(run.attrs)}


def assert_shows(path, expected):
    values, _ = contents(path)
    for name, rows in expected.items():
        np.testing.assert_array_equal(values[name], rows, err_msg=name)
        assert values[name].dtype == rows.dtype, name


@pytest.mark.parametrize("steps", [0, 1, 10, 43, 44, 95])
def test_every_value_comes_back_live_and_finished(make, kit, steps):
    run = make(steps)
    n_steps, n_epochs = run.writer.committed
    assert n_steps >= steps - 9
    assert_shows(run.path, kit.expected(run.info, run.signals, n_steps, n_epochs))
    run.writer.finish(kit.result(run.info, steps))
    epochs = 5 if steps == 95 else steps // 20
    assert_shows(run.path, kit.expected(run.info, run.signals, steps, epochs))
    values, _ = contents(run.path)
    np.testing.assert_array_equal(values["step/step"], np.arange(1, steps + 1))
    np.testing.assert_array_equal(values["probe/step"], np.arange(1, steps + 1, 43))
    np.testing.assert_array_equal(values["plugins/third-party/step_7"], np.arange(1, steps + 1, 7))
    np.testing.assert_array_equal(values["epoch/epoch"], np.arange(1, epochs + 1))
    assert [row.tobytes().hex() for row in values["epoch/digest"]] == [f"{e:064x}" for e in range(1, epochs + 1)]
    assert verify(run.path).intact is True


def test_files_can_be_made_on_several_threads_at_once(make, kit):
    """An image that is half built on one thread does not stand in the way of another thread's."""
    with image._memory_file(image.LIVE), ThreadPoolExecutor(1) as threads:
        run = threads.submit(make, 3).result()
    run.writer.finish(kit.result(run.info, 3))
    assert verify(run.path).intact is True


def test_finishing_changes_nothing_but_what_is_said(make, kit):
    run = make(60)
    live_values, live_attributes = contents(run.path)
    run.writer.finish(kit.result(run.info, 60, "diverged", first_bad_step=61, why="loss is NaN"))
    values, attributes = contents(run.path)
    assert values.keys() == live_values.keys()
    for name, rows in live_values.items():
        np.testing.assert_array_equal(values[name], rows, err_msg=name)
    added = {key: attributes["/"].pop(key) for key in attributes["/"].keys() - live_attributes["/"].keys()}
    assert added.pop("content_sha256")
    assert added == {"why": "loss is NaN", "first_bad_step": 61, "wall_time": 1.25, "digest": "ab" * 32}
    assert attributes.keys() == live_attributes.keys()
    for name, found in attributes.items():
        np.testing.assert_equal(found, live_attributes[name], err_msg=name)


def test_a_finished_file_is_packed_and_cut_to_length(make, kit):
    run = make(50)
    live = run.path.stat().st_size
    run.writer.finish(kit.result(run.info, 50, "interrupted"))
    assert run.path.stat().st_size < live
    with h5py.File(run.path, "r") as file:
        item = file["probe/logits"]
        assert item.shape == (2, 256, 10)
        assert (item.compression, item.compression_opts, item.shuffle, item.fletcher32) == ("gzip", 4, True, True)
        assert file["step/loss"].shape == (50,)
        assert list(file["run_state"]) == [50, 2, 4, 8]
    assert os.listdir(run.path.parent) == ["run.h5"]


def test_large_datasets_are_cut_into_chunks_of_a_quarter_megabyte(tmp_path, info, kit):
    signals = {"big": (Signal("rows", (64, 256), "f4"),)}
    with RunWriter.create(tmp_path / "run.h5", info, signals) as writer:
        for step in range(1, 11):
            writer.write_step(step, kit.facts(step), {"big": {"rows": np.full((64, 256), step)}})
        writer.finish(kit.result(info, 10))
    with h5py.File(tmp_path / "run.h5", "r") as file:
        assert file["plugins/big/rows"].chunks == (4, 64, 256)
        np.testing.assert_array_equal(file["plugins/big/rows"][:, 5, 7], np.arange(1, 11))


def test_losses_that_are_not_finite_are_kept(make, kit):
    run = make(3)
    for step, loss in ((4, np.nan), (5, np.inf)):
        due = {name: {s.name: kit.value(s, 1) for s in some if s.due(step)} for name, some in run.signals.items()}
        due["step"]["logits_min"] = np.float64(-1e300)
        run.writer.write_step(step, kit.facts(step) | {"loss": loss}, due)
    run.writer.finish(kit.result(run.info, 5, "diverged", first_bad_step=4))
    with open_run(run.path) as found:
        assert found.n_steps == 5
        np.testing.assert_array_equal(found.steps["loss"][3:], [np.nan, np.inf])
        assert found.steps["logits_min"][3] == -np.inf
        assert (found.status, found.first_bad_step) == ("diverged", 4)


def test_commits_come_every_ten_steps_or_every_second(make, kit, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("optiscope.storage.writer.time.monotonic", lambda: clock[0])
    run = make(9)
    assert run.writer.committed == (0, 0)
    clock[0] = 1.5
    for _ in kit.drive(run.writer, run.info, run.signals, range(10, 11)):
        assert run.writer.committed == (10, 0)
    for step in kit.drive(run.writer, run.info, run.signals, range(11, 20)):
        assert run.writer.committed == (10, 0), step
    clock[0] = 2.6
    list(kit.drive(run.writer, run.info, run.signals, range(20, 21)))
    assert run.writer.committed == (20, 1)
    list(kit.drive(run.writer, run.info, run.signals, range(21, 23)))
    clock[0] = 3.7
    list(kit.drive(run.writer, run.info, run.signals, range(23, 24)))
    assert run.writer.committed == (23, 1)


def test_data_is_on_the_disk_before_the_record_that_vouches_for_it(make, kit, monkeypatch):
    run = make(19)
    calls = []
    state = run.writer._state_offset
    write, sync = os.pwrite, os.fsync
    monkeypatch.setattr(
        os, "pwrite", lambda f, data, at: calls.append("state" if at == state else "rows") or write(f, data, at)
    )
    monkeypatch.setattr(os, "fsync", lambda f: calls.append("sync") or sync(f))
    list(kit.drive(run.writer, run.info, run.signals, range(20, 21)))
    step_commit, epoch_commit = calls[: calls.index("state") + 1], calls[calls.index("state") + 1 :]
    assert set(step_commit[:-1]) == {"rows"}
    assert [call for i, call in enumerate(epoch_commit) if i == 0 or call != epoch_commit[i - 1]] == [
        "rows",
        "sync",
        "state",
        "sync",
    ]


def test_an_exception_in_the_middle_leaves_a_readable_file(tmp_path, info, signals, kit):
    def fail_at_47():
        with RunWriter.create(tmp_path / "run.h5", info, signals) as writer:
            for step in kit.drive(writer, info, signals, range(1, 95)):
                1 / (47 - step)

    with pytest.raises(ZeroDivisionError):
        fail_at_47()
    with open_run(tmp_path / "run.h5") as run:
        assert (run.n_steps, run.n_epochs, run.status, run.why) == (47, 2, "running", "")
    assert_shows(tmp_path / "run.h5", kit.expected(info, signals, 47, 2))
    assert os.listdir(tmp_path) == ["run.h5"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda due: due["third-party"].pop("spread"), "'third-party' gave no value for signal 'spread' at step 3"),
        (lambda due: due.pop("third-party"), "'third-party' gave no value for signal 'spread' at step 3"),
        (
            lambda due: due["third-party"].update(spread=np.zeros(2)),
            r"expected shape \(3,\) of type f8, got shape \(2,\)",
        ),
        (lambda due: due["third-party"].update(spread=0.0), r"expected shape \(3,\) of type f8, got shape \(\)"),
        (lambda due: due["third-party"].update(spread=["a", "b", "c"]), "got type <U1"),
        (lambda due: due["third-party"].update(spread=np.zeros(3, complex)), "got type complex128"),
        (lambda due: due["third-party"].update(spread=[[1], [1, 2], [3]]), "'spread'"),
        (lambda due: due["third-party"].update(extra=1), "recorded extra, which it did not declare"),
        (lambda due: due.update(nobody={"x": 1}), "'nobody' recorded x, which it did not declare"),
    ],
)
def test_a_value_that_was_not_declared_so_is_refused_and_the_step_left_out(make, kit, change, said):
    run = make(2)
    due = {name: {s.name: kit.value(s, 3) for s in some if s.due(3)} for name, some in run.signals.items()}
    change(due)
    with pytest.raises(PluginError, match=said):
        run.writer.write_step(3, kit.facts(3), due)
    run.writer.finish(kit.result(run.info, 2, "failed", why="recorder"))
    assert_shows(run.path, kit.expected(run.info, run.signals, 2, 0))
    with open_run(run.path) as found:
        assert (found.status, found.why) == ("failed", "recorder")


def test_a_float_is_not_cut_to_fit_an_integer(tmp_path, info, kit):
    with RunWriter.create(tmp_path / "run.h5", info, {"r": (Signal("n", dtype="i8"),)}) as writer:
        with pytest.raises(PluginError, match="type i8, got type float64"):
            writer.write_step(1, kit.facts(1), {"r": {"n": 1.5}})
        writer.write_step(1, kit.facts(1), {"r": {"n": True}})


@pytest.mark.parametrize("step", [0, 2, 4, 96])
def test_steps_come_in_order(make, kit, step):
    run = make(2)
    with pytest.raises(FileError, match=f"has 2 of 95 steps, and step {step} does not come next"):
        run.writer.write_step(step, kit.facts(1), {})


def test_a_closed_writer_takes_nothing_more(make, kit):
    run = make(2)
    run.writer.finish(kit.result(run.info, 2))
    run.writer.close()
    with pytest.raises(FileError, match="closed"):
        run.writer.write_step(3, kit.facts(3), {})
    with pytest.raises(FileError, match="closed"):
        run.writer.finish(kit.result(run.info, 2))


def test_a_model_without_images_is_recorded(tmp_path, info, kit):
    quadratic = attrs.evolve(info, probe_size=0, output="coordinates", outputs=2, class_names=())
    signals = kit.core(quadratic)
    with RunWriter.create(tmp_path / "run.h5", quadratic, signals) as writer:
        list(kit.drive(writer, quadratic, signals, range(1, 96)))
        writer.finish(kit.result(quadratic, 95))
    with open_run(tmp_path / "run.h5") as run:
        assert len(run.probe) == 0
        assert run.steps["logits_min"].shape == (95,)
        assert run.tree()["step"]["loss"].shape == (95,)


def test_an_existing_file_is_not_touched_unless_asked(make, signals, kit):
    run = make(20)
    run.writer.finish(kit.result(run.info, 20))
    before = run.path.read_bytes()
    with pytest.raises(FileError, match=r"run\.h5 exists: choose another folder"):
        RunWriter.create(run.path, run.info, signals)
    assert run.path.read_bytes() == before
    assert os.listdir(run.path.parent) == ["run.h5"]
    RunWriter.create(run.path, run.info, signals, overwrite=True).close()
    with open_run(run.path) as found:
        assert found.n_steps == 0


def test_only_one_process_writes_a_run(make, signals):
    run = make(20)
    with pytest.raises(FileError, match="another process is writing"):
        RunWriter.create(run.path, run.info, signals, overwrite=True)
    with open_run(run.path) as found:
        assert found.n_steps == 20


OPENERS = {
    "h5py": "import h5py; f = h5py.File(PATH, 'r'); assert f['run_state'][0] == STEPS; f['step/loss'][:]",
    "xarray": "import xarray; t = xarray.open_datatree(PATH); assert t['run_state'][0] == STEPS; t['step/loss'].load()",
    "h5netcdf": "import xarray; t = xarray.open_datatree(PATH, engine='h5netcdf'); assert t['probe/logits'].dims == "
    "('step', 'probe', 'class'); assert t['plugins/third-party/spread'].dims == ('step_1', 'layer'); t.load()",
}


@pytest.mark.parametrize("tool", OPENERS)
def test_common_tools_open_a_file_while_it_is_written_and_after(make, kit, tool):
    run = make(30)
    code = OPENERS[tool].replace("STEPS", "30").replace("PATH", json.dumps(str(run.path)))
    exec(code, {})
    run.writer.finish(kit.result(run.info, 30))
    exec(code, {})


def test_another_process_opens_a_file_while_it_is_written(make):
    run = make(30)
    code = "\n".join(OPENERS.values()).replace("STEPS", "30").replace("PATH", json.dumps(str(run.path)))
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, timeout=60)


def test_h5dump_reads_a_file_while_it_is_written_and_after(make, kit):
    if not shutil.which("h5dump"):
        pytest.skip("h5dump is not installed (Debian package hdf5-tools)")
    run = make(30)
    for end in (lambda: None, lambda: run.writer.finish(kit.result(run.info, 30))):
        end()
        dump = subprocess.run(["h5dump", str(run.path)], capture_output=True, text=True, timeout=60)
        assert dump.returncode == 0, dump.stderr
        assert not dump.stderr
        assert 'DATASET "grad_norm"' in dump.stdout
        assert "conv1.weight" in dump.stdout


def test_the_last_row_of_a_run_that_diverged_holds_its_facts_alone(make, kit):
    run = make(2)
    run.writer.write_step(3, kit.facts(3) | {"loss": np.inf}, {})
    run.writer.finish(kit.result(run.info, 3, "diverged", first_bad_step=3))
    with open_run(run.path) as found:
        assert (found.status, found.first_bad_step, found.n_steps) == ("diverged", 3, 3)
        assert found.steps["loss"][2] == np.inf
        assert np.isnan(found.steps["logits_q05"]).tolist() == [False, False, True]
        assert np.isnan(found.plugins["third-party"]["spread"][2]).all()
