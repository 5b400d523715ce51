import errno
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from optiscope.errors import FileError
from optiscope.storage import RunWriter, files, open_run, verify


def refuse(number):
    def call(*_):
        raise OSError(number, os.strerror(number))

    return call


@pytest.mark.parametrize("number", [errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS])
def test_a_file_system_that_cannot_reserve_blocks_is_written_all_the_same(make, kit, monkeypatch, number):
    monkeypatch.setattr(os, "posix_fallocate", refuse(number))
    run = make(20)
    run.writer.finish(kit.result(run.info, 20))
    assert verify(run.path).intact is True


def test_a_system_without_posix_fallocate_will_do(tmp_path, monkeypatch):
    monkeypatch.delattr(os, "posix_fallocate")
    files.publish(tmp_path / "x", b"abc")
    assert (tmp_path / "x").read_bytes() == b"abc"


@pytest.mark.parametrize(
    ("function", "number", "said"),
    [
        ("posix_fallocate", errno.ENOSPC, "No space left on device.*: free some space"),
        ("posix_fallocate", errno.EDQUOT, "quota"),
        ("pwrite", errno.ENOSPC, "No space left on device.*: free some space"),
        ("fsync", errno.EIO, "Input/output error"),
        ("open", errno.EROFS, "Read-only file system.*: choose a folder that you may write to"),
        ("open", errno.EACCES, "Permission denied.*: choose a folder that you may write to"),
    ],
)
def test_what_the_disk_refuses_is_said_in_a_sentence(tmp_path, info, signals, kit, monkeypatch, function, number, said):
    path = tmp_path / "run.h5"
    with RunWriter.create(path, info, signals) as writer:
        writer.finish(kit.result(info, 0))
    before = path.read_bytes()
    monkeypatch.setattr(os, function, refuse(number))
    with pytest.raises(FileError, match=f"cannot write {path} .*{said}"):
        RunWriter.create(path, info, signals, overwrite=True)
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["run.h5"]


def test_a_folder_that_is_a_file_is_refused(tmp_path, info, signals):
    (tmp_path / "runs").write_text("in the way")
    with pytest.raises(FileError, match="a file is in the way"):
        RunWriter.create(tmp_path / "runs" / "run.h5", info, signals)


def test_missing_folders_are_made(tmp_path, info, signals):
    RunWriter.create(tmp_path / "grid" / "runs" / "run.h5", info, signals).close()
    assert (tmp_path / "grid" / "runs" / "run.h5").is_file()


def test_a_commit_that_fails_can_be_tried_again(make, kit, monkeypatch):
    run = make(9)
    with monkeypatch.context() as full:
        full.setattr(os, "pwrite", refuse(errno.ENOSPC))
        for _ in range(2):
            with pytest.raises(FileError, match="free some space"):
                list(kit.drive(run.writer, run.info, run.signals, range(run.writer._n_steps + 1, 12)))
    with open_run(run.path) as found:
        assert found.n_steps == 0
    list(kit.drive(run.writer, run.info, run.signals, range(11, 41)))
    with open_run(run.path) as found:
        assert list(found.steps["step"]) == list(range(1, 41))


def test_no_room_for_the_compressed_file_leaves_the_live_one_complete(make, kit, monkeypatch):
    run = make(33)
    monkeypatch.setattr(os, "posix_fallocate", refuse(errno.ENOSPC))
    with pytest.raises(FileError, match="free some space"):
        run.writer.finish(kit.result(run.info, 33))
    with open_run(run.path) as found:
        assert (found.n_steps, found.status) == (33, "running")
    assert os.listdir(run.path.parent) == ["run.h5"]


def test_a_finished_file_that_does_not_read_back_is_not_put_in_place(make, kit, monkeypatch):
    run = make(33)
    write = files.write_at

    def flip(descriptor, data, offset):
        at = data.find(b"conv1.weight")
        write(descriptor, data if at < 0 else data[:at] + b"X" + data[at + 1 :], offset)

    monkeypatch.setattr(files, "write_at", flip)
    with pytest.raises(FileError, match="does not read back"):
        run.writer.finish(kit.result(run.info, 33))
    with open_run(run.path) as found:
        assert found.n_steps == 33
        assert found.config["parameters"][0][0] == "conv1.weight"


FULL = """
import resource, sys
sys.path.insert(0, sys.argv[1])
import conftest
from optiscope.errors import FileError
from optiscope.storage import RunWriter
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]),) * 2)
try:
    conftest.write_and_say(sys.argv[2])
except FileError as error:
    print(error)
    sys.exit(3)
"""


@pytest.mark.parametrize("limit", [1000, 50_000])
def test_a_full_disk_is_an_exception_that_names_the_path(tmp_path, kit, limit):
    command = [sys.executable, "-c", FULL, str(kit.folder), str(tmp_path / "run.h5"), str(limit)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 3, done.stderr
    assert f"cannot write {tmp_path / 'run.h5'} (File too large)" in done.stdout
    assert os.listdir(tmp_path) == []


def test_short_writes_go_on_where_they_stopped(tmp_path, monkeypatch):
    write = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda descriptor, data, offset: write(descriptor, data[:3], offset))
    files.publish(tmp_path / "x", b"0123456789")
    assert (tmp_path / "x").read_bytes() == b"0123456789"


def test_reading_past_the_end_is_an_error(tmp_path):
    (tmp_path / "x").write_bytes(b"0123")
    descriptor = os.open(tmp_path / "x", os.O_RDONLY)
    try:
        assert files.read_at(descriptor, 3, 1) == b"123"
        with pytest.raises(OSError, match="cut short"):
            files.read_at(descriptor, 3, 2)
    finally:
        os.close(descriptor)


def test_a_lock_is_free_again_once_released_or_left_behind(tmp_path):
    path = tmp_path / "run.h5"
    (tmp_path / "run.h5.lock").touch()
    lock = files.Lock(path)
    with pytest.raises(FileError, match="another process is writing"):
        files.Lock(path)
    lock.release()
    files.Lock(path).release()
    assert os.listdir(tmp_path) == []


def test_a_lock_whose_file_was_removed_meanwhile_is_taken_anew(tmp_path, monkeypatch):
    path = tmp_path / "run.h5"
    flock, removed = files.fcntl.flock, []

    def remove_first(descriptor, flags):
        flock(descriptor, flags)
        if not removed:
            removed.append((tmp_path / "run.h5.lock").unlink())

    monkeypatch.setattr(files.fcntl, "flock", remove_first)
    lock = files.Lock(path)
    assert os.path.samestat(os.fstat(lock._descriptor), os.stat(tmp_path / "run.h5.lock"))
    lock.release()


def test_a_file_system_without_locks_warns_and_goes_on(make, monkeypatch):
    monkeypatch.setattr(files.fcntl, "flock", refuse(errno.ENOLCK))
    with pytest.warns(UserWarning, match=r"has no file locks: see that no other process writes run\.h5"):
        run = make(10)
    with open_run(run.path) as found:
        assert found.n_steps == 10


def test_who_holds_a_file_is_known_to_several_that_ask_and_where_there_are_no_locks(tmp_path, monkeypatch):
    path = tmp_path / "run.h5"
    lock = files.Lock(path)
    assert files.holder(path).startswith(f"process {os.getpid()} on ")
    monkeypatch.setattr(files.fcntl, "flock", refuse(errno.ENOLCK))
    assert files.holder(path).startswith(f"process {os.getpid()} on ")
    monkeypatch.undo()
    lock.release()
    (tmp_path / "run.h5.lock").touch()
    with open(tmp_path / "run.h5.lock") as other:
        files.fcntl.flock(other, files.fcntl.LOCK_SH)  # another that asks in the same moment
        assert files.holder(path) == ""


def test_a_file_is_on_the_disk_before_it_has_its_name_and_its_name_after(tmp_path, monkeypatch):
    calls = []
    sync, replace, read = os.fsync, Path.replace, Path.read_bytes

    def note_sync(descriptor):
        calls.append("sync folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "sync file")
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", note_sync)
    monkeypatch.setattr(Path, "replace", lambda path, target: calls.append("rename") or replace(path, target))
    monkeypatch.setattr(Path, "read_bytes", lambda path: calls.append(f"read {path.name}") or read(path))
    files.publish(tmp_path / "x", b"abc", read_back=True)
    assert calls == ["sync file", "read x.tmp", "rename", "sync folder"]
