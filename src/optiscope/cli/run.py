"""`main`: run a command, turn whatever ends it into one line on stderr and an exit code.

    0    the command did what it was asked to, whatever the verdicts
    1    something unexpected, which is a mistake in optiscope or in a plugin
    2    bad input: what is wrong and how to mend it
    130  Ctrl-C: what was kept and how to go on
    141  nobody reads stdout any more (`optiscope ... | head`)

OPTISCOPE_TRACEBACK=1 lets the exception through instead, for whoever wants to see where it came from.
"""

from __future__ import annotations

import errno
import io
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from optiscope.errors import OptiscopeError

if TYPE_CHECKING:
    from cyclopts import CycloptsError

OK, UNEXPECTED, BAD_INPUT, INTERRUPTED, NO_READER = 0, 1, 2, 130, 141
TRACEBACK = "OPTISCOPE_TRACEBACK"

REMEDIES = {
    errno.ENOSPC: "free some space; finished runs are kept, and --resume runs the others",
    errno.EDQUOT: "free some of your quota; finished runs are kept, and --resume runs the others",
    errno.EACCES: "choose another place or change its permissions",
    errno.EPERM: "choose another place or change its permissions",
    errno.EROFS: "choose a place that can be written to",
    errno.ENOENT: "check the path",
    errno.ENOTDIR: "choose a path that is not below a file",
    errno.EISDIR: "name a file, not a folder",
    errno.EEXIST: "choose another name",
}
"""How to mend what the operating system refused; anything else from it is unexpected."""

JOINTS = (
    ("unknown option: ", "unknown option "),
    (". Choose from: ", ": choose from "),
    (". Did you mean", "; did you mean"),
    ("? Available commands: ", "? known: "),
    (". Available commands: ", "; known: "),
)
"""What makes one sentence of the several that cyclopts writes."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C while `out` was written: `kept` says what is there."""

    def __init__(self, kept: str, out: Path) -> None:
        super().__init__(kept)
        self.out = out


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `optiscope ARGUMENTS` (default: those of the process) and return the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that lacks a character shows a question mark
    try:
        from optiscope.cli.app import make_app  # here, so that Ctrl-C during the imports is one line as well

        make_app()(words, exit_on_error=False, print_error=False, verbose=False, result_action="return_value")
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return NO_READER
    except Interrupted as error:
        return _end(f"interrupted: {error}; go on with: {_again(words, error.out)}", INTERRUPTED)
    except KeyboardInterrupt as error:
        return _end(f"interrupted: {error}" if str(error) else "interrupted", INTERRUPTED)
    except Exception as error:
        if os.environ.get(TRACEBACK):
            raise
        return _end(*_explain(error))
    return OK


def _again(words: list[str], out: Path) -> str:
    """Return the command that goes on in `out`."""
    words = [word for word in words if word not in ("--resume", "--overwrite")]
    if not any(word.partition("=")[0] == "--out" for word in words):
        words += ["--out", str(out)]
    return shlex.join(["optiscope", *words, "--resume"])


def _explain(error: Exception) -> tuple[str, int]:
    from cyclopts import CycloptsError

    if isinstance(error, CycloptsError):
        return _parse_sentence(error), BAD_INPUT
    if isinstance(error, OptiscopeError):
        return str(error), BAD_INPUT
    if isinstance(error, OSError) and error.errno in REMEDIES:
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{(error.strerror or '').lower()}: {REMEDIES[error.errno]}", BAD_INPUT
    kind = type(error).__name__
    return f"unexpected {kind}: {error} (set {TRACEBACK}=1 to see where it came from, and please report it)", UNEXPECTED


def _parse_sentence(error: CycloptsError) -> str:
    from cyclopts.exceptions import MissingArgumentError, UnknownCommandError, UnusedCliTokensError

    command = " ".join(("optiscope", *(error.command_chain or ())))
    if isinstance(error, UnusedCliTokensError) and error.unused_tokens:
        sentence = f"unexpected argument '{error.unused_tokens[0]}'"
    elif isinstance(error, MissingArgumentError) and error.argument:
        sentence = f"{error.keyword or error.argument.name} needs a value"
    else:
        sentence = str(error).strip().rstrip(".").replace('"', "'")
        sentence = sentence[:1].lower() + sentence[1:]
        for theirs, ours in JOINTS:
            sentence = sentence.replace(theirs, ours)
    if isinstance(error, UnknownCommandError):
        return sentence
    return f"{sentence}{'' if sentence.endswith('?') else ';'} see '{command} --help'"


def _end(sentence: str, code: int) -> int:
    sys.stdout.flush()
    line = " ".join(sentence.split())
    print(f"optiscope: {line}", file=sys.stderr)
    return code
