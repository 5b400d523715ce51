"""The CIFAR-10 binary layout: read, write, verify.

A folder holds `data_batch_1.bin` to `data_batch_5.bin` and `test_batch.bin`. A file is nothing but records of 3,073
bytes: one label, then the red, the green and the blue plane of 32 x 32 pixels, row by row. `batches.meta.txt` names the
classes, one a line. Source: https://www.cs.toronto.edu/~kriz/cifar.html

Any data in this layout can be trained on, with any number of whole records a file; only `verify` insists that what
calls itself CIFAR-10 has 10,000 in each. Every complaint is a `DataError` that names the file, what was found in it,
and how to mend it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import ClassVar

import attrs
import numpy as np

from optiscope.data.base import SHAPE, Dataset, Images, Labels, Pixels
from optiscope.errors import DataError, UsageError
from optiscope.whole import write_whole

FOLDER = "cifar-10-batches-bin"
TRAIN_FILES = tuple(f"data_batch_{i}.bin" for i in range(1, 6))
TEST_FILE = "test_batch.bin"
NAMES_FILE = "batches.meta.txt"
FILES = (*TRAIN_FILES, TEST_FILE, NAMES_FILE)
CLASS_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
OFFICIAL_RECORDS = 10_000

_HEIGHT, _WIDTH, _CHANNELS = SHAPE
_PLANE = _HEIGHT * _WIDTH
_RECORD = 1 + _CHANNELS * _PLANE


def cache_folder() -> Path:
    """Return where fetched data are kept: $OPTISCOPE_CACHE, or the user's cache folder of this system."""
    chosen = os.environ.get("OPTISCOPE_CACHE")
    if chosen:
        return Path(chosen)
    import platformdirs

    return Path(platformdirs.user_cache_dir("optiscope", appauthor=False))


def find_folder(path: str | os.PathLike[str]) -> Path:
    """Return `path`, or the folder cifar-10-batches-bin within it; raises DataError where there is neither."""
    folder = Path(path)
    if not folder.is_dir():
        found = "is not a folder" if folder.exists() else "does not exist"
        raise DataError(f"the data folder {folder} {found}: name a folder with {TRAIN_FILES[0]} to {TEST_FILE} in it")
    inner = folder / FOLDER
    return inner if inner.is_dir() else folder


def read_records(path: Path) -> tuple[Pixels, Labels]:
    """Return images, uint8 [N, 32, 32, 3], and labels, uint8 [N], of one file of records.

    Raises DataError where the file is missing, unreadable, empty, not whole, or has a label above 9.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"{path} is missing: put it there, or fetch the data again") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}): mend its permissions, or fetch it again") from error
    count, rest = divmod(len(data), _RECORD)
    if rest or not count:
        raise DataError(
            f"{path} has {len(data):,} bytes, which is {count:,} records of {_RECORD:,} bytes and {rest:,} bytes over: "
            "it was cut short or something was added, so fetch it again"
        )
    records = np.frombuffer(data, dtype=np.uint8).reshape(count, _RECORD)
    labels = records[:, 0].copy()
    bad = np.flatnonzero(labels >= len(CLASS_NAMES))
    if bad.size:
        raise DataError(
            f"{path} has label {labels[bad[0]]} in record {bad[0]:,} (counted from 0), and labels go from 0 to 9: "
            "the file is damaged or of another format, so fetch it again"
        )
    images = np.empty((count, _PLANE, _CHANNELS), dtype=np.uint8)
    # Plane by plane, as NumPy's own copy of the transposed array takes three times as long.
    for channel in range(_CHANNELS):
        start = 1 + channel * _PLANE
        images[:, :, channel] = records[:, start : start + _PLANE]
    return images.reshape(count, *SHAPE), labels


def write_records(path: Path, images: Pixels, labels: Labels) -> None:
    """Write images, uint8 [N, 32, 32, 3], and labels [N] from 0 to 9 as one file of records, whole or not at all."""
    records = np.empty((len(labels), _RECORD), dtype=np.uint8)
    records[:, 0] = labels
    records[:, 1:] = images.transpose(0, 3, 1, 2).reshape(len(labels), -1)
    write_whole(path, records.tobytes())


def _read_names(folder: Path) -> tuple[str, ...]:
    path = folder / NAMES_FILE
    if not path.exists():
        return CLASS_NAMES
    try:
        names = tuple(path.read_text(encoding="utf-8").split())
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read ({error}): mend it, or remove it to use CIFAR-10's names") from error
    if len(names) != len(CLASS_NAMES):
        raise DataError(
            f"{path} names {len(names)} classes instead of {len(CLASS_NAMES)}: mend it, "
            "or remove it to use CIFAR-10's names"
        )
    return names


def read_folder(path: str | os.PathLike[str]) -> Images:
    """Return all images of a folder in the binary layout; raises DataError as `read_records` does."""
    folder = find_folder(path)
    names = _read_names(folder)
    parts = [read_records(folder / name) for name in TRAIN_FILES]
    test_images, test_labels = read_records(folder / TEST_FILE)
    return Images(
        class_names=names,
        train_images=np.concatenate([images for images, _ in parts]),
        train_labels=np.concatenate([labels for _, labels in parts]),
        test_images=test_images,
        test_labels=test_labels,
    )


@attrs.frozen(kw_only=True)
class Verified:
    """What `verify` found: records a file, images of each class, and the digest that runs record."""

    folder: Path
    records: dict[str, int]
    class_names: tuple[str, ...]
    train_counts: tuple[int, ...]
    test_counts: tuple[int, ...]
    digest: str


def verify(path: str | os.PathLike[str]) -> Verified:
    """Read a whole folder and return what is in it; raises DataError at the first thing that is wrong.

    A folder with CIFAR-10's class names, or with none, must have 10,000 records in each of its six files.
    """
    folder = find_folder(path)
    images = read_folder(folder)
    records = {name: (folder / name).stat().st_size // _RECORD for name in (*TRAIN_FILES, TEST_FILE)}
    for name, count in records.items():
        if images.class_names == CLASS_NAMES and count != OFFICIAL_RECORDS:
            raise DataError(
                f"{folder / name} has {count:,} records and CIFAR-10 has {OFFICIAL_RECORDS:,}: fetch it again, or name "
                f"its own classes in {NAMES_FILE} if it is other data"
            )
    return Verified(
        folder=folder,
        records=records,
        class_names=images.class_names,
        train_counts=_counts(images.train_labels),
        test_counts=_counts(images.test_labels),
        digest=images.digest,
    )


def _counts(labels: Labels) -> tuple[int, ...]:
    return tuple(np.bincount(labels, minlength=len(CLASS_NAMES)).tolist())


def make(dest: str | os.PathLike[str], dataset: Dataset) -> Path:
    """Write `dataset` out in the binary layout, into the folder `dest`, which is made; return it.

    The training images are dealt, in order, to the five files. Raises UsageError where one of the files is there
    already or the data do not fit the layout (10 classes, at least 5 training images), DataError where nothing can
    be written.
    """
    folder = Path(dest)
    taken = [name for name in FILES if (folder / name).exists()]
    if taken:
        raise UsageError(f"{folder} holds a {taken[0]} already: choose another folder, or remove it")
    images = dataset.load()
    if len(images.class_names) != len(CLASS_NAMES) or len(images.train_labels) < len(TRAIN_FILES):
        raise UsageError(
            f"data set '{dataset.name}' has {len(images.class_names)} classes and {len(images.train_labels)} training "
            f"images, and the layout needs {len(CLASS_NAMES)} and at least {len(TRAIN_FILES)}: choose another"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"the folder {folder} cannot be made ({error.strerror}): choose another") from error
    for name, part in zip(
        TRAIN_FILES, np.array_split(np.arange(len(images.train_labels)), len(TRAIN_FILES)), strict=True
    ):
        write_records(folder / name, images.train_images[part], images.train_labels[part])
    write_records(folder / TEST_FILE, images.test_images, images.test_labels)
    write_whole(folder / NAMES_FILE, ("\n".join(images.class_names) + "\n").encode())
    return folder


@attrs.frozen(kw_only=True)
class Cifar10:
    """CIFAR-10 (Krizhevsky 2009), 50,000 and 10,000 images, from where `optiscope data fetch cifar10` leaves it."""

    name: ClassVar[str] = "cifar10"

    def load(self) -> Images:
        """Read it from the cache; raises DataError where it was not fetched, or is damaged."""
        folder = cache_folder() / FOLDER
        if not folder.is_dir():
            raise DataError(
                f"CIFAR-10 is not in the cache ({folder}): run `optiscope data fetch cifar10`, or give --data the path "
                "of a copy"
            )
        return read_folder(folder)


@attrs.frozen
class Folder:
    """Somebody's own folder in the binary layout."""

    name: ClassVar[str] = "folder"

    path: Path = attrs.field(converter=Path)

    def load(self) -> Images:
        """Read it; raises DataError as `read_records` does."""
        return read_folder(self.path)


def from_folder(path: str | os.PathLike[str]) -> Folder:
    """Return the data set in the folder `path`; raises DataError at once where there is no such folder."""
    return Folder(find_folder(path))
