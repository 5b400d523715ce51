"""A file that is taken up wherever its writer was stopped ends as one whose writer never was."""

import os
import time

import attrs
import h5py
import numpy as np
import pytest

from optiscope.errors import FileError, NotRepeatedError
from optiscope.records import Checkpoint
from optiscope.storage import RunWriter, checkpoint, files, image, open_run, schema, verify

CLOCK = ("time", "created_utc", "content_sha256", "run_state")


def content(path):
    """Return everything in a file that does not follow a clock: path -> (attributes, values)."""
    found = {}

    def add(name, item):
        if not any(word in name for word in CLOCK):
            kept = {key: value for key, value in item.attrs.items() if not key.endswith("_LIST")}
            kept = {key: np.array(value).tolist() for key, value in kept.items() if not any(w in key for w in CLOCK)}
            found[name] = (kept, item[()].tobytes() if item.dtype.kind != "O" else list(item.asstr()[()]))

    with h5py.File(path, "r") as file:
        file.visititems(lambda name, item: add(name, item) if isinstance(item, h5py.Dataset) else None)
        found["/"] = {key: value for key, value in file.attrs.items() if not any(word in key for word in CLOCK)}
    return found


def checkpoint_of(info, kit, step):
    epochs = tuple(kit.epoch_record(e, 20 * e) for e in range(1, step // 20 + 1))
    return Checkpoint(run_id=info.run_id, step=step, epochs=epochs, params=np.zeros(1, "f4"), wall_time=0.01 * step)


def write(writer, info, signals, kit, steps):
    """Write steps, and a checkpoint after each epoch but the last."""
    for step in kit.drive(writer, info, signals, steps):
        if step % info.steps_per_epoch == 0:
            writer.keep(checkpoint_of(info, kit, step))


@pytest.fixture
def stopped(tmp_path, info, signals, kit):
    """Return a function that leaves a live file with so many steps, as a killed process would."""

    def leave(steps):
        writer = RunWriter.create(tmp_path / "run.h5", info, signals)
        write(writer, info, signals, kit, range(1, steps + 1))
        writer._release()  # what was not committed is lost
        return tmp_path / "run.h5"

    return leave


@pytest.fixture
def whole(tmp_path, info, signals, kit):
    """The content of the run when nothing happens to it."""
    writer = RunWriter.create(tmp_path / "whole.h5", info, signals)
    write(writer, info, signals, kit, range(1, info.steps + 1))
    writer.finish(kit.result(info, info.steps))
    return content(writer.path)


def finished(path, info, signals, kit):
    """Take the run up and write the rest; return the content."""
    with RunWriter.take_up(path, info, signals) as writer:
        begin = 0 if writer.kept is None else writer.kept.step
        write(writer, info, signals, kit, range(begin + 1, info.steps + 1))
        writer.finish(kit.result(info, info.steps))
    assert verify(path).intact
    assert not checkpoint.path_of(path).exists()
    return content(path)


@pytest.mark.parametrize("steps", [1, 19, 20, 21, 39, 40, 45, 50, 60, 79, 80, 94, 95])
def test_wherever_it_was_stopped_it_ends_with_the_same_content(stopped, whole, info, signals, kit, steps):
    path = stopped(steps)
    with open_run(path) as run:
        committed = run.n_steps
    with RunWriter.take_up(path, info, signals) as writer:
        epochs = min(steps, 80) // 20
        assert writer.repeats == committed - 20 * epochs < 20
        assert (writer.kept is None) is (epochs == 0)
        if writer.kept is not None:
            assert (writer.kept.step, len(writer.kept.epochs)) == (20 * epochs, epochs)
    assert finished(path, info, signals, kit) == whole


def test_while_steps_are_computed_again_the_file_vouches_for_as_many_as_before(stopped, info, signals, kit):
    path = stopped(75)
    with RunWriter.take_up(path, info, signals) as writer:
        assert writer.committed == (70, 3)
        for step in kit.drive(writer, info, signals, range(61, 96)):
            with open_run(path) as run:
                assert run.status == "running"
                assert run.n_steps == max(70, writer.committed[0])
                assert list(run.steps["step"]) == list(range(1, run.n_steps + 1))
                assert run.n_epochs >= 3 + (step >= 80)


def test_killed_between_the_steps_and_the_epoch_it_goes_on_from_the_epoch_before(stopped, info, signals, kit):
    """All steps of epoch 2 are committed, its epoch is not."""
    path = stopped(20)
    with RunWriter.take_up(path, info, signals) as writer:
        for step in range(21, 41):
            writer.write_step(step, kit.facts(step), due(signals, kit, step))
        assert writer.committed == (40, 1)
        writer._release()
    with RunWriter.take_up(path, info, signals) as writer:
        assert (writer.kept.step, writer.repeats) == (20, 20)


def due(signals, kit, step):
    return {name: {s.name: kit.value(s, step) for s in some if s.due(step)} for name, some in signals.items()}


def test_a_run_that_does_not_repeat_itself_is_refused_and_the_file_stays(stopped, info, signals, kit):
    path = stopped(75)
    before = path.read_bytes()
    with pytest.raises(NotRepeatedError, match=r"run\.h5 cannot be gone on with, as /step/loss does not") as raised:  # noqa: PT012, SIM117
        with RunWriter.take_up(path, info, signals) as writer:
            for step in range(61, 71):
                facts = kit.facts(step) | ({"loss": 9.0} if step == 68 else {})
                writer.write_step(step, facts, due(signals, kit, step))
    assert "for steps 61 to 70" in str(raised.value)
    assert isinstance(raised.value, FileError)
    assert path.read_bytes() == before
    finished(path, info, signals, kit)


def test_the_clock_may_differ_and_never_falls(stopped, info, signals, kit):
    path = stopped(75)
    with RunWriter.take_up(path, info, signals) as writer:
        assert writer.kept.wall_time == pytest.approx(0.01 * 70)
        for step in range(61, 80):
            facts = kit.facts(step) | {"wall_time": writer.kept.wall_time + step}
            writer.write_step(step, facts, due(signals, kit, step))
    with open_run(path) as run:
        times = run.steps["wall_time"]
        assert (np.diff(times) > 0).all()
        assert times[69] == pytest.approx(0.70)
        assert times[70] == pytest.approx(0.70 + 71)


def spoil_state(path):
    checkpoint.path_of(path).write_bytes(b"nonsense")


def no_state(path):
    checkpoint.path_of(path).unlink()


def cut(path):
    os.truncate(path, path.stat().st_size - 1)


def no_file(path):
    path.unlink()


def flip_metadata(path):
    with h5py.File(path, "r+") as file:
        file["step/loss"].attrs["units"] = "2"


def ahead(path):
    """The checkpoint is of an epoch that the file does not vouch for."""
    with h5py.File(path, "r+") as file:
        file["run_state"][:2] = (50, 2)


@pytest.mark.parametrize("spoil", [spoil_state, no_state, cut, no_file, flip_metadata, ahead])
def test_what_cannot_be_trusted_is_begun_anew_and_counted(stopped, info, signals, kit, spoil):
    path = stopped(75)
    spoil(path)
    with RunWriter.take_up(path, info, signals) as writer:
        assert writer.kept is None
        assert writer.committed == (0, 0)
        assert writer.repeats == {cut: 0, no_file: 0, ahead: 50}.get(spoil, 70)
        assert not checkpoint.path_of(path).exists()
    finished(path, info, signals, kit)


@pytest.mark.parametrize("change", [{"run_id": "other"}, {"versions": {"numpy": "9"}}, {"seed": 4}])
def test_another_run_or_environment_is_begun_anew(stopped, info, signals, kit, change):
    path = stopped(75)
    with RunWriter.take_up(path, attrs.evolve(info, **change), signals) as writer:
        assert writer.kept is None


def test_another_recorder_is_begun_anew(stopped, info, signals, kit):
    path = stopped(75)
    with RunWriter.take_up(path, info, kit.core(info)) as writer:
        assert writer.kept is None


def test_a_finished_run_is_begun_anew(stopped, info, signals, kit):
    path = stopped(75)
    finished(path, info, signals, kit)
    with RunWriter.take_up(path, info, signals) as writer:
        assert (writer.kept, writer.repeats) == (None, 95)


def test_stopped_again_and_again_it_ends_the_same(stopped, whole, info, signals, kit):
    path, random = stopped(30), np.random.default_rng(0)
    for _ in range(12):
        with RunWriter.take_up(path, info, signals) as writer:
            begin = 0 if writer.kept is None else writer.kept.step
            write(writer, info, signals, kit, range(begin + 1, min(95, begin + int(random.integers(1, 40))) + 1))
            writer._release()
    assert finished(path, info, signals, kit) == whole


def test_after_a_power_failure_rows_that_were_not_on_the_disk_are_computed_again(
    stopped, whole, info, signals, kit, monkeypatch
):
    path = stopped(75)
    with h5py.File(path, "r+") as file:
        file["step/loss"][60:] = np.nan
    started = time.time()
    os.utime(path, (started - 1000, started - 1000))
    monkeypatch.setattr(files.time, "clock_gettime", lambda _: 500.0)
    with RunWriter.take_up(path, info, signals) as writer:
        assert (writer.kept.step, writer.committed, writer.repeats) == (60, (60, 3), 0)
    assert finished(path, info, signals, kit) == whole


def test_the_machine_was_not_started_since_a_file_was_written_just_now(tmp_path):
    (tmp_path / "new").touch()
    assert files.restarted_since(tmp_path / "new") is False


def test_the_image_of_a_run_does_not_depend_on_when_it_is_made(info, signals):
    """Nothing in it but `created_utc` follows the clock: HDF5 would note when each object was made."""
    layout, root = schema.layout(info, signals), schema.root_attributes(info)
    first = image.build_live(layout, root).data
    time.sleep(1.1)
    assert image.build_live(layout, root).data == first


def test_only_one_process_takes_it_up(stopped, info, signals):
    path = stopped(75)
    with (
        RunWriter.take_up(path, info, signals),
        pytest.raises(FileError, match=rf"another process is writing .*run\.h5 \(process {os.getpid()} on "),
    ):
        RunWriter.take_up(path, info, signals)
