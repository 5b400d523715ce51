"""Writing a file, or a folder of files, whole or not at all, and saying in one sentence why it could not be written.

What is being written has another name, and gets its own at the last moment: whoever reads it finds the old one
or the new one, never a part. Imports nothing of ours but the errors.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from optiscope.errors import FileError

_MEND = {
    errno.ENOSPC: "free some space, or choose a folder on another disk",
    errno.EDQUOT: "free some of your quota, or choose a folder on another disk",
    errno.EFBIG: "raise the limit on file sizes (ulimit -f), or choose a folder on another file system",
    errno.EACCES: "choose a folder that you may write to",
    errno.EPERM: "choose a folder that you may write to",
    errno.EROFS: "choose a folder that you may write to",
    errno.ENOTDIR: "choose another folder: a file is in the way",
    errno.EEXIST: "choose another folder: a file is in the way",
    errno.ENOENT: "make its folder first, or check the path",
    errno.EISDIR: "choose another name: a folder is in the way",
    errno.ENAMETOOLONG: "choose a shorter name",
}


@contextmanager
def telling(path: Path) -> Iterator[None]:
    """Turn an OSError into a FileError that names `path` and says how to mend it."""
    try:
        yield
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        mend = _MEND.get(error.errno or 0, "see that the disk and its folder are in order")
        raise FileError(f"cannot write {path} ({reason}): {mend}") from error


def write_whole(path: Path, data: str | bytes) -> None:
    """Give `path` the content `data` (text as UTF-8), on the disk before it has its name; FileError if it cannot be."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with telling(path):
        try:
            with temporary.open("wb") as file:
                file.write(data.encode() if isinstance(data, str) else data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            with suppress(OSError):
                temporary.unlink()
            raise


def write_folder(folder: Path, files: Mapping[str, str]) -> None:
    """Make `folder` with `files` in it, texts by their paths; FileError if it is there already or cannot be made."""
    if os.path.lexists(folder):
        raise FileError(f"{folder} is there already: choose another name, or move it away")
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}")
    with telling(folder):
        try:
            for name, text in files.items():
                (temporary / name).parent.mkdir(parents=True, exist_ok=True)
                (temporary / name).write_text(text, encoding="utf-8")
            temporary.rename(folder)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
