import errno
import os

import pytest

from optiscope.errors import FileError
from optiscope.whole import telling, write_folder, write_whole


@pytest.mark.parametrize("data", ["Grüße\n", b"\x00\xff"])
def test_a_file_has_its_content_and_nothing_is_left_beside_it(tmp_path, data):
    path = tmp_path / "file"
    path.write_text("old")
    write_whole(path, data)
    assert path.read_bytes() == (data.encode() if isinstance(data, str) else data)
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_what_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, failing):
    def refuse(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    path = tmp_path / "file"
    path.write_text("old")
    monkeypatch.setattr("os.fsync" if failing == "fsync" else "pathlib.Path.replace", refuse)
    with pytest.raises(FileError, match=r"cannot write .*file \(No space left on device\): free some space"):
        write_whole(path, "new")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file"]


def test_a_folder_that_is_missing_is_said(tmp_path):
    with pytest.raises(FileError, match=r"No such file or directory"):
        write_whole(tmp_path / "no" / "file", "x")


@pytest.mark.parametrize(
    ("number", "mend"),
    [
        (errno.EFBIG, "ulimit -f"),
        (errno.EROFS, "may write to"),
        (errno.ENOTDIR, "a file is in the way"),
        (errno.EIO, "see that the disk"),
    ],
)
def test_every_reason_has_its_mend(tmp_path, number, mend):
    with pytest.raises(FileError, match=mend), telling(tmp_path):
        raise OSError(number, os.strerror(number))


FILES = {"a.txt": "Grüße\n", "deep/er/b.txt": ""}


def test_a_folder_has_its_files_and_nothing_is_left_beside_it(tmp_path):
    write_folder(tmp_path / "made", FILES)
    found = {str(path.relative_to(tmp_path / "made")) for path in tmp_path.rglob("*.txt")}
    assert found == FILES.keys()
    assert (tmp_path / "made" / "a.txt").read_text(encoding="utf-8") == "Grüße\n"
    assert os.listdir(tmp_path) == ["made"]


@pytest.mark.parametrize("failing", ["write_text", "rename"])
def test_of_a_folder_that_cannot_be_made_nothing_is_left(tmp_path, monkeypatch, failing):
    def refuse(*args, **more):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(f"pathlib.Path.{failing}", refuse)
    with pytest.raises(FileError, match=r"cannot write .*made \(No space left on device\): free some space"):
        write_folder(tmp_path / "made", FILES)
    assert os.listdir(tmp_path) == []


def test_a_folder_that_is_there_stays_as_it_is(tmp_path):
    (tmp_path / "made").mkdir()
    with pytest.raises(FileError, match="is there already"):
        write_folder(tmp_path / "made", FILES)
    assert os.listdir(tmp_path / "made") == []
