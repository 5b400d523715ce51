import numpy as np
import pytest

from optiscope.data import Cifar10, Synthetic, cifar10, from_folder
from optiscope.data.base import SHAPE
from optiscope.errors import DataError, FileError, UsageError

RECORD = 3073
SMALL = Synthetic(train=23, test=4)


@pytest.fixture
def folder(tmp_path):
    return cifar10.make(tmp_path / "data", SMALL)


def one_record(label, red, green, blue):
    return bytes([label]) + bytes([red]) * 1024 + bytes([green]) * 1024 + bytes([blue]) * 1024


def test_planes_become_channels(tmp_path):
    path = tmp_path / "one.bin"
    path.write_bytes(one_record(3, 10, 20, 30) + one_record(9, 1, 2, 3))
    images, labels = cifar10.read_records(path)
    assert images.shape == (2, *SHAPE)
    assert images.dtype == labels.dtype == np.uint8
    assert images.flags.c_contiguous
    assert labels.tolist() == [3, 9]
    np.testing.assert_array_equal(images[0], np.broadcast_to([10, 20, 30], SHAPE))


def test_rows_come_before_columns(tmp_path):
    plane = np.arange(1024) % 251
    path = tmp_path / "one.bin"
    path.write_bytes(bytes([0]) + bytes(plane.tolist()) * 3)
    images, _ = cifar10.read_records(path)
    assert images[0, 1, 0, 2] == plane[32]
    assert images[0, 0, 1, 2] == plane[1]


def test_what_is_written_is_what_is_read(tmp_path):
    some = SMALL.load()
    cifar10.write_records(tmp_path / "x.bin", some.train_images, some.train_labels)
    images, labels = cifar10.read_records(tmp_path / "x.bin")
    np.testing.assert_array_equal(images, some.train_images)
    np.testing.assert_array_equal(labels, some.train_labels)
    assert [path.name for path in tmp_path.iterdir()] == ["x.bin"]


def test_a_made_folder_reads_as_the_same_data(folder):
    assert from_folder(folder).load().digest == SMALL.load().digest
    assert sorted(path.name for path in folder.iterdir()) == sorted(cifar10.FILES)


def test_the_folder_around_the_folder_will_do(tmp_path):
    cifar10.make(tmp_path / cifar10.FOLDER, SMALL)
    assert from_folder(tmp_path).load().digest == SMALL.load().digest


def test_without_names_the_classes_are_those_of_cifar10(folder):
    (folder / cifar10.NAMES_FILE).unlink()
    assert from_folder(folder).load().class_names[3] == "cat"


def test_the_official_names_file_ends_in_an_empty_line(folder):
    (folder / cifar10.NAMES_FILE).write_text("\n".join(cifar10.CLASS_NAMES) + "\n\n")
    assert from_folder(folder).load().class_names == cifar10.CLASS_NAMES


@pytest.mark.parametrize("name", [*cifar10.TRAIN_FILES, cifar10.TEST_FILE])
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(DataError, match=rf"{name} is missing: put it there"):
        from_folder(folder).load()


@pytest.mark.parametrize(
    ("size", "message"),
    [
        (2 * RECORD - 1, r"6,145 bytes, which is 1 records of 3,073 bytes and 3,072 bytes over: it was cut short"),
        (2 * RECORD + 5, r"6,151 bytes, which is 2 records of 3,073 bytes and 5 bytes over"),
        (0, "0 bytes, which is 0 records"),
    ],
)
def test_a_file_that_is_not_whole_is_named_with_its_size(folder, size, message):
    (folder / "data_batch_4.bin").write_bytes(bytes(size))
    with pytest.raises(DataError, match=f"data_batch_4.bin has {message}"):
        from_folder(folder).load()


def test_a_label_above_nine_is_named_with_its_record(folder):
    path = folder / "data_batch_2.bin"
    data = bytearray(path.read_bytes())
    data[3 * RECORD] = 10
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"data_batch_2.bin has label 10 in record 3 \(counted from 0\)"):
        from_folder(folder).load()


def test_a_file_that_cannot_be_read_is_named(folder):
    (folder / "test_batch.bin").unlink()
    (folder / "test_batch.bin").mkdir()
    with pytest.raises(DataError, match=r"test_batch.bin cannot be read \(Is a directory\)"):
        from_folder(folder).load()


@pytest.mark.parametrize("names", ["one two three", "\xff" * 3])
def test_a_broken_names_file_is_named(folder, names):
    (folder / cifar10.NAMES_FILE).write_bytes(names.encode("latin-1"))
    with pytest.raises(DataError, match=r"batches.meta.txt (names 3 classes instead of 10|cannot be read)"):
        from_folder(folder).load()


def test_a_missing_folder_is_named_at_once(tmp_path):
    with pytest.raises(DataError, match=r"the data folder .*nowhere does not exist: name a folder with data_batch_1"):
        from_folder(tmp_path / "nowhere")


def test_a_file_in_the_place_of_a_folder_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"file is not a folder"):
        from_folder(tmp_path / "file")


@pytest.mark.parametrize("broken", ["missing", "cut", "label"])
def test_every_error_is_one_line(folder, broken):
    path = folder / "data_batch_1.bin"
    if broken == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-1] if broken == "cut" else b"\xff" * RECORD)
    with pytest.raises(DataError) as error:
        from_folder(folder).load()
    assert "\n" not in str(error.value)


def test_verify_returns_what_is_there(folder):
    some = SMALL.load()
    facts = cifar10.verify(folder)
    assert list(facts.records.values()) == [5, 5, 5, 4, 4, 4]
    assert facts.digest == some.digest
    assert facts.class_names == some.class_names
    assert facts.train_counts == tuple((some.train_labels == label).sum() for label in range(10))
    assert facts.test_counts == tuple((some.test_labels == label).sum() for label in range(10))


def test_verify_insists_on_ten_thousand_records_of_cifar10(folder):
    (folder / cifar10.NAMES_FILE).unlink()
    with pytest.raises(DataError, match=r"data_batch_1.bin has 5 records and CIFAR-10 has 10,000"):
        cifar10.verify(folder)


def test_verify_accepts_ten_thousand_records_a_file(tmp_path):
    records = np.zeros((10_000, RECORD), np.uint8)
    records[:, 0] = np.arange(10_000) % 10
    for name in (*cifar10.TRAIN_FILES, cifar10.TEST_FILE):
        records.tofile(tmp_path / name)
    facts = cifar10.verify(tmp_path)
    assert set(facts.records.values()) == {10_000}
    assert facts.train_counts == (5000,) * 10
    assert facts.test_counts == (1000,) * 10


def test_verify_finds_what_reading_finds(folder):
    (folder / "test_batch.bin").write_bytes(b"\0" * 10)
    with pytest.raises(DataError, match=r"test_batch.bin has 10 bytes"):
        cifar10.verify(folder)


def test_make_does_not_write_over_data(folder):
    before = (folder / "test_batch.bin").read_bytes()
    with pytest.raises(UsageError, match=r"holds a data_batch_1.bin already"):
        cifar10.make(folder, Synthetic(train=10, test=10, seed=1))
    assert (folder / "test_batch.bin").read_bytes() == before


def test_make_wants_an_image_for_every_file(tmp_path):
    with pytest.raises(UsageError, match="'synthetic' has 10 classes and 4 training images"):
        cifar10.make(tmp_path / "x", Synthetic(train=4, test=1))
    assert not (tmp_path / "x").exists()


def test_make_in_an_impossible_place_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be made"):
        cifar10.make(tmp_path / "file" / "x", SMALL)


def test_a_file_that_cannot_be_written_is_named_and_leaves_nothing(tmp_path):
    some = SMALL.load()
    (tmp_path / "x.bin").mkdir()
    with pytest.raises(FileError, match=r"cannot write .*x\.bin"):
        cifar10.write_records(tmp_path / "x.bin", some.test_images, some.test_labels)
    assert [path.name for path in tmp_path.iterdir()] == ["x.bin"]


def test_cifar10_says_how_to_fetch_it(tmp_path, monkeypatch):
    monkeypatch.setenv("OPTISCOPE_CACHE", str(tmp_path))
    with pytest.raises(DataError, match=r"run `optiscope data fetch cifar10`"):
        Cifar10().load()


def test_cifar10_reads_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("OPTISCOPE_CACHE", str(tmp_path))
    cifar10.make(tmp_path / cifar10.FOLDER, SMALL)
    assert Cifar10().load().digest == SMALL.load().digest


def test_the_cache_is_the_users_own_by_default(monkeypatch):
    monkeypatch.delenv("OPTISCOPE_CACHE", raising=False)
    assert cifar10.cache_folder().name == "optiscope"
    assert cifar10.cache_folder().is_absolute()
