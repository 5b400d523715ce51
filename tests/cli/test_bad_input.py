"""Bad input, through the whole program: one line that says what is wrong, exit 2, nothing written."""

import subprocess
import sys
from pathlib import Path

import pytest

SMALL = ["--optimizers", "sgd", "--batch-sizes", "4", "--steps", "2", "--executor", "in-process"]
QUADRATIC = [*SMALL, "--model", "quadratic"]
RECORD = 3073
FILES = [*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("--optimizers adm", "unknown optimizer 'adm': did you mean 'adam'?"),
        ("--model smal-cnn", "unknown model 'smal-cnn': did you mean 'small-cnn'?"),
        ("--kernels im2cow", "did you mean 'im2col'?"),
        ("--schedule constantt", "unknown schedule 'constantt': did you mean 'constant'?"),
        ("--set sgd.weight_decai=0.9", "did you mean 'weight_decay'?"),
        ("--set sgdd.weight_decay=0.9", "did you mean 'sgd'?"),
        ("--set sgd.weight_decay=-1", "weight_decay must be"),
        ("--set sgd.weight_decay=fast", "sgd: weight_decay must be a number, not 'fast'"),
        ("--set synthetic.train=1.5", "synthetic: train must be a whole number, not 1.5"),
        ("--data nowhere", "nowhere"),
        ("--batch-sizes 100000", "100000"),
        ("--batch-sizes 0", "--batch-sizes must be a whole number >= 1, not 0"),
        ("--train-samples 3", "batch"),
        ("--lrs 0", "a learning rate must be a finite number above zero, not 0.0"),
        ("--lrs -0.1", "a learning rate must be a finite number above zero, not -0.1"),
        ("--lrs nan", "a learning rate must be a finite number above zero, not nan"),
        ("--lrs inf", "a learning rate must be a finite number above zero, not inf"),
        ("--plugin nowhere.py", "nowhere.py"),
        ("--no-plugin nothing", "unknown plugin to block 'nothing'"),
        ("--optimizers sgd sgd", "twice"),
        ("--budget 0", "--budget must be a percentage above 0 and at most 100, not 0.0"),
        ("--budget -5", "--budget must be a percentage above 0 and at most 100, not -5.0"),
        ("--budget nan", "--budget must be a percentage above 0 and at most 100, not nan"),
        ("--budget inf", "--budget must be a percentage above 0 and at most 100, not inf"),
        ("--budget 100.1", "--budget must be a percentage above 0 and at most 100, not 100.1"),
        ("--budget 5%", "invalid value for --budget: unable to convert '5%' into float"),
        ("--budget little", "invalid value for --budget: unable to convert 'little' into float"),
        ("--seeds two", "--seeds takes a whole number or 'auto', not 'two': write 5, for example"),
        ("--seeds 2.5", "--seeds takes a whole number or 'auto', not '2.5'"),
        ("--seeds 0", "--seeds must be a whole number >= 1 or 'auto', not 0"),
        ("--confidence 1", "--confidence must be above 0 and below 1, not 1.0"),
        ("--max-seeds 9", "--max-seeds is the limit of --seeds auto: give both, or neither"),
        ("--seeds auto --max-seeds 3", "at --confidence 0.95 it takes 4 seeds that agree"),
        ("--thin probe", "--thin takes NAME=K with a whole number K, such as probe=5, not 'probe'"),
        ("--thin probe=2.5", "--thin takes NAME=K with a whole number K, such as probe=5, not 'probe=2.5'"),
        ("--thin probe=0", "--thin must give probe a whole number >= 1, not 0"),
        ("--thin prob=2", "unknown recorder in --thin 'prob': did you mean 'probe'?"),
        ("--thin step=2", "recorder 'step' cannot be thinned, because it needs every row"),
    ],
)
def test_a_grid_that_cannot_be(refused, words, sentence):
    assert sentence in refused("characterize", *SMALL, *words.split(), "--out", "o")


def test_an_unknown_executor(refused):
    words = ("--model", "quadratic", "--executor", "proceses", "--out", "o")
    assert "unknown executor 'proceses': did you mean 'processes'?" in refused("characterize", *words)


@pytest.fixture
def images(optiscope, folder):
    """A folder of small image files in CIFAR-10's layout."""
    assert optiscope("data", "make", "images", "--set", "synthetic.train=50", "synthetic.test=10").code == 0
    return folder / "images"


def spoil(folder, how):
    path = folder / FILES[2]
    match how:
        case "missing":
            path.unlink()
        case "truncated":
            path.write_bytes(path.read_bytes()[:-1])
        case "oversized":
            path.write_bytes(path.read_bytes() + b"\0")
        case "empty":
            path.write_bytes(b"")
        case "label":
            path.write_bytes(b"\x0a" + path.read_bytes()[1:])
        case "folder":
            path.unlink()
            path.mkdir()


@pytest.mark.parametrize("how", ["missing", "truncated", "oversized", "empty", "label", "folder"])
@pytest.mark.parametrize(
    "command", [["characterize", *SMALL, "--out", "o", "--data"], ["data", "verify"]], ids=lambda c: c[0]
)
def test_spoilt_data(refused, images, how, command):
    spoil(images, how)
    assert FILES[2] in refused(*command, images)


def test_sound_data_are_taken(optiscope, images, folder):
    assert optiscope("characterize", *SMALL, "--data", images, "--dry-run").code == 0
    assert optiscope("data", "verify", images).code == 0


def test_a_folder_that_is_taken(optiscope, refused):
    assert optiscope("characterize", *QUADRATIC, "--out", "o").code == 0
    assert "o already holds a characterization" in refused("characterize", *QUADRATIC, "--out", "o")


def test_a_file_in_place_of_the_folder(refused, folder):
    (folder / "o").write_text("mine")
    assert "o is a file" in refused("characterize", *QUADRATIC, "--out", "o")
    assert (folder / "o").read_text() == "mine"


def test_a_folder_that_cannot_be_written(refused):
    assert "cannot write /proc/o" in refused("characterize", *QUADRATIC, "--out", "/proc/o")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, which Linux has")
def test_a_full_disk_for_results_is_one_line():
    code = "import sys; from optiscope.cli import main; sys.exit(main(['plugins', '--json']))"
    with open("/dev/full", "w") as full:
        done = subprocess.run([sys.executable, "-c", code], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("optiscope: no space left on device")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "flag", ["--batch-sizes", "--steps", "--epochs", "--max-seeds", "--jobs", "--threads", "--train-samples"]
)
@pytest.mark.parametrize("value", ["2.5", "1e3", "1_0", "two"])
def test_whole_numbers_are_not_rounded(refused, flag, value):
    assert refused("characterize", flag, value) == (
        f"{flag} takes whole numbers, not '{value}': write 100, for example"
    )
