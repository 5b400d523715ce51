"""`main`: one line and an exit code, whatever ends a command."""

import errno
import os
import subprocess
import sys

import pytest

from optiscope.cli import main
from optiscope.errors import FileError, PluginError, UsageError


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["characterise"], "unknown command 'characterise'; did you mean 'characterize'?"),
        (["xyzzy"], "unknown command 'xyzzy'; known: characterize"),
        (["data", "fech"], "unknown command 'fech'; did you mean 'fetch'?"),
        (["characterize", "--batch-size", "3"], "unknown option --batch-size; did you mean --batch-sizes?"),
        (["characterize", "--xyzzy"], "unknown option --xyzzy; see 'optiscope characterize --help'"),
        (["characterize", "adam"], "unexpected argument 'adam'"),
        (["characterize", "--steps", "3", "4"], "unexpected argument '4'"),
        (["characterize", "--steps", "many"], "--steps takes whole numbers, not 'many'"),
        (["characterize", "--batch-sizes", "all"], "--batch-sizes takes whole numbers, not 'all'"),
        (["characterize", "--lrs"], "--lrs needs a value"),
        (["characterize", "--out"], "--out needs a value"),
        (["characterize", "--reduction", "meen"], "choose from 'mean', 'sum'; did you mean 'mean'?"),
        (["characterize", "--bugdet", "5"], "unknown option --bugdet"),
        (["label"], "OUT needs a value"),
        (["data", "fetch", "cifar11"], "choose from 'cifar10'; did you mean 'cifar10'?"),
    ],
)
def test_words_that_make_no_command(refused, arguments, sentence):
    assert sentence in refused(*arguments)


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (UsageError("unknown model 'x'"), 2, "unknown model 'x'"),
        (FileError("two\nlines"), 2, "two lines"),
        (PluginError("plugin 'x' raised"), 2, "plugin 'x' raised"),
        (OSError(errno.ENOSPC, "No space left on device", "a.h5"), 2, "a.h5: no space left on device: free some space"),
        (PermissionError(errno.EACCES, "Permission denied", "a"), 2, "a: permission denied: choose another place"),
        (OSError(errno.EIO, "Input/output error", "a"), 1, "unexpected OSError"),
        (RuntimeError("boom"), 1, "unexpected RuntimeError: boom (set OPTISCOPE_TRACEBACK=1"),
        (SystemExit(0), 1, "unexpected SystemExit: 0 (set OPTISCOPE_TRACEBACK=1"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else None,
)
def test_what_a_command_raises_is_one_line(optiscope, fake, error, code, sentence):
    fake.error, fake.makes_folder = error, False
    outcome = optiscope("characterize", "--optimizers", "sgd")
    assert outcome.code == code
    assert outcome.out == ""
    line = outcome.err.splitlines()[-1]
    assert line.startswith("optiscope: ")
    assert sentence in line
    assert "Traceback" not in outcome.err


def test_traceback_on_demand(fake, monkeypatch):
    monkeypatch.setenv("OPTISCOPE_TRACEBACK", "1")
    fake.error = RuntimeError("boom")
    with pytest.raises(RuntimeError, match="boom"):
        main(["characterize"])


@pytest.mark.parametrize(
    ("words", "command"),
    [
        (["--out", "o"], "optiscope characterize --optimizers sgd adam --out o --resume"),
        (["--out=o", "--resume"], "optiscope characterize --optimizers sgd adam --out=o --resume"),
        (["--overwrite", "--out", "a b"], "optiscope characterize --optimizers sgd adam --out 'a b' --resume"),
    ],
)
def test_ctrl_c_says_what_was_kept_and_how_to_go_on(optiscope, fake, words, command):
    fake.error = KeyboardInterrupt()
    outcome = optiscope("characterize", "--optimizers", "sgd", "adam", *words)
    assert outcome.code == 130
    line = outcome.err.splitlines()[-1]
    assert line.startswith(
        "optiscope: interrupted: 0 of 2 runs had finished and are kept; --resume goes on with the others"
    )
    assert line.endswith(f"go on with: {command}")


def test_ctrl_c_in_a_dated_folder_names_it(optiscope, fake, folder):
    fake.error = KeyboardInterrupt()
    outcome = optiscope("characterize")
    (out,) = folder.iterdir()
    assert outcome.err.strip().endswith(f"optiscope characterize --out {out.name} --resume")


def test_ctrl_c_before_anything_was_written(optiscope, fake):
    fake.error, fake.makes_folder = KeyboardInterrupt(), False
    outcome = optiscope("characterize", "--out", "o")
    assert (outcome.code, outcome.err.splitlines()[-1]) == (130, "optiscope: interrupted: nothing was written")


def test_ctrl_c_elsewhere(optiscope, fake, monkeypatch):
    def interrupt(out):
        raise KeyboardInterrupt

    monkeypatch.setattr("optiscope.report.write_report", interrupt)
    outcome = optiscope("characterize", "--out", "o")
    assert (outcome.code, outcome.err.splitlines()[-1]) == (130, "optiscope: interrupted")


def test_nobody_reads_stdout():
    read, write = os.pipe()
    os.close(read)
    code = "import sys; from optiscope.cli import main; sys.exit(main(['plugins', '--json']))"
    done = subprocess.run([sys.executable, "-c", code], stdout=write, stderr=subprocess.PIPE, text=True, check=False)
    os.close(write)
    assert (done.returncode, done.stderr) == (141, "")
