"""Fetching CIFAR-10: download, check, unpack, and only then put in place.

Everything happens in a temporary folder beside the goal, and the last act is one rename: whatever breaks before it
leaves nothing behind that looks whole. The archive's hash is checked before it is opened, and of its members only the
files of the layout are taken, by name, so that none can land elsewhere.
"""

from __future__ import annotations

import gzip
import os
import shutil
import tarfile
import tempfile
import zlib
from pathlib import Path
from typing import Protocol

from optiscope.data.cifar10 import FILES, FOLDER, cache_folder
from optiscope.errors import DataError

ARCHIVE = "cifar-10-binary.tar.gz"
ARCHIVE_MD5 = "c32a1d4ab5d03f1284b67883e8d87530"
BASE_URL = "https://www.cs.toronto.edu/~kriz/"

_TIMEOUT = 60.0


class Progress(Protocol):
    """What is told about a download: its size in bytes, once known, then each part as it comes."""

    total: int

    def update(self, size: int) -> None:
        """Take note of `size` more bytes."""
        ...

    def reset(self) -> None:
        """Begin at zero again; pooch calls it before a last update of the whole."""
        ...

    def close(self) -> None:
        """End."""
        ...


def fetch_cifar10(
    cache: str | os.PathLike[str] | None = None,
    base_url: str | None = None,
    *,
    md5: str = ARCHIVE_MD5,
    progress: Progress | None = None,
) -> Path:
    """Fetch CIFAR-10's binary version, unless it is there, and return its folder in the cache.

    `cache` is the folder to keep it in (else `cache_folder()`), `base_url` the address of the folder that has the
    archive (else $OPTISCOPE_DATA_URL, else its authors' page), `md5` the hash that the archive must have. `progress`
    is told how far the download is. Raises DataError where the archive cannot be had, is not the right one, or
    cannot be written.
    """
    home = Path(cache) if cache is not None else cache_folder()
    goal = home / FOLDER
    if all((goal / name).is_file() for name in FILES):
        return goal
    url = (base_url or os.environ.get("OPTISCOPE_DATA_URL") or BASE_URL).rstrip("/") + "/" + ARCHIVE
    try:
        home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=home, prefix=".fetch-") as scratch:
            archive = Path(scratch, ARCHIVE)
            _download(url, archive, md5, progress)
            _unpack(archive, Path(scratch, FOLDER))
            if goal.exists():
                goal.replace(Path(scratch, "incomplete"))
            Path(scratch, FOLDER).replace(goal)
    except OSError as error:
        raise DataError(
            f"CIFAR-10 cannot be written to {home} ({error.strerror}): make room and permission there, "
            "or set another folder with OPTISCOPE_CACHE"
        ) from error
    return goal


def _download(url: str, archive: Path, md5: str, progress: Progress | None) -> None:
    import pooch

    try:
        pooch.HTTPDownloader(progressbar=progress or False, timeout=_TIMEOUT)(url, str(archive), None)
    except OSError as error:
        # What requests raises is an OSError without a number; one with a number is about the disk.
        if error.errno is not None:
            raise
        raise DataError(
            f"{url} could not be fetched ({_brief(error)}): try again, or set another address with OPTISCOPE_DATA_URL"
        ) from error
    found = pooch.file_hash(str(archive), alg="md5")
    if found != md5:
        raise DataError(
            f"the archive from {url} has the md5 {found} instead of {md5}, so it is damaged or another file and was "
            "thrown away: try again, or set another address with OPTISCOPE_DATA_URL"
        )


def _brief(error: Exception) -> str:
    """Return what a library's error says, in one line of at most 120 characters."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:120]


def _unpack(archive: Path, folder: Path) -> None:
    folder.mkdir()
    wanted = {f"{FOLDER}/{name}": folder / name for name in FILES}
    try:
        # One pass in the archive's own order: a step back would decompress it from the start again.
        with tarfile.open(archive) as members:
            for member in members:
                source = members.extractfile(member) if member.isreg() and member.name in wanted else None
                if source is not None:
                    with source, wanted[member.name].open("wb") as target:
                        shutil.copyfileobj(source, target)
    except (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise DataError(f"{ARCHIVE} cannot be unpacked ({_brief(error)}): fetch it again") from error
    missing = [member for member, path in wanted.items() if not path.exists()]
    if missing:
        raise DataError(
            f"{ARCHIVE} has no file {missing[0]}, so it is not CIFAR-10's binary version: "
            "set another address with OPTISCOPE_DATA_URL"
        )
