"""What a run file asks of the file system: to appear whole or not at all, and to have one writer.

`publish` is the only way a file gets its final name: written beside it as `.tmp`, its blocks asked for first (so that a
full disk says so before anything else happens), fsynced, renamed, the folder fsynced. `Lock` is a flock on
`<file>.lock`, which says who holds it; where the file system has no locks it warns and goes on.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import time
import warnings
from contextlib import suppress
from pathlib import Path

from optiscope.errors import HeldError

_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)
_NO_RESERVE = (errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL, errno.ENOSYS, errno.EPERM)


def publish(path: Path, data: bytes, read_back: bool = False) -> None:
    """Give `path` the content `data`, whole or not at all; what was there before stays until the last moment.

    With `read_back` the temporary file is read again before it is renamed. OSError where it is not `data`, where the
    disk is full, or the folder cannot be written.
    """
    temporary = path.with_name(path.name + ".tmp")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        try:
            _reserve(descriptor, len(data))
            write_at(descriptor, data, 0)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if read_back and temporary.read_bytes() != data:
            raise OSError("the written file does not read back as it should")
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    _sync_folder(path.parent)


def write_at(descriptor: int, data: bytes, offset: int) -> None:
    """Write all of `data` at byte `offset`; a write may be cut short, and then goes on where it stopped."""
    done = 0
    while done < len(data):
        done += os.pwrite(descriptor, data[done:], offset + done)


def read_at(descriptor: int, size: int, offset: int) -> bytes:
    """Return `size` bytes from byte `offset`; OSError where the file is shorter."""
    parts: list[bytes] = []
    while size:
        parts.append(os.pread(descriptor, size, offset))
        if not parts[-1]:
            raise OSError("the file was cut short by someone else")
        size -= len(parts[-1])
        offset += len(parts[-1])
    return b"".join(parts)


def restarted_since(path: Path) -> bool:
    """Say whether the machine was started after `path` was last written: what was not fsynced may be gone then."""
    clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    return path.stat().st_mtime < time.time() - time.clock_gettime(clock)


def _reserve(descriptor: int, size: int) -> None:
    """Ask for the blocks of a file, where the system can; writing the bytes asks again where it cannot."""
    if not hasattr(os, "posix_fallocate"):
        return
    try:
        os.posix_fallocate(descriptor, 0, size)
    except OSError as error:
        if error.errno not in _NO_RESERVE:
            raise


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


def holder(path: Path) -> str:
    """Return who has the right to write `path` now ("process 12 on host"); empty where nobody has."""
    with suppress(OSError):
        descriptor = os.open(_lock_of(path.resolve()), os.O_RDONLY)  # somebody else's as well
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:  # it is held, or there are no file locks, where that it was taken is all that is known
            return _holder(descriptor)
        finally:
            os.close(descriptor)
    return ""


def _holder(descriptor: int) -> str:
    return os.pread(descriptor, 200, 0).decode(errors="replace").strip() or "unknown"


def _lock_of(path: Path) -> Path:
    return path.with_name(path.name + ".lock")


class Lock:
    """The right to write `path`, held by a flock on `<path>.lock` until `release`, or until the process ends.

    HeldError, which names the holder, where another process holds it.
    """

    def __init__(self, path: Path) -> None:
        self._path = _lock_of(path)
        while True:
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                held = _holder(self._descriptor)
                os.close(self._descriptor)
                raise HeldError(
                    f"another process is writing {path} ({held}): wait for it to end, or choose another folder"
                ) from None
            except OSError as error:
                if error.errno not in _NO_LOCKS:
                    os.close(self._descriptor)
                    raise
                warnings.warn(
                    f"{path.parent} has no file locks: see that no other process writes {path.name}", stacklevel=4
                )
            if self._is_current():
                self._say_who()
                return
            os.close(self._descriptor)

    def _say_who(self) -> None:
        with suppress(OSError):  # a full disk shows where it matters
            os.ftruncate(self._descriptor, 0)
            write_at(self._descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)

    def _is_current(self) -> bool:
        """Say whether the locked file still has its name: its last holder may have removed it meanwhile."""
        with suppress(FileNotFoundError):
            return os.path.samestat(os.fstat(self._descriptor), self._path.stat())
        return False

    def release(self) -> None:
        """Give the right back and remove the lock file."""
        with suppress(OSError):
            self._path.unlink()
        os.close(self._descriptor)
