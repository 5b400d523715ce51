"""The promises of docs/data-format.md, against the harshest that can happen to a writer: to end after any write.

A killed process leaves whole system calls; a machine that loses power may leave parts of one. So the log of all that
was written is cut at each boundary, and inside of writes, and what lies on the disk then must open with plain h5py and
hold every row that was committed.
"""

import itertools

import attrs
import h5py
import numpy as np
import pytest

from optiscope.storage import RunWriter, files, open_run, verify


@pytest.fixture
def log(monkeypatch):
    """Every write to a file that has its final name already: (bytes, offset)."""
    writes, original = [], files.write_at

    def write_at(descriptor, data, offset):
        writes.append((descriptor, bytes(data), offset))
        original(descriptor, data, offset)

    monkeypatch.setattr(files, "write_at", write_at)
    return writes


def assert_holds_what_it_vouches_for(path, info, signals, kit):
    with h5py.File(path, "r") as file:
        n_steps, n_epochs, status, _ = file["run_state"][:]
        assert status == 0
        for name, rows in kit.expected(info, signals, n_steps, n_epochs).items():
            np.testing.assert_array_equal(file[name][: len(rows)], rows, err_msg=name)
    return int(n_steps), int(n_epochs)


@pytest.mark.timeout(300)
def test_cut_anywhere_in_the_log_of_writes_the_file_opens_and_is_right(tmp_path, info, signals, kit, log):
    path, cut, info = tmp_path / "run.h5", tmp_path / "cut.h5", attrs.evolve(info, steps=45, epochs=3)
    with RunWriter.create(path, info, signals) as writer:
        descriptor, begun = writer._descriptor, path.read_bytes()
        log.clear()
        for _ in kit.drive(writer, info, signals, range(1, info.steps + 1)):
            pass
    writes = [(data, offset) for number, data, offset in log if number == descriptor]
    disk, seen, random = bytearray(begun), [], np.random.default_rng(0)
    for data, offset in writes:
        if random.random() < 0.2:
            torn = bytearray(disk)
            half = int(random.integers(0, len(data)))
            torn[offset : offset + half] = data[:half]
            cut.write_bytes(torn)
            assert_holds_what_it_vouches_for(cut, info, signals, kit)
        disk[offset : offset + len(data)] = data
        cut.write_bytes(disk)
        seen.append(assert_holds_what_it_vouches_for(cut, info, signals, kit))
    assert bytes(disk) == path.read_bytes()
    assert len(writes) > 120
    assert seen == sorted(seen)
    assert seen[-1] == (45, 3)


@pytest.mark.timeout(300)
def test_power_loss_loses_no_epoch_that_was_acknowledged(tmp_path, info, signals, kit, monkeypatch):
    """What was written after the last fsync is on the disk or not, each sector by itself and in any order."""
    path, cut, sector = tmp_path / "run.h5", tmp_path / "cut.h5", 512
    log, pwrite, fsync = [], files.os.pwrite, files.os.fsync
    acknowledged = log.append

    def wrote(descriptor, data, offset):
        log.append((descriptor, bytes(data), offset))
        return pwrite(descriptor, data, offset)

    def synced(descriptor):
        log.append((descriptor, None, 0))
        fsync(descriptor)

    with RunWriter.create(path, info, signals) as writer:
        begun = path.read_bytes()
        monkeypatch.setattr(files.os, "pwrite", wrote)
        monkeypatch.setattr(files.os, "fsync", synced)
        for step in kit.drive(writer, info, signals, range(1, info.steps + 1)):
            if step % 20 == 0 or step == info.steps:
                acknowledged(("epoch", -(-step // 20), step))
        monkeypatch.undo()
    disk, floating, acked, random = bytearray(begun), [], (0, 0), np.random.default_rng(0)
    for descriptor, data, offset in log:
        if descriptor == "epoch":
            acked = (data, offset)
        elif data is None:
            for there, piece in floating:
                disk[there : there + len(piece)] = piece
            floating = []
        else:
            cuts = [0, *range(sector - offset % sector, len(data), sector), len(data)]
            floating += [(offset + a, data[a:b]) for a, b in itertools.pairwise(cuts)]
        if random.random() < 0.5:
            lost = bytearray(disk)
            for index in random.permutation(len(floating))[: random.integers(0, len(floating) + 1)]:
                there, piece = floating[index]
                lost[there : there + len(piece)] = piece
            cut.write_bytes(lost)
            with h5py.File(cut, "r") as file:
                n_steps, n_epochs, _, _ = file["run_state"][:]
                assert n_epochs >= acked[0]
                assert n_steps >= acked[1]
                for name, rows in kit.expected(info, signals, acked[1], acked[0]).items():
                    np.testing.assert_array_equal(file[name][: len(rows)], rows, err_msg=name)
    assert acked == (5, 95)


def test_cut_anywhere_in_its_end_there_is_the_live_file_or_the_finished_one(
    tmp_path, info, signals, kit, log, monkeypatch
):
    path = tmp_path / "run.h5"
    writer = RunWriter.create(path, info, signals)
    for _ in kit.drive(writer, info, signals, range(1, info.steps + 1)):
        pass
    looks = []

    def looked(function):
        def wrapper(*arguments, **more):
            looks.append(look(path))
            found = function(*arguments, **more)
            looks.append(look(path))
            return found

        return wrapper

    def look(path):
        with open_run(path) as run:
            assert (run.status == "completed") is ("content_sha256" in run.attrs)
            return run.status, run.n_steps

    for name in ("fsync", "open", "close", "posix_fallocate", "pwrite"):
        monkeypatch.setattr(files.os, name, looked(getattr(files.os, name)))
    writer.finish(kit.result(info, 95))
    monkeypatch.undo()
    assert {status for status, _ in looks} == {"running", "completed"}
    assert looks == sorted(looks, key=lambda look: look[0] == "completed")
    assert {steps for _, steps in looks} == {95}
    assert verify(path).intact


def test_a_reader_that_holds_the_file_open_keeps_what_it_saw(tmp_path, info, signals, kit):
    path = tmp_path / "run.h5"
    writer = RunWriter.create(path, info, signals)
    for _ in kit.drive(writer, info, signals, range(1, 96)):
        pass
    with open_run(path) as run, h5py.File(path, "r") as raw:
        before = run.steps["loss"].tolist()
        writer.finish(kit.result(info, 95))
        assert (run.status, run.steps["loss"].tolist()) == ("running", before)
        assert raw["step/loss"][:95].tolist() == before
        run.refresh()
        assert (run.status, run.steps["loss"].tolist()) == ("completed", before)
